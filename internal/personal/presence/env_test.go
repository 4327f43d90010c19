package presence

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth"
	"homeserver/internal/journal"
	"homeserver/internal/journal/replica"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const alice, bob, carol = roomstest.Alice, roomstest.Bob, roomstest.Carol

// env is the harness with presence, whose clock stands still until it is moved, and with
// accounts for the three users.
type env struct {
	*roomstest.Env
	*Service
	clock matrixtest.Clock
}

func newEnv(t *testing.T) *env {
	t.Helper()
	t.Parallel()
	return envOn(t, nil, nil)
}

// envOn starts another server process, as it were, on a database; nil: a new one. It hears
// of others by the channel.
func envOn(t testing.TB, pool *pgxpool.Pool, others *replica.Channel) *env {
	t.Helper()
	h := &env{Env: roomstest.Open(t, roomstest.Options{Pool: pool})}
	h.Service = New(Options{
		Pool: h.Pool, Journal: h.Journal, Rooms: h.Rooms.Timeline, Profiles: h.Profiles, Ticks: journal.NewTicks(),
		Others: others, Now: h.clock.Now,
	})
	h.Profiles.OnChange(h.Rooms.UpdateProfile)
	h.Run()
	for _, name := range []string{"alice", "bob", "carol"} {
		if _, err := h.Users.CreateAccount(t.Context(), auth.NewAccount{Username: name}); !matrix.IsCode(err, matrix.UserInUse) {
			h.OK(err)
		}
	}
	return h
}

func (h *env) pass(d time.Duration) {
	h.clock.Pass(d)
	h.Watch()
}

func (h *env) say(user, room string) {
	h.T.Helper()
	_, err := h.Rooms.Send(h.T.Context(), rooms.Request{UserID: user, RoomID: room}, "m.room.message", json.RawMessage(`{"body":"hi"}`))
	h.OK(err)
}

func (h *env) set(user, presence, message string) {
	h.T.Helper()
	h.OK(h.Set(h.T.Context(), user, presence, message))
}

func (h *env) profile(user, name, value string) {
	h.T.Helper()
	h.OK(h.Profiles.Set(h.T.Context(), matrix.Session{UserID: user}, user, name, json.RawMessage(fmt.Sprintf("%q", value))))
}

// poll begins to ask for news with a device; done ends it.
func (h *env) poll(user, device, shown string) (done func()) {
	h.T.Helper()
	done, err := h.Polling(h.T.Context(), user, device, shown)
	h.OK(err)
	return done
}

// show returns the state of a user as another one sees it.
func (h *env) show(asker, user string) string {
	h.T.Helper()
	state, err := h.Get(h.T.Context(), asker, user)
	h.OK(err)
	return string(state.AppendContent(nil, h.Now(), false))
}

func (h *env) want(user, want string) {
	h.T.Helper()
	if got := h.show(user, user); got != want {
		h.T.Errorf("%s is shown as %s, want %s", user, got, want)
	}
}

// presence returns the state of a user in a word.
func (h *env) presence(user string) string {
	h.T.Helper()
	state, err := h.Get(h.T.Context(), user, user)
	h.OK(err)
	return state.Presence
}

func (h *env) wantPresence(user, want string) {
	h.T.Helper()
	if got := h.presence(user); got != want {
		h.T.Errorf("%s is %s, want %s", user, got, want)
	}
}

// in reports whether a room is one of those given.
func (h *env) in(list ...string) func(journal.RoomNID) bool {
	h.T.Helper()
	var nids []journal.RoomNID
	for _, room := range list {
		nid, err := h.Rooms.Timeline.Number(h.T.Context(), room)
		h.OK(err)
		nids = append(nids, nid)
	}
	return func(nid journal.RoomNID) bool { return slices.Contains(nids, nid) }
}

// news lists whose presence has changed for a reader since a tick.
func (h *env) news(reader string, since journal.Tick, list ...string) string {
	h.T.Helper()
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
func (h *env) wakes(topic journal.Topic, do func()) bool {
	h.T.Helper()
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
