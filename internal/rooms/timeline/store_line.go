package timeline

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/reserve"
)

// begunInJournal selects the intervals s that begin at the places of events e in the
// journal, after position $1 and up to $2. State events can change the line, and of others
// those whose state is not that of the line: these have a base. With OFFSET 0 PostgreSQL
// looks the intervals of each event up by its place.
var begunInJournal = `
	FROM events e CROSS JOIN LATERAL (
		SELECT type, state_key, event_nid FROM room_state WHERE room_nid = e.room_nid AND place = e.place OFFSET 0) s
	WHERE ` + inJournal("e") + ` AND (e.state_key IS NOT NULL OR e.base IS NOT NULL)`

// readLines reads how the lines of rooms changed in (after, upTo], by places. known has the
// events of that range, which are not read again.
func (s *Store) readLines(
	ctx context.Context, conn *pgx.Conn, after, upTo journal.Position, known []*Event, most int,
) (map[RoomAt][]Interval, error) {
	type begun struct {
		RoomAt
		event.StateKey
		NID EventNID
	}
	rows, _ := conn.Query(ctx, `
		SELECT e.room_nid, e.place, s.type, s.state_key, coalesce(s.event_nid, 0)`+begunInJournal+`
		ORDER BY e.place, s.type, s.state_key`, after, upTo)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[begun])
	if err != nil {
		return nil, fmt.Errorf("read how the state of rooms has changed: %w", err)
	}
	byNID := make(map[EventNID]*Event, len(known))
	for _, e := range known {
		byNID[e.NID] = e
	}
	var older []EventNID
	for _, b := range list {
		if b.NID != 0 && byNID[b.NID] == nil {
			older = append(older, b.NID)
		}
	}
	if len(older) > 0 {
		events, err := readSound(ctx, conn, s.versions, &reserve.Counter{}, int64(most), selectEvents+`WHERE e.event_nid = ANY($1)`, older)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			byNID[e.NID] = e
		}
	}
	lines := map[RoomAt][]Interval{}
	for _, b := range list {
		lines[b.RoomAt] = append(lines[b.RoomAt], Interval{b.StateKey, b.At, byNID[b.NID]})
	}
	return lines, nil
}

// StateBetween reads the events that began to hold in (after, upTo] as state of a type, in
// the form in which they are shown now, in parts.
func (s *Store) StateBetween(ctx context.Context, after, upTo journal.Position, evType string) (*Cursor, error) {
	var events []*Event
	if s.inWindow(after, upTo, func(c RoomChange) {
		for at := range c.Line {
			if at.Type == evType && at.Event != nil {
				events = append(events, at.Event)
			}
		}
	}) {
		return s.Cursor(List{Events: events}), nil
	}
	return s.cursor(ctx, `SELECT s.event_nid`+begunInJournal+` AND s.type = $3`, after, upTo, evType)
}

// Delta asks how the state of a room changed after Since: to the state just before Start,
// and to the state at UpTo.
type Delta struct {
	Room               journal.RoomNID
	Since, Start, UpTo Place
}

// LineChange is how the state of a room has changed: the intervals that a Delta asks for and
// that name an event, in the order of their places.
type LineChange struct {
	Intervals []Interval
	// Cut: there are more, for which one read was too small.
	Cut bool
}

// StateChanges reads, for each Delta, the intervals that begin after Since, and that held
// just before Start or hold at UpTo.
func (s *Store) StateChanges(ctx context.Context, deltas []Delta) (map[journal.RoomNID]LineChange, error) {
	changes, rest := map[journal.RoomNID]LineChange{}, []Delta(nil)
	for _, d := range deltas {
		intervals, ok := inRecent(s.recents, d.Room, func(r *recent) ([]Interval, bool) { return r.changes(d) })
		switch {
		case !ok:
			rest = append(rest, d)
		case len(intervals) > 0:
			changes[d.Room] = LineChange{Intervals: intervals}
		}
	}
	if len(rest) == 0 {
		return changes, nil
	}
	stored, err := s.storedStateChanges(ctx, rest)
	maps.Copy(changes, stored)
	return changes, err
}

func (s *Store) storedStateChanges(ctx context.Context, deltas []Delta) (map[journal.RoomNID]LineChange, error) {
	n := len(deltas)
	room, since := make([]int64, n), make([]int64, n)
	start, upTo := make([]int64, n), make([]int64, n)
	for i, d := range deltas {
		room[i], since[i], start[i], upTo[i] = int64(d.Room), int64(d.Since), int64(d.Start), int64(d.UpTo)
	}
	// With LIMIT PostgreSQL looks each event up by its number, and with OFFSET 0 the intervals of
	// each room. For the subqueries see eachWindow.
	read, err := s.cut(ctx, byBeginning, reserve.Bytes(ctx), `
		unnest((SELECT $1::bigint[]), (SELECT $2::bigint[]), (SELECT $3::bigint[]), (SELECT $4::bigint[])) AS w(room_nid, since, start, up_to)
		CROSS JOIN LATERAL (
			SELECT event_nid, place FROM room_state
			WHERE room_nid = w.room_nid AND place > w.since AND place <= w.up_to
				AND (place < w.start AND (replaced_at IS NULL OR replaced_at >= w.start)
					OR replaced_at IS NULL OR replaced_at > w.up_to) OFFSET 0) held
		CROSS JOIN LATERAL (SELECT * FROM events WHERE event_nid = held.event_nid LIMIT 1) e`, room, since, start, upTo)
	if err == nil && len(read.Left) > 0 {
		err = reserve.Ahead(ctx, partCost)
	}
	changes := map[journal.RoomNID]LineChange{}
	for i, e := range read.Events {
		c := changes[e.Room]
		c.Intervals = append(c.Intervals, Interval{event.StateKey{Type: e.Type, Key: *e.StateKey}, read.from[i], e})
		changes[e.Room] = c
	}
	for _, left := range read.Left {
		changes[left.Room] = LineChange{changes[left.Room].Intervals, true}
	}
	for _, c := range changes {
		slices.SortFunc(c.Intervals, func(a, b Interval) int { return cmp.Compare(a.From, b.From) })
	}
	return changes, err
}
