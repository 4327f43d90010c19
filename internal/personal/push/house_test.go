package push

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/profile"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/timeline"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const (
	alice = "@alice:localhost"
	bob   = "@bob:localhost"
	carol = "@carol:localhost"
)

// house is the services of one server on a database of its own, and how far users
// have read, as receipts would tell.
type house struct {
	*Service
	t       testing.TB
	pool    *pgxpool.Pool
	journal *journal.Journal
	users   *auth.Service
	rooms   *rooms.Service
	read    *marks
}

// marks is how far users have read, and whom they ignore.
type marks struct {
	mu      sync.Mutex
	byUser  map[string]map[journal.RoomNID]ReadMarks
	ignored map[string]map[string]bool
}

func (m *marks) upTo(_ context.Context, userID string, _ []journal.RoomNID) (map[journal.RoomNID]ReadMarks, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byUser[userID], nil
}

func (m *marks) ignoredBy(_ context.Context, userID string) (map[string]bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ignored[userID], nil
}

func newHouse(t *testing.T) *house {
	t.Helper()
	t.Parallel()
	return houseOn(t, postgrestest.New(t), journal.Options{})
}

// houseOn starts another server process, as it were, on a database.
func houseOn(t testing.TB, pool *pgxpool.Pool, o journal.Options) *house {
	t.Helper()
	h := &house{
		t: t, pool: pool, journal: journal.New(pool, o),
		read: &marks{byUser: map[string]map[journal.RoomNID]ReadMarks{}, ignored: map[string]map[string]bool{}},
	}
	h.users = auth.New(pool, auth.Options{ServerName: "localhost", Argon: auth.ArgonParams{MemoryKiB: 8, Passes: 1, Threads: 1}})
	signer := &event.Signer{ServerName: "localhost", KeyID: "ed25519:test", Key: ed25519.NewKeyFromSeed(make([]byte, 32))}
	h.rooms = rooms.New(rooms.Options{Pool: pool, Journal: h.journal, Profiles: profile.New(pool), Signer: signer})
	h.Service = New(h.options())
	h.ok(h.journal.Start(t.Context()))
	t.Cleanup(func() {
		if err := h.journal.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *house) options() Options {
	return Options{
		Pool: h.pool, Journal: h.journal, Rooms: h.rooms.Timeline, ReadUpTo: h.read.upTo, Ignored: h.read.ignoredBy,
		OwnsEmail: func(_ context.Context, userID, address string) (bool, error) {
			return userID == alice && address == "alice@example.org", nil
		},
	}
}

// another makes a further service, which has nothing in memory. It is for one look:
// it does not hear of what is committed.
func (h *house) another() *Service {
	h.t.Helper()
	s := newService(h.options())
	return s
}

func (h *house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) wantCode(err error, code matrix.Code) {
	h.t.Helper()
	if !matrix.IsCode(err, code) {
		h.t.Errorf("got error %v, want %s", err, code)
	}
}

// room makes a public room of alice's with the users in it.
func (h *house) room(joined ...string) (roomID string) {
	h.t.Helper()
	created, err := h.rooms.Create(h.t.Context(), alice, rooms.CreateRequest{Preset: "public_chat"})
	h.ok(err)
	for _, user := range joined {
		h.ok(h.rooms.Join(h.t.Context(), user, created.RoomID, ""))
	}
	return created.RoomID
}

func asRequest(user, roomID string) rooms.Request { return rooms.Request{UserID: user, RoomID: roomID} }

// send sends an event with a content, and gives its ID.
func (h *house) send(user, roomID, evType, content string) string {
	h.t.Helper()
	id, err := h.rooms.Send(h.t.Context(), asRequest(user, roomID), evType, json.RawMessage(content))
	h.ok(err)
	return id
}

func (h *house) say(user, roomID, body string) string {
	h.t.Helper()
	return h.send(user, roomID, "m.room.message", fmt.Sprintf(`{"msgtype":"m.text","body":%q}`, body))
}

// mention sends a message that mentions users.
func (h *house) mention(user, roomID string, mentioned ...string) string {
	h.t.Helper()
	list, err := json.Marshal(mentioned)
	h.ok(err)
	return h.send(user, roomID, "m.room.message", `{"msgtype":"m.text","body":"hey","m.mentions":{"user_ids":`+string(list)+`}}`)
}

// inThread sends a message in the thread of a root.
func (h *house) inThread(user, roomID, root string) string {
	h.t.Helper()
	return h.send(user, roomID, "m.room.message",
		`{"msgtype":"m.text","body":"in the thread","m.relates_to":{"rel_type":"m.thread","event_id":"`+root+`"}}`)
}

func (h *house) event(user, roomID, eventID string) *timeline.Event {
	h.t.Helper()
	e, _, err := h.rooms.Timeline.Event(h.t.Context(), user, roomID, eventID)
	h.ok(err)
	return e
}

// nid is the number of a room that alice is in.
func (h *house) nid(roomID string) journal.RoomNID {
	h.t.Helper()
	e, _, err := h.rooms.Timeline.StateEvent(h.t.Context(), alice, roomID, "m.room.create", "")
	h.ok(err)
	return e.Room
}

// mark sets how far a user has read a room.
func (h *house) mark(user, roomID string, set func(m *ReadMarks)) {
	h.t.Helper()
	nid := h.nid(roomID)
	h.read.mu.Lock()
	defer h.read.mu.Unlock()
	all := h.read.byUser[user]
	next := map[journal.RoomNID]ReadMarks{}
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
func (h *house) unread(user, roomID string) Unread {
	h.t.Helper()
	nid := h.nid(roomID)
	warm := h.unreadBy(h.Service, user, nid)
	if diff := cmp.Diff(h.unreadBy(h.another(), user, nid), warm); diff != "" {
		h.t.Errorf("what is kept in memory differs from what is counted anew (-anew +kept):\n%s", diff)
	}
	return warm
}

func (h *house) unreadBy(s *Service, user string, nid journal.RoomNID) Unread {
	h.t.Helper()
	counts, err := s.Counts(h.t.Context(), user, []journal.RoomNID{nid}, h.journal.Position())
	h.ok(err)
	u, ok := counts[nid]
	if !ok {
		h.t.Fatalf("there is no count for the room: %v", counts)
	}
	return u
}

func (h *house) wantUnread(user, roomID string, want Unread) {
	h.t.Helper()
	if diff := cmp.Diff(want, h.unread(user, roomID)); diff != "" {
		h.t.Errorf("unread of %s (-want +got):\n%s", user, diff)
	}
}

// put adds a rule with JSON as its body.
func (h *house) put(user string, k Kind, id, body string, at Place) error {
	h.t.Helper()
	var n NewRule
	h.ok(json.Unmarshal([]byte(body), &n))
	return h.PutRule(h.t.Context(), user, k, id, n, at)
}

// order lists the IDs of the rules of a kind.
func (h *house) order(user string, k Kind) []string {
	h.t.Helper()
	r, err := h.Ruleset(h.t.Context(), user)
	h.ok(err)
	ids := []string{}
	for _, rule := range r.rules[k] {
		ids = append(ids, rule.ID)
	}
	return ids
}

// own lists the IDs of the user's own rules of a kind.
func (h *house) own(user string, k Kind) []string {
	h.t.Helper()
	return slices.DeleteFunc(h.order(user, k), func(id string) bool { return id[0] == '.' })
}
