package timeline

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// Trace is the part of a change in a room that says which users it concerns. It is for
// followers that read much more than they need.
type Trace struct {
	Position journal.Position
	Room     journal.RoomNID
	// NID is the event's; 0: the room has changed without one.
	NID    EventNID
	Sender string
	// Size is that of the event's JSON.
	Size int
	// Event is nil where it is not in memory.
	Event *Event
	// Members are the memberships that have changed.
	Members []MemberChange
}

// MemberChange is the change of a user's membership. "" is none.
type MemberChange struct{ UserID, Was, Is string }

// Joins reports whether the user was not in the room before.
func (c MemberChange) Joins() bool { return c.Is == event.Join && c.Was != event.Join }

// Leaves reports whether the user was in the room before, and is not after.
func (c MemberChange) Leaves() bool { return c.Is != event.Join && c.Was == event.Join }

// Traces returns what was changed in (after, upTo], in the order of positions: from the live
// window, or else from the database, without the events themselves.
func (s *Store) Traces(ctx context.Context, after, upTo journal.Position) ([]Trace, error) {
	var traces []Trace
	live, known := false, true
	s.journal.Read(func(v journal.View) {
		if live = v.Covers(after) && v.Position >= upTo; !live {
			return
		}
		for _, entry := range v.Between(after, upTo) {
			if c := ChangeOf(entry); c.RoomID != "" {
				t, ok := traceOf(entry.Position, c)
				traces, known = append(traces, t), known && ok
			}
		}
	})
	if live && known {
		return traces, nil
	}
	return s.readTraces(ctx, after, upTo)
}

// traceOf returns the trace of a change, and false where it does not say who was in the room
// before.
func traceOf(p journal.Position, c RoomChange) (t Trace, ok bool) {
	t, ok = Trace{Position: p, Room: c.Room, Event: c.Event}, true
	if c.Event != nil {
		t.NID, t.Sender, t.Size = c.Event.NID, c.Event.Sender, len(c.Event.JSON)
	}
	for at := range c.Line {
		if at.Type != event.TypeMember {
			continue
		}
		if !at.IsByEvent() {
			return t, false
		}
		t.Members = append(t.Members, MemberChange{UserID: at.Key, Was: at.Event.MembershipBefore(), Is: at.Membership()})
	}
	return t, ok
}

func (s *Store) readTraces(ctx context.Context, after, upTo journal.Position) ([]Trace, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT e.position, e.room_nid, e.event_nid, e.sender, octet_length(e.json) FROM events e
		WHERE `+inJournal("e")+` ORDER BY e.position`, after, upTo)
	traces, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t Trace, err error) {
		err = row.Scan(&t.Position, &t.Room, &t.NID, &t.Sender, &t.Size)
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("read what has changed in rooms: %w", err)
	}
	if len(traces) == 0 {
		return nil, nil
	}
	rows, _ = s.pool.Query(ctx, `
		SELECT e.position, s.state_key, coalesce(was.value, ''), coalesce(s.value, '') FROM events e
		CROSS JOIN LATERAL (
			SELECT type, state_key, value FROM room_state WHERE room_nid = e.room_nid AND place = e.place OFFSET 0) s
		LEFT JOIN LATERAL (
			SELECT value FROM room_state p
			WHERE p.room_nid = e.room_nid AND p.type = s.type AND p.state_key = s.state_key AND p.replaced_at = e.place LIMIT 1) was ON true
		WHERE `+inJournal("e")+` AND (e.state_key IS NOT NULL OR e.base IS NOT NULL) AND s.type = 'm.room.member'`, after, upTo)
	var at journal.Position
	var c MemberChange
	_, err = pgx.ForEachRow(rows, []any{&at, &c.UserID, &c.Was, &c.Is}, func() error {
		i, found := slices.BinarySearchFunc(traces, at, func(t Trace, p journal.Position) int { return int(t.Position - p) })
		if found {
			traces[i].Members = append(traces[i].Members, c)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read how memberships have changed: %w", err)
	}
	return traces, nil
}

// RoomIDs returns the IDs of rooms.
func (s *Store) RoomIDs(ctx context.Context, rooms []journal.RoomNID) (map[journal.RoomNID]string, error) {
	rows, _ := s.pool.Query(ctx, `SELECT room_nid, room_id FROM rooms WHERE room_nid = ANY($1)`, rooms)
	ids := make(map[journal.RoomNID]string, len(rooms))
	var nid journal.RoomNID
	var id string
	_, err := pgx.ForEachRow(rows, []any{&nid, &id}, func() error {
		ids[nid] = id
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the IDs of rooms: %w", err)
	}
	return ids, nil
}

// JoinedUpTo calls do for each user who was in one of some rooms at a position of the journal,
// after the changes that were made there.
func (s *Store) JoinedUpTo(ctx context.Context, rooms []journal.RoomNID, at journal.Position, do func(room journal.RoomNID, userID string)) error {
	rows, _ := s.pool.Query(ctx, `
		SELECT room_nid, state_key FROM room_state
		WHERE room_nid = ANY($1) AND type = 'm.room.member' AND value = 'join' AND replaced_at IS NULL AND place <= $2
		UNION ALL
		SELECT room_nid, state_key FROM room_state
		WHERE room_nid = ANY($1) AND replaced_at > $2 AND place <= $2 AND type = 'm.room.member' AND value = 'join'`,
		rooms, PlaceOf(at))
	if err := forEachMember(rows, do); err != nil {
		return fmt.Errorf("look who was in rooms: %w", err)
	}
	return nil
}
