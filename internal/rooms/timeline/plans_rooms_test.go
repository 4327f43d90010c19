package timeline_test

import (
	"fmt"
	"testing"

	"homeserver/internal/journal"
)

// How many copies there are of a room of 330 events or so, how many messages follow in each, and
// how many more members one of them has.
const copies, busy, crowd = 30, 1000, 1000

// planned is a database that is planned for: with one room and then with copies of it.
type planned struct {
	*env
	room   string
	copies int
	step   journal.Position // between two copies
}

// copyRoom copies a room, with all of its events and of its state, and moves the journal
// past them. The copies stand after the room and keep its numbers: those of copy k are
// k times the number of positions higher.
const copyRoom = `
	WITH j AS (SELECT position AS step FROM journal)
	, copied_rooms AS (
		INSERT INTO rooms (room_nid, room_id, version, heads, depth, joined_members, invited_members, state_bytes, turn)
		SELECT room_nid + 1000 * k, room_id || k, version, heads, depth, joined_members, invited_members, state_bytes, turn
		FROM rooms, generate_series(1, $1::int) k)
	, copied_events AS (
		INSERT INTO events (event_nid, position, place, room_nid, event_id, type, state_key, sender, json, has_url, redacts, replaces, redacted_by, origin_server_ts)
		SELECT event_nid + k * step, position + k * step, place + k * step * 1024, room_nid + 1000 * k, event_id || k, type, state_key,
			sender, json, has_url, redacts || k, replaces + k * step, redacted_by + k * step, CASE WHEN k > 5 THEN origin_server_ts END
		FROM generate_series(1, $1::int) k, events, j ORDER BY k, event_nid)
	, copied_state AS (
		INSERT INTO room_state (room_nid, type, state_key, event_nid, place, replaced_at, value)
		SELECT room_nid + 1000 * k, type, CASE WHEN state_key LIKE '@member%' THEN state_key || k ELSE state_key END, event_nid + k * step, place + k * step * 1024, replaced_at + k * step * 1024, value
		FROM generate_series(1, $1::int) k, room_state, j ORDER BY k, place)
	, copied_relations AS (
		INSERT INTO relations (room_nid, target_id, place, event_nid, event_id, rel_type, type, sender, is_state)
		SELECT room_nid + 1000 * k, target_id || k, place + k * step * 1024, event_nid + k * step, event_id || k, rel_type, type, sender, is_state
		FROM generate_series(1, $1::int) k, relations, j ORDER BY k, place)
	, copied_threads AS (
		INSERT INTO threads (room_nid, root_id, last_place, replies, root_nid, root_place, root_sender)
		SELECT room_nid + 1000 * k, root_id || k, last_place + k * step * 1024, replies, root_nid + k * step, root_place + k * step * 1024, root_sender
		FROM generate_series(1, $1::int) k, threads, j ORDER BY k, last_place)
	UPDATE journal SET position = step * ($1::int + 1) FROM j`

// growRooms has as many messages sent to each room.
const growRooms = `
	WITH j AS (SELECT position FROM journal)
	, said AS (
		SELECT row_number() OVER (ORDER BY r.room_nid) - 1 AS n, r.room_nid, e.type, e.sender, e.json, e.has_url, e.origin_server_ts
		FROM rooms r CROSS JOIN LATERAL (
			SELECT * FROM events WHERE room_nid = r.room_nid AND type = 'm.room.message' AND replaces IS NULL AND redacted_by IS NULL ORDER BY place LIMIT 1) e)
	, sent AS (
		INSERT INTO events (event_nid, position, place, room_nid, event_id, type, sender, json, has_url, origin_server_ts)
		SELECT at, at, at * 1024, room_nid, '$' || md5(at::text), type, sender, json, has_url, at
		FROM (SELECT j.position + 1 + m * (SELECT count(*) FROM said) + said.n AS at, said.* FROM generate_series(0, $1::int - 1) m, said, j) e ORDER BY at
		RETURNING 1)
	UPDATE journal SET position = journal.position + (SELECT count(*) FROM sent)`

// crowdRoom adds as many members to a room.
const crowdRoom = `
	WITH j AS (SELECT position FROM journal)
	, joined AS (
		INSERT INTO events (event_nid, position, place, room_nid, event_id, type, state_key, sender, json, has_url, origin_server_ts)
		SELECT at, at, at * 1024, $2, '$' || md5(at::text), type, who, who, convert_to(replace(convert_from(json, 'UTF8'), sender, who), 'UTF8'), false, 1
		FROM (SELECT j.position + m AS at, '@crowd' || m || ':localhost' AS who, e.type, e.sender, e.json FROM generate_series(1, $1::int) m, j,
			(SELECT * FROM events WHERE type = 'm.room.member' AND sender = state_key AND sender <> '@alice:localhost' ORDER BY event_nid LIMIT 1) e) e
		RETURNING room_nid, type, state_key, event_nid, place)
	, state AS (INSERT INTO room_state (room_nid, type, state_key, event_nid, place, value) SELECT *, 'join' FROM joined)
	UPDATE journal SET position = journal.position + $1::int`

// oneRoom makes a database with a room in which there is some of everything.
func oneRoom(t *testing.T) *planned {
	h := newEnv(t)
	room := h.Public(bob, carol, dave)
	for i := range 10 {
		h.Join(fmt.Sprintf("@member%d:localhost", i), room)
	}
	for i := range 30 {
		id := h.Send(alice, room, fmt.Sprint("first ", i))
		for n := range 7 {
			h.Send(bob, room, fmt.Sprint("and ", n))
		}
		h.SendEvent(bob, room, "m.room.message", relates("m.thread", id, ""))
		h.SetState(alice, room, "m.room.topic", "", fmt.Sprintf(`{"topic":"Number %d"}`, i))
		if i%10 == 0 {
			h.Redact(alice, room, id, "")
		}
		if i%3 == 0 {
			h.SetState(alice, room, "m.space.child", "!child:localhost", fmt.Sprintf(`{"via":["localhost"],"order":"%d"}`, i))
		}
	}
	return &planned{env: h, room: room, step: h.Journal.Position()}
}

// grow makes the database that of many rooms, of which some are large.
func (h *planned) grow() {
	h.T.Helper()
	h.copies, h.step = copies, h.Journal.Position()
	for _, change := range []struct {
		sql  string
		args []any
	}{{copyRoom, []any{copies}}, {growRooms, []any{busy}}, {crowdRoom, []any{crowd, h.NID(h.room) + 1000}}} {
		_, err := h.Pool.Exec(h.T.Context(), change.sql, change.args...)
		h.OK(err)
	}
}
