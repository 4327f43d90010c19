package timeline

import (
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// errMoved says that the room has moved on since an event was built.
const errMoved = "HS001"

// Moved reports whether a commit failed because the room had moved on.
func Moved(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == errMoved
}

// Doubled reports whether a commit failed because there is a room of the ID already: from
// version 12 on that comes from the first event, and another process may have made the same
// one in the same millisecond.
func Doubled(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505" && pg.ConstraintName == "rooms_room_id_key"
}

// Repeated reports whether a commit failed because the transaction ID is used.
func Repeated(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505" && pg.ConstraintName == "events_transaction"
}

// Annotated reports whether a commit failed because the sender has annotated the event so
// before.
func Annotated(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505" && pg.ConstraintName == "relations_annotations"
}

// queueEvents writes the events of a group: new rooms, heads, events with their relations,
// state and redactions, each with one statement. Positions are known by now.
func queueEvents(b *pgx.Batch, entries []*journal.Entry) error {
	events := make([]*Event, len(entries))
	for i, entry := range entries {
		e := EventOf(entry)
		e.Position, e.NID, e.Place = entry.Position, EventNID(entry.Position), PlaceOf(entry.Position)
		if e.Replaces != nil && e.Replaces.event != nil {
			e.Replaces.NID, e.Replaces.Place = e.Replaces.event.NID, e.Replaces.event.Place
		}
		events[i] = e
	}
	queueNewRooms(b, events)
	queueHeads(b, events)
	queueInsertEvents(b, events)
	queueState(b, events)
	queueStateSizes(b, events)
	queueRedactions(b, events)
	return nil
}

func queueNewRooms(b *pgx.Batch, events []*Event) {
	for _, e := range events {
		if e.Staged.NewRoom {
			b.Queue(`INSERT INTO rooms (room_nid, room_id, version, heads, depth, joined_members, invited_members)
				VALUES ($1, $2, $3, '{}', 0, 0, 0)`, e.Room, e.RoomID, e.Version.ID)
		}
	}
}

// heads is how the heads of rooms move in a group, as columns.
type heads struct {
	index                  map[journal.RoomNID]int
	room                   []journal.RoomNID
	turn, turns            []int64 // where the room is expected, and how many more there are
	head                   []string
	depth, joined, invited []int64
	broken                 bool
}

func (h *heads) add(e *Event) {
	i, ok := h.index[e.Room]
	if !ok {
		i = len(h.room)
		h.index[e.Room] = i
		h.room = append(h.room, e.Room)
		h.turn = append(h.turn, e.Staged.Turn)
		h.turns = append(h.turns, 0)
		h.head = append(h.head, "")
		h.depth = append(h.depth, 0)
		h.joined = append(h.joined, 0)
		h.invited = append(h.invited, 0)
	} else if h.turn[i]+h.turns[i] != e.Staged.Turn {
		h.broken = true // built on an event that was not committed
	}
	h.turns[i]++
	h.head[i], h.depth[i] = e.ID, e.Depth
	h.joined[i] += int64(e.Staged.Joined)
	h.invited[i] += int64(e.Staged.Invited)
}

// ofFew bounds the rows of a group, the first of whose columns is $1, by their number. PostgreSQL,
// which does not know the number, expects few then, and looks each up by an index.
const ofFew = ` LIMIT cardinality($1::bigint[])`

// queueHeads moves each room's heads to the last event, if the room is still in the turn in
// which the events were built; else it fails the group with errMoved.
func queueHeads(b *pgx.Batch, events []*Event) {
	h := &heads{index: map[journal.RoomNID]int{}}
	for _, e := range events {
		h.add(e)
	}
	wanted := len(h.room)
	if h.broken {
		wanted = -1 // never so
	}
	b.Queue(`
		WITH moved AS (
			UPDATE rooms r SET heads = ARRAY[n.head], depth = n.depth, turn = n.turn + n.turns,
				joined_members = r.joined_members + n.joined, invited_members = r.invited_members + n.invited
			FROM (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[])`+ofFew+`)
				AS n(room_nid, turn, turns, head, depth, joined, invited)
			WHERE r.room_nid = n.room_nid AND r.turn = n.turn
			RETURNING 1)
		SELECT expect_rows(count(*), $8, '`+errMoved+`') FROM moved`,
		h.room, h.turn, h.turns, h.head, h.depth, h.joined, h.invited, wanted)
}

func queueInsertEvents(b *pgx.Batch, events []*Event) {
	n := len(events)
	position, place, room := make([]journal.Position, n), make([]Place, n), make([]journal.RoomNID, n)
	id, typ, sender, raw := make([]string, n), make([]string, n), make([]string, n), make([][]byte, n)
	stateKey, redacts := make([]*string, n), make([]*string, n)
	device, txn := make([]*string, n), make([]*string, n)
	replaces, withURL, madeAt := make([]*EventNID, n), make([]bool, n), make([]int64, n)
	relations := &relationColumns{}
	for i, e := range events {
		relations.add(e)
		position[i], place[i], room[i], id[i], typ[i], sender[i], raw[i] = e.Position, e.Place, e.Room, e.ID, e.Type, e.Sender, e.JSON
		stateKey[i], withURL[i], madeAt[i] = e.StateKey, hasURL(e.Event.Content), e.OriginServerTS
		if e.Staged.Target != nil {
			redacts[i] = &e.Staged.Target.ID
		}
		if e.Replaces != nil {
			replaces[i] = &e.Replaces.NID
		}
		if e.TxnID != "" {
			device[i], txn[i] = &e.DeviceID, &e.TxnID
		}
	}
	sql, args := relations.into(insertEvents, []any{
		position, place, room, id, typ, stateKey, sender, raw, withURL, redacts, replaces, device, txn, madeAt,
	})
	b.Queue(sql, args...)
	relations.queueThreadRoots(b)
}

const insertEvents = `
	INSERT INTO events (event_nid, position, place, room_nid, event_id, type, state_key, sender, json, has_url, redacts, replaces, device_id, txn_id,
		origin_server_ts)
	SELECT n.position, n.* FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[],
		$9::boolean[], $10::text[], $11::bigint[], $12::text[], $13::text[], $14::bigint[]) AS n(position)`

func nonEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// queueState ends the intervals of replaced entries, and begins those of the new state.
// Within a group one key may change more than once.
func queueState(b *pgx.Batch, events []*Event) {
	type key struct {
		room journal.RoomNID
		event.StateKey
	}
	var room []journal.RoomNID
	var typ, stateKey []string
	var number []EventNID
	var place []Place
	var replacedAt []*Place
	var value []*string
	var endRoom []journal.RoomNID
	var endType, endKey []string
	var endAt []Place
	last := map[key]int{}
	for _, e := range events {
		for at := range ChangeBy(e).Line {
			k := key{e.Room, at.StateKey}
			if before, ok := last[k]; ok {
				replacedAt[before] = &e.Place
			} else if e.Replaces != nil {
				endRoom, endType, endKey = append(endRoom, e.Room), append(endType, at.Type), append(endKey, at.Key)
				endAt = append(endAt, at.From)
			}
			last[k] = len(room)
			room, typ, stateKey = append(room, e.Room), append(typ, at.Type), append(stateKey, at.Key)
			number, place, replacedAt = append(number, at.Event.NID), append(place, at.From), append(replacedAt, nil)
			value = append(value, at.Event.stateValue())
		}
	}
	if len(endRoom) > 0 {
		b.Queue(`
			UPDATE room_state s SET replaced_at = n.place
			FROM (SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[])`+ofFew+`) AS n(room_nid, type, state_key, place)
			WHERE s.room_nid = n.room_nid AND s.type = n.type AND s.state_key = n.state_key AND s.replaced_at IS NULL`,
			endRoom, endType, endKey, endAt)
	}
	if len(room) > 0 {
		b.Queue(`
			INSERT INTO room_state (room_nid, type, state_key, event_nid, place, replaced_at, value)
			SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[])`,
			room, typ, stateKey, number, place, replacedAt, value)
	}
}

// queueRedactions replaces the bytes of redacted events by their redacted form, and
// their values in the table of state: redacted text is gone. What an event was related to
// stays beside it, but it is no longer found by that.
func queueRedactions(b *pgx.Batch, events []*Event) {
	for _, e := range events {
		if e.Staged.Redacted == nil {
			continue
		}
		target, redacted := e.Staged.Target, e.Staged.Redacted
		relation := target.Relation()
		b.Queue(`
			UPDATE events SET json = $2, has_url = $3, redacted_by = $4, relation_type = $5, relation_event_id = $6
			WHERE event_id = $1 AND redacted_by IS NULL`,
			target.ID, redacted.JSON, hasURL(redacted.Content), e.NID, nonEmpty(relation.Type), nonEmpty(relation.EventID))
		queueUnrelate(b, target, relation)
		if target.StateKey != nil {
			b.Queue(`UPDATE room_state SET value = $5 WHERE room_nid = $1 AND type = $2 AND state_key = $3 AND event_nid = $4`,
				target.Room, target.Type, *target.StateKey, target.NID, valueOfState(redacted))
		}
	}
}
