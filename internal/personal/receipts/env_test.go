package receipts_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/journal"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const alice, bob, carol = roomstest.Alice, roomstest.Bob, roomstest.Carol

// env is the harness with receipts.
type env struct {
	*roomstest.Env
	*receipts.Service
	data *accountdata.Service
}

func newEnv(t *testing.T) *env {
	t.Helper()
	t.Parallel()
	return envOn(t, nil)
}

// envOn starts another server process, as it were, on a database; nil: a new one.
func envOn(t testing.TB, pool *pgxpool.Pool) *env {
	t.Helper()
	h := &env{Env: roomstest.Open(t, roomstest.Options{Pool: pool})}
	h.data = accountdata.New(h.Pool, h.Journal, h.Rooms.Timeline, 0)
	h.Service = receipts.New(h.Pool, h.Journal, h.Rooms.Timeline, h.data.SetFullyRead, 0, time.Now)
	h.Run()
	return h
}

// room makes a room of alice's and bob's.
func (h *env) room() string {
	h.T.Helper()
	return h.Public(bob)
}

// say sends a message, which is related to another event as the text says.
func (h *env) say(user, room, relation, target string) string {
	h.T.Helper()
	content := `{"body":"hi"}`
	if relation != "" {
		content = fmt.Sprintf(`{"body":"hi","m.relates_to":{"rel_type":%q,"event_id":%q}}`, relation, target)
	}
	id, err := h.Rooms.Send(h.T.Context(), rooms.Request{UserID: user, RoomID: room}, "m.room.message", json.RawMessage(content))
	h.OK(err)
	return id
}

func (h *env) read(user, room, typ, id string) {
	h.T.Helper()
	h.OK(h.Service.Send(h.T.Context(), user, room, typ, id, nil))
}

func (h *env) readThread(user, room, typ, id, thread string) {
	h.T.Helper()
	h.OK(h.Service.Send(h.T.Context(), user, room, typ, id, &thread))
}

// seen lists the receipts of a room that a user may know.
func (h *env) seen(user, room string) []string {
	h.T.Helper()
	nid, err := h.Rooms.Timeline.Number(h.T.Context(), room)
	h.OK(err)
	list, _, err := h.Changes(h.T.Context(), user, []receipts.Since{{Room: nid}}, h.Journal.Position())
	h.OK(err)
	found := []string{}
	for _, r := range list {
		found = append(found, fmt.Sprintf("%s %s %s %s", r.UserID, r.Type, r.ThreadID, r.EventID))
	}
	return found
}

func (h *env) marks(user, room string) timeline.ReadMarks {
	h.T.Helper()
	nid, err := h.Rooms.Timeline.Number(h.T.Context(), room)
	h.OK(err)
	marks, err := h.Marks(h.T.Context(), user, []journal.RoomNID{nid})
	h.OK(err)
	return marks[nid]
}

func (h *env) place(user, room, id string) timeline.Place {
	h.T.Helper()
	e, _, err := h.Rooms.Timeline.For(user).Event(h.T.Context(), room, id)
	h.OK(err)
	return e.Place
}
