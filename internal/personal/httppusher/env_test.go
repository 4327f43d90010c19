package httppusher

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth"
	"homeserver/internal/auth/account"
	"homeserver/internal/journal"
	"homeserver/internal/journal/replica"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/push"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/safehttp"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const alice, bob, carol = roomstest.Alice, roomstest.Bob, roomstest.Carol

// env is the harness with all that notifications depend on.
type env struct {
	*roomstest.Env
	pushers  *Service
	push     *push.Service
	receipts *receipts.Service
	data     *accountdata.Service
}

func newEnv(t *testing.T, change ...func(*Service)) *env {
	t.Helper()
	t.Parallel()
	return envOn(t, nil, change...)
}

// envOn starts another server process, as it were, on a database; nil: a new one.
func envOn(t *testing.T, pool *pgxpool.Pool, change ...func(*Service)) *env {
	t.Helper()
	if pool == nil {
		pool = postgrestest.New(t)
	}
	others := replica.New(pool, slog.New(slog.DiscardHandler))
	h := &env{Env: roomstest.Open(t, roomstest.Options{Pool: pool, Journal: journal.Options{Channel: others}})}
	store := h.Rooms.Timeline
	h.data = accountdata.New(h.Pool, h.Journal, store, 0)
	h.receipts = receipts.New(h.Pool, h.Journal, store, h.data.SetFullyRead, 0, time.Now)
	h.push = push.New(push.Options{
		Pool: h.Pool, Journal: h.Journal, Rooms: store, ReadUpTo: h.receipts.Marks, Ignored: h.data.Ignored, PlainHTTP: true, Channel: others,
	})
	h.pushers = New(Options{
		Journal: h.Journal, Rooms: store, Push: h.push, ReadBy: readBy, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Client: safehttp.New(safehttp.Options{AllowedRanges: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}),
	})
	h.pushers.saveEach = 10 * time.Millisecond
	h.pushers.backoff = backoff{first: time.Millisecond, most: 20 * time.Millisecond, patience: time.Hour}
	for _, s := range change {
		s(h.pushers)
	}
	h.OK(others.Start(t.Context()))
	t.Cleanup(others.Stop)
	h.Run()
	h.pushers.Start(t.Context())
	t.Cleanup(h.pushers.Stop)
	return h
}

// readBy is what the server wires.
func readBy(entry *journal.Entry) (userID string, room journal.RoomNID) {
	switch v := entry.Value.(type) {
	case *receipts.Receipt:
		return v.UserID, v.Room
	case *accountdata.Item:
		if v.Type == accountdata.TypeIgnoredUsers {
			return v.UserID, 0
		}
	case *push.Changed:
		return v.UserID, 0
	}
	return "", 0
}

// gateway is a push gateway.
type gateway struct {
	t   testing.TB
	url string
	got chan received
	// asked receives the ID of the event of each request, whatever is answered.
	asked chan string
	// answers are how it answers requests, one after the other; with none left all is well.
	answers chan answer
}

// received is a notification.
type received struct {
	EventID           string         `json:"event_id"`
	RoomID            string         `json:"room_id"`
	Type              string         `json:"type"`
	Sender            string         `json:"sender"`
	SenderDisplayName string         `json:"sender_display_name"`
	RoomName          string         `json:"room_name"`
	RoomAlias         string         `json:"room_alias"`
	UserIsTarget      bool           `json:"user_is_target"`
	Prio              string         `json:"prio"`
	Content           map[string]any `json:"content"`
	Counts            map[string]int `json:"counts"`
	Devices           []struct {
		AppID     string         `json:"app_id"`
		Pushkey   string         `json:"pushkey"`
		PushkeyTS int64          `json:"pushkey_ts"`
		Data      map[string]any `json:"data"`
		Tweaks    map[string]any `json:"tweaks"`
	} `json:"devices"`

	raw map[string]any
}

// answer is an answer of a gateway.
type answer struct {
	status int
	body   string
	// until, unless it is nil, is waited for before.
	until <-chan struct{}
}

func newGateway(t testing.TB) *gateway {
	t.Helper()
	g := &gateway{t: t, got: make(chan received, 1000), asked: make(chan string, 10_000), answers: make(chan answer, 1000)}
	server := httptest.NewServer(http.HandlerFunc(g.serve))
	t.Cleanup(server.Close)
	g.url = server.URL + "/_matrix/push/v1/notify"
	return g
}

func (g *gateway) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var one struct{ Notification json.RawMessage }
	var got received
	if err != nil || json.Unmarshal(body, &one) != nil || json.Unmarshal(one.Notification, &got) != nil ||
		json.Unmarshal(one.Notification, &got.raw) != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
		g.t.Errorf("the gateway got %s %v %s, %v", r.Method, r.Header, body, err)
	}
	said := answer{status: 200, body: `{"rejected":[]}`}
	select {
	case said = <-g.answers:
	default:
	}
	g.asked <- got.EventID
	if said.until != nil {
		select {
		case <-said.until:
		case <-r.Context().Done():
			return
		}
	}
	if said.status == 200 {
		g.got <- got
	}
	w.WriteHeader(said.status)
	_, _ = io.WriteString(w, said.body)
}

// next is the next notification.
func (g *gateway) next() received {
	g.t.Helper()
	select {
	case got := <-g.got:
		return got
	case <-time.After(matrixtest.Patience):
		g.t.Fatal("no notification has come")
		return received{}
	}
}

// want expects that the next notification is of an event, with a number of unread ones.
func (g *gateway) want(eventID string, unread int) received {
	g.t.Helper()
	got := g.next()
	if got.EventID != eventID || got.Counts["unread"] != unread {
		g.t.Fatalf("got %v, want %s with %d unread", got.raw, eventID, unread)
	}
	return got
}

// nextEvent is the next notification of an event: numbers alone before it are passed over.
func (g *gateway) nextEvent() received {
	g.t.Helper()
	for {
		if got := g.next(); got.EventID != "" {
			return got
		}
	}
}

// wantBadge expects that the next notification is a number alone.
func (g *gateway) wantBadge(unread int) {
	g.t.Helper()
	got := g.next()
	if n, ok := got.Counts["unread"]; got.EventID != "" || !ok || n != unread || len(got.raw) != 3 {
		g.t.Fatalf("got %v, want %d unread", got.raw, unread)
	}
}

// login makes an account, unless there is one, and logs in to it.
func (h *env) login(name, deviceID string) matrix.Session {
	h.T.Helper()
	ctx := h.T.Context()
	exists, err := account.Exists(ctx, h.Pool, "@"+name+":localhost")
	h.OK(err)
	if !exists {
		_, err := h.Users.CreateAccount(ctx, auth.NewAccount{Username: name, Password: "wordpass"})
		h.OK(err)
	}
	creds, err := h.Users.Login(ctx, auth.LoginRequest{Type: "m.login.password", User: name, Password: "wordpass", DeviceID: deviceID}, matrix.Client{})
	h.OK(err)
	who, err := h.Users.Sessions.Authenticate(ctx, creds.AccessToken)
	h.OK(err)
	return who
}

// pusher sets a pusher for a new device of a user; changes replace members of the request.
func (h *env) pusher(user, pushkey string, to *gateway, changes map[string]any) matrix.Session {
	h.T.Helper()
	name, _, err := matrix.ParseUserID(user)
	h.OK(err)
	who := h.login(name, "DEVICE_"+pushkey)
	h.OK(h.trySet(who, pushkey, to, changes))
	return who
}

func (h *env) trySet(who matrix.Session, pushkey string, to *gateway, changes map[string]any) error {
	h.T.Helper()
	body := map[string]any{
		"kind": "http", "app_id": "org.example.app", "pushkey": pushkey, "app_display_name": "App", "device_display_name": "Phone",
		"lang": "en", "append": true, "data": map[string]any{"url": to.url},
	}
	for name, value := range changes {
		body[name] = value
	}
	var q push.PusherRequest
	h.OK(json.Unmarshal(roomstest.Raw(body), &q))
	return h.push.SetPusher(h.T.Context(), who.UserID, who.DeviceID, q)
}

// read sends a receipt.
func (h *env) read(user, roomID, eventID string) {
	h.T.Helper()
	h.OK(h.receipts.Send(h.T.Context(), user, roomID, receipts.Read, eventID, nil))
}

// group makes a room of alice's, bob's and carol's, whose messages have no sound.
func (h *env) group() (roomID string) {
	h.T.Helper()
	return h.Public(bob, carol)
}

// handled returns when all that is committed has been looked at.
func (h *env) handled() {
	h.T.Helper()
	ctx, cancel := context.WithTimeout(h.T.Context(), matrixtest.Patience)
	defer cancel()
	h.OK(h.pushers.follower.Await(ctx, h.Journal.Position()))
}

// settled returns when all pushers of a user keep up with the journal.
func (h *env) settled(user string) {
	h.T.Helper()
	matrixtest.Until(h.T, "the pushers of "+user+" keep up", func() bool {
		up := true
		h.OK(h.push.HTTPPushersOf(h.T.Context(), []string{user}, func(p *push.HTTPPusher) { up = up && p.Got == nil }))
		return up
	})
}
