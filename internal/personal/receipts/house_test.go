package receipts_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/push"
	"homeserver/internal/personal/receipts"
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

// house is the services of one server process.
type house struct {
	*receipts.Service
	t       testing.TB
	pool    *pgxpool.Pool
	journal *journal.Journal
	rooms   *rooms.Service
	data    *accountdata.Service
}

func newHouse(t *testing.T) *house {
	t.Helper()
	t.Parallel()
	return houseOn(t, postgrestest.New(t))
}

// houseOn starts another server process, as it were, on a database.
func houseOn(t testing.TB, pool *pgxpool.Pool) *house {
	t.Helper()
	h := &house{t: t, pool: pool, journal: journal.New(pool, journal.Options{})}
	signer := &event.Signer{ServerName: "localhost", KeyID: "ed25519:test", Key: ed25519.NewKeyFromSeed(make([]byte, 32))}
	names := profile.New(pool)
	h.rooms = rooms.New(rooms.Options{Pool: pool, Journal: h.journal, Profiles: names, Signer: signer})
	h.data = accountdata.New(pool, h.journal, h.rooms.Timeline, 0)
	h.Service = receipts.New(pool, h.journal, h.rooms.Timeline, h.data, 0)
	h.ok(h.journal.Start(t.Context()))
	t.Cleanup(func() {
		if err := h.journal.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop the journal: %v", err)
		}
	})
	return h
}

func (h *house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// room makes a room of alice's and bob's.
func (h *house) room() string {
	h.t.Helper()
	created, err := h.rooms.Create(h.t.Context(), alice, rooms.CreateRequest{Preset: "public_chat"})
	h.ok(err)
	h.ok(h.rooms.Join(h.t.Context(), bob, created.RoomID, ""))
	return created.RoomID
}

// say sends a message, which is related to another event as the text says.
func (h *house) say(user, room, relation, target string) string {
	h.t.Helper()
	content := `{"body":"hi"}`
	if relation != "" {
		content = fmt.Sprintf(`{"body":"hi","m.relates_to":{"rel_type":%q,"event_id":%q}}`, relation, target)
	}
	id, err := h.rooms.Send(h.t.Context(), rooms.Request{UserID: user, RoomID: room}, "m.room.message", json.RawMessage(content))
	h.ok(err)
	return id
}

func (h *house) read(user, room, typ, id string) {
	h.t.Helper()
	h.ok(h.Send(h.t.Context(), user, room, typ, id, nil))
}

func (h *house) readThread(user, room, typ, id, thread string) {
	h.t.Helper()
	h.ok(h.Send(h.t.Context(), user, room, typ, id, &thread))
}

// seen lists the receipts of a room that a user may know.
func (h *house) seen(user, room string) []string {
	h.t.Helper()
	nid, err := h.rooms.Timeline.Number(h.t.Context(), room)
	h.ok(err)
	list, err := h.Changes(h.t.Context(), user, []receipts.Since{{Room: nid}}, h.journal.Position())
	h.ok(err)
	found := []string{}
	for _, r := range list {
		found = append(found, fmt.Sprintf("%s %s %s %s", r.UserID, r.Type, r.ThreadID, r.EventID))
	}
	return found
}

func (h *house) marks(user, room string) push.ReadMarks {
	h.t.Helper()
	nid, err := h.rooms.Timeline.Number(h.t.Context(), room)
	h.ok(err)
	marks, err := h.Marks(h.t.Context(), user, []journal.RoomNID{nid})
	h.ok(err)
	return marks[nid]
}

func (h *house) position(user, room, id string) journal.Position {
	h.t.Helper()
	e, _, err := h.rooms.Timeline.Event(h.t.Context(), user, room, id)
	h.ok(err)
	return e.Position
}

func wantCode(t testing.TB, what string, err error, code matrix.Code) {
	t.Helper()
	if !matrix.IsCode(err, code) {
		t.Errorf("%s: got %v, want %s", what, err, code)
	}
}
