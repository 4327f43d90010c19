package timeline

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/reserve"
)

// The methods in this file are for followers of the journal in the background, and for
// search. They check no access.

// EventsBetween reads the events of some types in (after, upTo], nil: of all, as they are
// to be shown now, in parts. Those of each room come oldest first.
func (s *Store) EventsBetween(ctx context.Context, after, upTo journal.Position, types []string) (*Cursor, error) {
	if events, ok := s.eventsInWindow(after, upTo, types); ok {
		return s.Cursor(List{Events: events}), nil
	}
	return s.cursor(ctx, `SELECT e.event_nid FROM events e WHERE `+inJournal("e")+` AND ($3::text[] IS NULL OR e.type = ANY($3))`, after, upTo, types)
}

// eventsInWindow returns the same out of memory, if everything is there.
func (s *Store) eventsInWindow(after, upTo journal.Position, types []string) (events []*Event, ok bool) {
	ok = s.inWindow(after, upTo, func(c RoomChange) {
		if c.Event != nil && (types == nil || slices.Contains(types, c.Event.Type)) {
			events = append(events, c.Event)
		}
	})
	return events, ok
}

// inWindow looks at the changes in (after, upTo] if all of them are in memory, and reports
// whether they are.
func (s *Store) inWindow(after, upTo journal.Position, look func(RoomChange)) (ok bool) {
	s.journal.Read(func(v journal.View) {
		if ok = v.Covers(after) && v.Position >= upTo; !ok {
			return
		}
		for _, entry := range v.Between(after, upTo) {
			look(ChangeOf(entry))
		}
	})
	return ok
}

// RedactedBetween lists the events that were redacted by those in
// (after, upTo].
func (s *Store) RedactedBetween(ctx context.Context, after, upTo journal.Position) ([]EventNID, error) {
	if redactions, ok := s.eventsInWindow(after, upTo, []string{event.TypeRedaction}); ok && len(redactions) == 0 {
		return nil, nil
	}
	rows, _ := s.pool.Query(ctx, `
		SELECT t.event_nid FROM events e JOIN events t ON t.event_id = e.redacts
		WHERE `+inJournal("e")+` AND e.redacts IS NOT NULL`, after, upTo)
	list, err := pgx.CollectRows(rows, pgx.RowTo[EventNID])
	if err != nil {
		return nil, fmt.Errorf("list redacted events: %w", err)
	}
	return list, nil
}

// EventsOf reads the events of some numbers, as many of the first as one read may
// bring, in no order.
func (s *Store) EventsOf(ctx context.Context, numbers []EventNID) (List, error) {
	const asListed order = `array_position($1::bigint[], event_nid)`
	read, err := s.cut(ctx, asListed, reserve.Bytes(ctx), fromEvents(`WHERE e.event_nid = ANY($1)`), numbers)
	return read.List, err
}

// Neighbours reads the events next to each window's lower end (forward) or upper
// end, at most limit of each. Windows may share events, which are given once, in
// the order of places. Where that is too much for one read, the oldest are left.
func (s *Store) Neighbours(ctx context.Context, windows []Window, forward bool, limit int) (List, error) {
	direction := " DESC"
	if forward {
		direction = ""
	}
	room, low, high := columnsOfWindows(windows)
	read, err := s.cut(ctx, newestFirst, reserve.Bytes(ctx), fromEvents(`
		WHERE e.event_nid IN (
			SELECT near.event_nid
			FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS w(room_nid, low, high)
			CROSS JOIN LATERAL (
				SELECT n.event_nid FROM events n
				WHERE n.room_nid = w.room_nid AND n.place BETWEEN w.low AND w.high
				ORDER BY n.place`+direction+` LIMIT $4) near)`), room, low, high, limit)
	return read.List, err
}

// Encrypted returns which of the rooms are end-to-end encrypted.
func (s *Store) Encrypted(ctx context.Context, rooms []journal.RoomNID) (map[journal.RoomNID]bool, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT room_nid FROM room_state
		WHERE room_nid = ANY($1) AND type = 'm.room.encryption' AND state_key = '' AND replaced_at IS NULL AND event_nid IS NOT NULL`, rooms)
	list, err := pgx.CollectRows(rows, pgx.RowTo[journal.RoomNID])
	if err != nil {
		return nil, fmt.Errorf("look for encrypted rooms: %w", err)
	}
	set := make(map[journal.RoomNID]bool, len(list))
	for _, nid := range list {
		set[nid] = true
	}
	return set, nil
}
