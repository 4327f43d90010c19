package bare

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Messages is a bare loop that writes what sending a message writes: the same
// rows to copies of the same tables, with the same indexes.
type Messages struct {
	loop *Loop[message]
	nids []int64
	text []byte
}

type message struct {
	room int64
	id   string
}

// bareTables are the tables that the loop writes.
const bareTables = `
	CREATE TABLE bare_events (LIKE events INCLUDING ALL);
	CREATE TABLE bare_rooms (LIKE rooms INCLUDING ALL);
	INSERT INTO bare_rooms SELECT * FROM rooms`

// StartMessages starts the loop on a database that has rooms, with a message in
// one of them, whose bytes are those that it writes. It runs until Stop.
func StartMessages(ctx context.Context, pool *pgxpool.Pool) (*Messages, error) {
	if _, err := pool.Exec(ctx, bareTables); err != nil {
		return nil, fmt.Errorf("make the tables of the bare loop: %w", err)
	}
	m := &Messages{}
	err := pool.QueryRow(ctx, `
		SELECT (SELECT array_agg(room_nid ORDER BY room_nid) FROM rooms), json
		FROM events WHERE type = 'm.room.message' ORDER BY event_nid DESC LIMIT 1`).Scan(&m.nids, &m.text)
	if err != nil {
		return nil, fmt.Errorf("find a message for the bare loop: %w", err)
	}
	m.loop, err = StartLoop(ctx, pool, m.insert)
	return m, err
}

// Stop ends the loop. Call it once, when nobody calls Commit any more.
func (m *Messages) Stop() { m.loop.Stop() }

func (m *Messages) insert(batch *pgx.Batch, rows []message) {
	n := len(rows)
	room, id, raw := make([]int64, n), make([]string, n), make([][]byte, n)
	for i, r := range rows {
		room[i], id[i], raw[i] = r.room, r.id, m.text
	}
	batch.Queue(`UPDATE bare_rooms SET heads = ARRAY[n.id], depth = depth + 1, turn = turn + 1
		FROM unnest($1::bigint[], $2::text[]) AS n(room, id) WHERE room_nid = n.room`, room, id)
	batch.Queue(`
		INSERT INTO bare_events (event_nid, position, place, room_nid, event_id, type, sender, json, has_url, device_id, txn_id)
		SELECT p.at, p.at, p.at * 1024, n.room, n.id, 'm.room.message', '@user0:localhost', n.json, false, 'BENCHMARK', n.id
		FROM bare_journal j, unnest($2::bigint[], $3::text[], $4::bytea[]) WITH ORDINALITY AS n(room, id, json, i),
			LATERAL (SELECT j.position - $1 + n.i) p(at)`,
		n, room, id, raw)
}

// Commit writes a message to one of so many rooms, and returns once it is durable.
func (m *Messages) Commit(sender, rooms int) error {
	const idLetters = 43
	return m.loop.Commit(message{m.nids[sender%rooms], "$" + (rand.Text() + rand.Text())[:idLetters]})
}
