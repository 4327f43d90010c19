package presence

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/journal/replica"
	"homeserver/internal/matrix"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/profile"
	"homeserver/internal/rooms"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const (
	alice = "@alice:localhost"
	bob   = "@bob:localhost"
	carol = "@carol:localhost"
)

// house is the services of one server process, whose clock stands still until it is
// moved.
type house struct {
	*Service
	rooms  *rooms.Service
	t      testing.TB
	pool   *pgxpool.Pool
	passed atomic.Int64
}

func newHouse(t *testing.T) *house {
	t.Helper()
	t.Parallel()
	return houseOn(t, postgrestest.New(t), nil)
}

// houseOn makes a house on a database, which hears of others by the channel.
func houseOn(t testing.TB, pool *pgxpool.Pool, others *replica.Channel) *house {
	t.Helper()
	h := &house{t: t, pool: pool}
	book := journal.New(pool, journal.Options{})
	users := auth.New(pool, auth.Options{ServerName: "localhost", Argon: auth.ArgonParams{MemoryKiB: 8, Passes: 1, Threads: 1}})
	names := profile.New(pool)
	signer := &event.Signer{ServerName: "localhost", KeyID: "ed25519:test", Key: ed25519.NewKeyFromSeed(make([]byte, 32))}
	r := rooms.New(rooms.Options{Pool: pool, Journal: book, Profiles: names, Signer: signer})
	h.rooms = r
	h.Service = New(Options{
		Pool: pool, Journal: book, Rooms: r.Timeline, Profiles: names, Ticks: journal.NewTicks(), Others: others,
		Now: func() time.Time { return time.UnixMilli(1_700_000_000_000).Add(time.Duration(h.passed.Load())) },
	})
	names.OnChange(r.UpdateProfile)
	h.ok(book.Start(t.Context()))
	t.Cleanup(func() {
		if err := book.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop the journal: %v", err)
		}
	})
	for _, name := range []string{"alice", "bob", "carol"} {
		_, err := users.CreateAccount(t.Context(), auth.NewAccount{Username: name, Password: "wordpass"})
		if err != nil && !matrix.IsCode(err, matrix.UserInUse) {
			t.Fatal(err)
		}
	}
	return h
}

func (h *house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) pass(d time.Duration) {
	h.passed.Add(int64(d))
	h.Watch()
}

// room makes a room of alice's with some others.
func (h *house) room(others ...string) string {
	h.t.Helper()
	created, err := h.rooms.Create(h.t.Context(), alice, rooms.CreateRequest{Preset: "public_chat"})
	h.ok(err)
	for _, user := range others {
		h.join(user, created.RoomID)
	}
	return created.RoomID
}

func (h *house) join(user, room string) {
	h.t.Helper()
	h.ok(h.rooms.Join(h.t.Context(), user, room, ""))
}

func (h *house) leave(user, room string) {
	h.t.Helper()
	h.ok(h.rooms.Leave(h.t.Context(), user, room, ""))
}

func (h *house) say(user, room string) {
	h.t.Helper()
	_, err := h.rooms.Send(h.t.Context(), rooms.Request{UserID: user, RoomID: room}, "m.room.message", json.RawMessage(`{"body":"hi"}`))
	h.ok(err)
}

func (h *house) set(user, presence, message string) {
	h.t.Helper()
	h.ok(h.Set(h.t.Context(), user, presence, message))
}

func (h *house) profile(user, name, value string) {
	h.t.Helper()
	h.ok(h.Profiles.Set(h.t.Context(), matrix.Session{UserID: user}, user, name, json.RawMessage(fmt.Sprintf("%q", value))))
}

// poll begins to ask for news with a device; done ends it.
func (h *house) poll(user, device, shown string) (done func()) {
	h.t.Helper()
	done, err := h.Polling(h.t.Context(), user, device, shown)
	h.ok(err)
	return done
}

// show gives what a user sees of another.
func (h *house) show(asker, user string) string {
	h.t.Helper()
	state, err := h.Get(h.t.Context(), asker, user)
	h.ok(err)
	return string(state.AppendContent(nil, h.Now(), false))
}

func (h *house) want(user, want string) {
	h.t.Helper()
	if got := h.show(user, user); got != want {
		h.t.Errorf("%s is shown as %s, want %s", user, got, want)
	}
}

// presence gives the state of a user in a word.
func (h *house) presence(user string) string {
	h.t.Helper()
	state, err := h.Get(h.t.Context(), user, user)
	h.ok(err)
	return state.Presence
}

func (h *house) wantPresence(user, want string) {
	h.t.Helper()
	if got := h.presence(user); got != want {
		h.t.Errorf("%s is %s, want %s", user, got, want)
	}
}

// in reports whether a room is one of those given.
func (h *house) in(list ...string) func(journal.RoomNID) bool {
	h.t.Helper()
	var nids []journal.RoomNID
	for _, room := range list {
		nid, err := h.rooms.Timeline.Number(h.t.Context(), room)
		h.ok(err)
		nids = append(nids, nid)
	}
	return func(nid journal.RoomNID) bool { return slices.Contains(nids, nid) }
}

// news lists whose presence has changed for a reader since a tick.
func (h *house) news(reader string, since journal.Tick, list ...string) string {
	h.t.Helper()
	return names(h.Changed(reader, since, h.in(list...), nil))
}

func names(states []State) string {
	var list []string
	for _, st := range states {
		list = append(list, fmt.Sprint(strings.TrimSuffix(strings.TrimPrefix(st.UserID, "@"), ":localhost"), " ", st.Presence))
	}
	return strings.Join(list, ", ")
}

// wakes reports whether something wakes who listens to a topic.
func (h *house) wakes(topic journal.Topic, do func()) bool {
	h.t.Helper()
	l := h.Journal.Listen()
	defer l.Close()
	l.Follow(topic)
	woken := l.Woken()
	do()
	select {
	case <-woken:
		return true
	default:
		return false
	}
}
