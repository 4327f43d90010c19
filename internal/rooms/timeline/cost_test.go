package timeline_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/journal"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/plantest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
)

// eventsOfOneNumber is the table of events as it was when one number was an event's
// identity, its position and its place, and as long as no other server had rooms here.
const eventsOfOneNumber = `
	CREATE TABLE before (
		position    bigint PRIMARY KEY,
		room_nid    bigint NOT NULL,
		event_id    text NOT NULL UNIQUE,
		type        text NOT NULL,
		state_key   text,
		sender      text NOT NULL,
		json        bytea NOT NULL,
		has_url     boolean NOT NULL,
		redacts     text,
		replaces    bigint,
		redacted_by bigint,
		device_id   text,
		txn_id      text
	);
	CREATE INDEX ON before (room_nid, position);
	CREATE UNIQUE INDEX ON before (sender, device_id, txn_id, room_nid, type, (coalesce(redacts, ''))) WHERE txn_id IS NOT NULL;
	INSERT INTO before
	SELECT event_nid, room_nid, event_id, type, state_key, sender, json, has_url, redacts, replaces, redacted_by, device_id, txn_id
	FROM events ORDER BY event_nid`

// sendMany sends messages, each with a transaction ID as clients do.
func (h *env) sendMany(room string, number int) {
	h.T.Helper()
	for i := range number {
		q := roomstest.As(alice, room)
		q.DeviceID, q.TxnID = "PHONE", fmt.Sprint("m", i)
		_, err := h.Rooms.Send(h.T.Context(), q, "m.room.message", roomstest.Message("Hello "+strings.Repeat("!", i%8)))
		h.OK(err)
	}
}

func TestBytesOfALocalMessage(t *testing.T) {
	matrixtest.Long(t)
	h := newEnv(t)
	const messages, most, mostIndexed = 2000, 40, 64 // bytes more of each
	h.sendMany(h.Create(alice, rooms.CreateRequest{}), messages)
	_, err := h.Pool.Exec(t.Context(), eventsOfOneNumber)
	h.OK(err)
	sizes := func(table string) (row float64, indexes int64) {
		h.OK(h.Pool.QueryRow(t.Context(), `SELECT avg(pg_column_size(e.*)), pg_indexes_size($1::text::regclass) FROM `+table+` e
			WHERE type = 'm.room.message'`, table).Scan(&row, &indexes))
		return row, indexes
	}
	rowBefore, indexesBefore := sizes("before")
	row, indexes := sizes("events")
	if row > rowBefore+most {
		t.Errorf("a row takes %.1f bytes, and took %.1f", row, rowBefore)
	}
	if indexes > indexesBefore+mostIndexed*messages {
		t.Errorf("the indexes take %d bytes, and took %d", indexes, indexesBefore)
	}
}

func TestIndexesOfEventsAndState(t *testing.T) {
	h := newEnv(t)
	h.sendMany(h.Create(alice, rooms.CreateRequest{}), 3)
	for table, want := range map[string][]string{
		"events":     {"events_event_id_key", "events_pkey", "events_place", "events_position", "events_time", "events_transaction"},
		"room_state": {"room_state_changes", "room_state_current", "room_state_members", "room_state_of_user", "room_state_pkey", "room_state_replaced", "room_state_tombstones"},
	} {
		rows, _ := h.Pool.Query(t.Context(), `SELECT indexname FROM pg_indexes WHERE tablename = $1 ORDER BY 1`, table)
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		h.OK(err)
		matrixtest.Equal(t, table, got, want)
	}
	// The additional index is for events that were here before they were new to clients.
	var held int
	h.OK(h.Pool.QueryRow(t.Context(), `SELECT count(*) FROM events WHERE position <> event_nid`).Scan(&held))
	if held != 0 {
		t.Errorf("events_position holds %d events", held)
	}
}

// traced returns another pool of the test's database, and its statements.
func (h *env) traced() (*pgxpool.Pool, *plantest.Recorder) { return plantest.Record(h.T, h.Pool) }

func TestStatementsOfALocalMessage(t *testing.T) {
	h := newEnv(t)
	room := h.Create(alice, rooms.CreateRequest{})
	pool, sent := h.traced()
	writer := &env{roomstest.Open(t, roomstest.Options{Pool: pool, Journal: journal.Options{Watch: time.Hour}}).Run()}
	writer.Send(alice, room, "so that the room is in memory")
	sent.Take()
	const messages = 10
	writer.sendMany(room, messages)
	var got []string
	for _, q := range sent.Take() {
		words := strings.Fields(q.SQL)
		got = append(got, strings.Join(words[:min(len(words), 2)], " "))
	}
	each := []string{"UPDATE journal", "WITH moved", "INSERT INTO"} // the room is the second
	matrixtest.Equal(t, "statements", got, slices.Repeat(each, messages))
}
