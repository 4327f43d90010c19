package transactions

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/appservice"
	"homeserver/internal/appservice/registration"
	"homeserver/internal/auth/uia"
	"homeserver/internal/e2ee/devicekeys"
	"homeserver/internal/e2ee/todevice"
	"homeserver/internal/journal"
	"homeserver/internal/journal/replica"
	"homeserver/internal/matrixtest"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/presence"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/personal/typing"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms/roomstest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const (
	alice, bob, carol = roomstest.Alice, roomstest.Bob, roomstest.Carol
	ghost, other      = "@_irc_ghost:localhost", "@_irc_other:localhost"
	bot               = "@ircbot:localhost"
)

// env is one server process with all that services are sent.
type env struct {
	*roomstest.Env
	sending  *Service
	channel  *replica.Channel
	receipts *receipts.Service
	typing   *typing.Service
	presence *presence.Service
	toDevice *todevice.Service
	keys     *devicekeys.Service
	log      *matrixtest.Log
}

// start starts a process on a database, nil: a new one, with services.
func start(t testing.TB, pool *pgxpool.Pool, services []*registration.Registration, change ...func(*env)) *env {
	t.Helper()
	return startWithWindow(t, 0, pool, services, change...)
}

// startWithWindow does the same with a live window of so many bytes.
func startWithWindow(t testing.TB, window int, pool *pgxpool.Pool, services []*registration.Registration, change ...func(*env)) *env {
	t.Helper()
	if pool == nil {
		pool = postgrestest.New(t)
	}
	h := &env{channel: replica.New(pool, slog.New(slog.DiscardHandler)), log: matrixtest.NewLog()}
	h.Env = roomstest.Open(t, roomstest.Options{Pool: pool, Journal: journal.Options{Channel: h.channel, Watch: time.Hour, WindowBytes: window}})
	store, ticks := h.Rooms.Timeline, journal.NewTicks()
	data := accountdata.New(pool, h.Journal, store, 0)
	h.receipts = receipts.New(pool, h.Journal, store, data.SetFullyRead, 0, time.Now)
	h.typing = typing.New(store, h.Journal, ticks, h.channel, 0, nil)
	h.presence = presence.New(presence.Options{Pool: pool, Journal: h.Journal, Rooms: store, Profiles: h.Profiles, Ticks: ticks, Others: h.channel})
	h.toDevice = todevice.New(todevice.Options{Pool: pool, Journal: h.Journal, Channel: h.channel, ServerName: "localhost"})
	h.keys = devicekeys.New(devicekeys.Options{
		Pool: pool, Journal: h.Journal, Rooms: store, Sessions: h.Users.Sessions, Stages: uia.New(pool, nil), Channel: h.channel, ServerName: "localhost",
	})
	h.Users.Sessions.OnRemove(todevice.DeleteOfDevices)
	devicekeys.FollowDevices(h.Users.Sessions)
	h.sending = New(Options{
		Pool: pool, Journal: h.Journal, Channel: h.channel, Rooms: store, Aliases: h.Rooms.Directory.AliasesOfRooms,
		Receipts: h.receipts, Typing: h.typing, Presence: h.presence, ToDevice: h.toDevice, Keys: h.keys, Ticks: ticks,
		Services: appservice.New(appservice.Options{Registrations: services}), Log: slog.New(slog.NewTextHandler(io.MultiWriter(h.log, t.Output()), nil)),
	})
	h.Rooms.Directory.OnAlias(h.sending.AliasChanged)
	h.sending.saveEach = 20 * time.Millisecond
	h.sending.backoff = backoff{first: time.Millisecond, most: 20 * time.Millisecond, sign: time.Millisecond, patience: time.Hour}
	for _, c := range change {
		c(h)
	}
	h.OK(h.channel.Start(t.Context()))
	t.Cleanup(h.channel.Stop)
	h.Run()
	h.toDevice.Start(t.Context())
	t.Cleanup(h.toDevice.Stop)
	h.OK(h.sending.Start(t.Context()))
	t.Cleanup(h.sending.Stop)
	h.leads()
	return h
}

// leads returns once the services are sent everything that comes after it.
func (h *env) leads() {
	h.T.Helper()
	if len(h.sending.lanes) == 0 {
		return
	}
	matrixtest.Until(h.T, "all services have a position", func() bool {
		var n int
		h.OK(h.Pool.QueryRow(h.T.Context(), `SELECT count(*) FROM app_service_progress`).Scan(&n))
		return n == len(h.sending.lanes)
	})
}

// looked returns when a service was shown all that is committed.
func (h *env) looked(id string) {
	h.T.Helper()
	now := h.Journal.Position()
	matrixtest.Until(h.T, "the service is up to date", func() bool { return journal.Position(h.sending.byID[id].reached.Load()) >= now })
}

// register makes a registration; lines are added to it.
func register(t testing.TB, id, url string, lines ...string) *registration.Registration {
	t.Helper()
	text := fmt.Sprintf(`
id: %[1]s
url: %[2]s
as_token: as_%[1]s
hs_token: hs_%[1]s
sender_localpart: %[1]sbot
`, id, url)
	if !strings.Contains(strings.Join(lines, "\n"), "namespaces:") {
		lines = append(lines, "namespaces:", `  users: [{exclusive: true, regex: "@_`+id+`_.*"}]`)
	}
	r, err := registration.Parse(id+".yaml", []byte(text+strings.Join(lines, "\n")+"\n"), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// peer is an application service.
type peer struct {
	t   testing.TB
	url string
	got chan *received
	// asked receives the ID and the body of each request, whatever is answered.
	asked chan [2]string
	// answers are how it answers requests, one after the other; with none left all is well.
	answers chan func(http.ResponseWriter, *http.Request)
}

// received is a transaction.
type received struct {
	ID, path  string
	Events    []sent
	Ephemeral []sent
	Old       []sent                               `json:"de.sorunome.msc2409.ephemeral"`
	ToDevice  []sent                               `json:"de.sorunome.msc2409.to_device"`
	Lists     *struct{ Changed, Left []string }    `json:"org.matrix.msc3202.device_lists"`
	Counts    map[string]map[string]map[string]int `json:"org.matrix.msc3202.device_one_time_keys_count"`
	Fallback  map[string]map[string][]string       `json:"org.matrix.msc3202.device_unused_fallback_key_types"`
	raw       string
}

type sent struct {
	Type           string
	EventID        string  `json:"event_id"`
	RoomID         string  `json:"room_id"`
	StateKey       *string `json:"state_key"`
	Sender         string
	Content        map[string]any
	Unsigned       map[string]any
	OriginServerTS int64  `json:"origin_server_ts"`
	ToUser         string `json:"to_user_id"`
	ToDevice       string `json:"to_device_id"`
}

func newPeer(t testing.TB) *peer {
	t.Helper()
	p := &peer{
		t: t, got: make(chan *received, 10_000), asked: make(chan [2]string, 100_000),
		answers: make(chan func(http.ResponseWriter, *http.Request), 1000),
	}
	server := httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func (p *peer) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	got := &received{path: r.URL.RequestURI(), raw: string(body)}
	if err != nil || json.Unmarshal(body, got) != nil || r.Method != http.MethodPut || !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer hs_") {
		p.t.Errorf("the service got %s %v %s, %v", r.Method, r.Header, body, err)
	}
	got.ID = r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	var said func(http.ResponseWriter, *http.Request)
	select {
	case said = <-p.answers:
	default:
	}
	p.asked <- [2]string{got.ID, got.raw}
	if said != nil {
		said(w, r)
		return
	}
	p.got <- got
	_, _ = io.WriteString(w, `{}`)
}

// next is the next transaction.
func (p *peer) next() *received {
	p.t.Helper()
	select {
	case got := <-p.got:
		return got
	case <-time.After(matrixtest.Patience):
		p.t.Fatal("no transaction has come")
		return nil
	}
}

// nextAsked is the next request, whatever was answered.
func (p *peer) nextAsked() [2]string {
	p.t.Helper()
	select {
	case got := <-p.asked:
		return got
	case <-time.After(matrixtest.Patience):
		p.t.Fatal("the service is not asked")
		return [2]string{}
	}
}

// until gathers events until one of an ID has come, and returns their IDs.
func (p *peer) until(eventID string) (ids []string) {
	p.t.Helper()
	for _, e := range p.eventsUntil(eventID) {
		ids = append(ids, e.EventID)
	}
	return ids
}

func (p *peer) eventsUntil(eventID string) (events []sent) {
	p.t.Helper()
	for {
		for _, e := range p.next().Events {
			events = append(events, e)
			if e.EventID == eventID {
				return events
			}
		}
	}
}

// refuses has the service answer with a status so many times.
func (p *peer) refuses(status, times int) {
	for range times {
		p.answers <- func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
}

// recovers ends that.
func (p *peer) recovers() {
	for {
		select {
		case <-p.answers:
		default:
			return
		}
	}
}

func containsText(text, part string) bool { return strings.Contains(text, part) }
