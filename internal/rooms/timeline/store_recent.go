package timeline

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"

	"homeserver/internal/journal"
	"homeserver/internal/reserve"
)

// selectRecent reads the recent parts of rooms $1: a row for each event above the floor, with the end
// -1, and one for each entry of the line that holds at the floor or later. An entry whose event is among
// the former, by its number, is without the event. It reads the first rooms of an estimated weight of
// $3 together, without those above $2. OFFSET 0 keeps PostgreSQL from working out a floor anew
// wherever it is named. Where an interval ends, another begins, which names nothing if nothing holds
// then.
var selectRecent = `
	SELECT ` + eventColumns + `, e.held_from, e.until, f.floor, c.state_floor
	FROM (
		SELECT n.room_nid, n.ordinality, r.cost, sum(r.cost) FILTER (WHERE r.cost <= $2) OVER (ORDER BY n.ordinality) AS total
		FROM unnest((SELECT $1::bigint[])) WITH ORDINALITY AS n(room_nid)
		CROSS JOIN LATERAL (
			SELECT state_bytes + ` + strconv.Itoa(costOfMember) + ` * (joined_members + invited_members) + ` + strconv.Itoa(costOfTimeline) + ` AS cost
			FROM rooms WHERE room_nid = n.room_nid LIMIT 1) r) w
	CROSS JOIN LATERAL (
		SELECT coalesce((
			SELECT place FROM events WHERE room_nid = w.room_nid AND place > 0
			ORDER BY place DESC OFFSET ` + strconv.Itoa(recentRead) + ` LIMIT 1), 0) AS floor OFFSET 0) f
	CROSS JOIN LATERAL (
		SELECT coalesce((
			SELECT place FROM room_state WHERE room_nid = w.room_nid AND place <= f.floor ORDER BY place DESC LIMIT 1), 0) AS state_floor OFFSET 0) c
	CROSS JOIN LATERAL (
		SELECT ` + eventColumns + `, 0::bigint AS held_from, -1::bigint AS until FROM events e
		WHERE e.room_nid = w.room_nid AND e.place > f.floor
		UNION ALL
		SELECT h.event_nid, e.position, e.place, w.room_nid, ` + columnsInEvent + `, h.place, h.until
		FROM (
			SELECT event_nid, place, ` + strconv.FormatInt(int64(unbounded), 10) + ` AS until FROM room_state
			WHERE room_nid = w.room_nid AND replaced_at IS NULL AND event_nid IS NOT NULL
			UNION ALL
			SELECT event_nid, place, replaced_at FROM room_state
			WHERE room_nid = w.room_nid AND replaced_at > f.floor AND event_nid IS NOT NULL) h
		LEFT JOIN LATERAL (
			SELECT * FROM events
			WHERE event_nid = h.event_nid AND (h.place <= f.floor OR h.place <> h.event_nid * ` + placesEachSQL + `) LIMIT 1) e ON true
		OFFSET 0) e
	WHERE w.cost <= $2 AND w.total <= $3
	ORDER BY w.ordinality`

// The estimated weight of a member, and of a timeline.
const (
	costOfMember   = 1000
	costOfTimeline = 30_000
)

// recentRow is a row of selectRecent without its event.
type recentRow struct {
	room journal.RoomNID
	nid  EventNID
	from Place
	recentPlaces
}

// recentRows is what was read of the recent part of a room.
type recentRows struct {
	floor, stateFloor Place
	events            []*Event
	line              []*held
	damaged           bool
}

// readRecent reads the recent parts of the first rooms that fit into so many bytes. If there is none, it
// returns the one that did not fit alone.
func (s *Store) readRecent(
	ctx context.Context, rooms []*recent, bytes int64,
) (read map[journal.RoomNID]*recentRows, tooLarge journal.RoomNID, err error) {
	numbers, columns := make([]journal.RoomNID, len(rooms)), make([]int64, len(rooms))
	for i, r := range rooms {
		numbers[i], columns[i] = r.room, int64(r.room)
	}
	if err := s.versions.ensure(ctx, s.pool, numbers); err != nil {
		return nil, 0, err
	}
	var f found
	before := reserve.Used(ctx)
	err = reserve.Read(ctx, func(c *reserve.Counter) error {
		f, err = readRows(ctx, s.pool, s.versions, c, bytes, selectRecent, columns, s.recents.most(), bytes)
		if errors.Is(err, journal.ErrTooMuch) { // estimates were too low
			if last := f.dropLastRoom(); len(f.recent) == 0 {
				tooLarge = last
			}
			err = f.readBeside(ctx, s.pool, c, math.MaxInt64)
		}
		return err
	})
	reserve.Drop(ctx, reserve.Used(ctx)-before) // the cache counts it
	if err != nil {
		return nil, 0, err // what was read is not whole
	}
	return f.byRecent(), tooLarge, nil
}

// dropLastRoom drops what was read of the last room, of which there is more, and returns that.
func (f *found) dropLastRoom() (last journal.RoomNID) {
	if n := len(f.recent); n > 0 {
		last = f.recent[n-1].room
	}
	isLast := func(r recentRow) bool { return r.room == last }
	f.recent = slices.DeleteFunc(f.recent, isLast)
	f.Events = slices.DeleteFunc(f.Events, func(e *Event) bool { return e.Room == last })
	return last
}

// byRecent sorts the rows of selectRecent by rooms, in compact form. A damaged row is reported
// when a request for it reads it.
func (f *found) byRecent() map[journal.RoomNID]*recentRows {
	read, texts, known := map[journal.RoomNID]*recentRows{}, compactor{}, make(map[EventNID]*Event, len(f.Events))
	for _, row := range f.recent {
		if read[row.room] == nil {
			read[row.room] = &recentRows{floor: Place(row.floor), stateFloor: Place(row.stateFloor)}
		}
	}
	for _, whole := range f.Events {
		of := read[whole.Room]
		if known[whole.NID] != nil {
			continue
		}
		e := texts.compact(whole)
		known[e.NID] = e
		if e.Place > of.floor {
			of.events = append(of.events, e)
		}
	}
	for _, row := range f.recent {
		of, e := read[row.room], known[row.nid]
		switch {
		case e == nil:
			of.damaged = true
		case row.until > 0:
			of.line = append(of.line, &held{Event: e, from: row.from, until: Place(row.until)})
		}
	}
	return read
}
