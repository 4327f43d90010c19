package push

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/journal"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const alice, bob, carol = roomstest.Alice, roomstest.Bob, roomstest.Carol

// env is the harness with push rules and counts, and how far users have read, as receipts
// would tell.
type env struct {
	*roomstest.Env
	*Service
	read *marks
}

func newEnv(t *testing.T) *env {
	t.Helper()
	t.Parallel()
	return envOn(t, nil, journal.Options{})
}

// envOn starts another server process, as it were, on a database; nil: a new one.
func envOn(t testing.TB, pool *pgxpool.Pool, o journal.Options) *env {
	t.Helper()
	h := &env{
		Env:  roomstest.Open(t, roomstest.Options{Pool: pool, Journal: o}),
		read: &marks{byUser: map[string]map[journal.RoomNID]timeline.ReadMarks{}, ignored: map[string]map[string]bool{}},
	}
	h.Service = New(h.options())
	h.Run()
	return h
}

// marks is how far users have read, and whom they ignore.
type marks struct {
	mu      sync.Mutex
	byUser  map[string]map[journal.RoomNID]timeline.ReadMarks
	ignored map[string]map[string]bool
}

func (m *marks) upTo(_ context.Context, userID string, _ []journal.RoomNID) (map[journal.RoomNID]timeline.ReadMarks, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byUser[userID], nil
}

func (m *marks) ignoredBy(_ context.Context, userID string) (map[string]bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ignored[userID], nil
}

func (h *env) options() Options {
	return Options{
		Pool: h.Pool, Journal: h.Journal, Rooms: h.Rooms.Timeline, ReadUpTo: h.read.upTo, Ignored: h.read.ignoredBy,
		OwnsEmail: func(_ context.Context, userID, address string) (bool, error) {
			return userID == alice && address == "alice@example.org", nil
		},
	}
}

// another makes a further service, which has nothing in memory. It is for one look:
// it does not hear of what is committed.
func (h *env) another() *Service {
	h.T.Helper()
	s := newService(h.options())
	return s
}

// mention sends a message that mentions users.
func (h *env) mention(user, roomID string, mentioned ...string) string {
	h.T.Helper()
	list, err := json.Marshal(mentioned)
	h.OK(err)
	return h.SendEvent(user, roomID, "m.room.message", `{"msgtype":"m.text","body":"hey","m.mentions":{"user_ids":`+string(list)+`}}`)
}

// inThread sends a message in the thread of a root.
func (h *env) inThread(user, roomID, root string) string {
	h.T.Helper()
	return h.SendEvent(user, roomID, "m.room.message",
		`{"msgtype":"m.text","body":"in the thread","m.relates_to":{"rel_type":"m.thread","event_id":"`+root+`"}}`)
}

// mark sets how far a user has read a room.
func (h *env) mark(user, roomID string, set func(m *timeline.ReadMarks)) {
	h.T.Helper()
	nid := h.NID(roomID)
	h.read.mu.Lock()
	defer h.read.mu.Unlock()
	all := h.read.byUser[user]
	next := map[journal.RoomNID]timeline.ReadMarks{}
	for room, m := range all {
		next[room] = m
	}
	m := next[nid]
	set(&m)
	next[nid] = m
	h.read.byUser[user] = next
}

// unread is what a user has not read of a room, as of now. A service that has
// nothing in memory must say the same.
func (h *env) unread(user, roomID string) Unread {
	h.T.Helper()
	nid := h.NID(roomID)
	warm := h.unreadBy(h.Service, user, nid)
	if diff := cmp.Diff(h.unreadBy(h.another(), user, nid), warm); diff != "" {
		h.T.Errorf("what is kept in memory differs from what is counted anew (-anew +kept):\n%s", diff)
	}
	return warm
}

func (h *env) unreadBy(s *Service, user string, nid journal.RoomNID) Unread {
	h.T.Helper()
	counts, err := s.Counts(h.T.Context(), user, []journal.RoomNID{nid}, h.Journal.Position())
	h.OK(err)
	u, ok := counts[nid]
	if !ok {
		h.T.Fatalf("there is no count for the room: %v", counts)
	}
	return u
}

func (h *env) wantUnread(user, roomID string, want Unread) {
	h.T.Helper()
	if diff := cmp.Diff(want, h.unread(user, roomID)); diff != "" {
		h.T.Errorf("unread of %s (-want +got):\n%s", user, diff)
	}
}

// put adds a rule with JSON as its body.
func (h *env) put(user string, k Kind, id, body string, at Place) error {
	h.T.Helper()
	var n NewRule
	h.OK(json.Unmarshal([]byte(body), &n))
	return h.PutRule(h.T.Context(), user, k, id, n, at)
}

// order lists the IDs of the rules of a kind.
func (h *env) order(user string, k Kind) []string {
	h.T.Helper()
	r, err := h.Ruleset(h.T.Context(), user)
	h.OK(err)
	ids := []string{}
	for _, rule := range r.rules[k] {
		ids = append(ids, rule.ID)
	}
	return ids
}

// own lists the IDs of the user's own rules of a kind.
func (h *env) own(user string, k Kind) []string {
	h.T.Helper()
	return slices.DeleteFunc(h.order(user, k), func(id string) bool { return id[0] == '.' })
}
