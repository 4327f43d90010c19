package timeline

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// AccessIn reads a user's access to a room, as of now.
func (s *Store) AccessIn(ctx context.Context, room journal.RoomNID, userID string) (*Access, error) {
	changes, err := s.accessChanges(ctx, []journal.RoomNID{room}, userID)
	if err != nil {
		return nil, err
	}
	if changes[room] == nil {
		return NewAccess(nil, nil), nil
	}
	return changes[room].Access(), nil
}

// AccessChanges has the changes that a user's access to a room is worked out from.
type AccessChanges struct {
	Visibilities, Memberships Changes
	erased                    *erasures
}

// Access returns the user's access by the changes.
func (c *AccessChanges) Access() *Access {
	a := NewAccess(c.Visibilities, c.Memberships)
	a.erased = c.erased
	return a
}

// selectAccess reads the changes of history visibility and of the membership of user $2
// in rooms, in the order of places, and whether an event made them that stands there,
// as one does that has the number of its position. A room without any has one row.
// Conditions are on r.
const selectAccess = `
	SELECT r.room_nid, r.version, coalesce(s.type, ''), coalesce(s.place, 0), coalesce(s.value, ''),
		CASE WHEN s.place = s.event_nid * ` + placesEachSQL + ` THEN false
		ELSE (SELECT e.place FROM events e WHERE e.event_nid = s.event_nid) IS DISTINCT FROM s.place END
	FROM rooms r LEFT JOIN LATERAL (
		SELECT type, place, event_nid, value FROM room_state
		WHERE room_nid = r.room_nid AND type = 'm.room.history_visibility' AND state_key = ''
		UNION ALL
		SELECT type, place, event_nid, value FROM room_state m
		WHERE room_nid = r.room_nid AND type = ` + memberType + ` AND state_key = $2 AND NOT EXISTS (
			SELECT FROM forgotten_rooms f
			WHERE f.user_id = $2 AND f.room_nid = m.room_nid AND f.position * ` + placesEachSQL + ` >= m.place)) s ON true
	WHERE %s ORDER BY s.place`

// accessChanges reads the changes of history visibility and of one user's
// membership in rooms, in the order of places.
func (s *Store) accessChanges(ctx context.Context, rooms []journal.RoomNID, userID string) (map[journal.RoomNID]*AccessChanges, error) {
	return s.readAccess(ctx, `r.room_nid = ANY($1)`, rooms, userID)
}

// readRoomAccess reads the number of a room and a user's access to it; nil if there is no
// such room.
func (s *Store) readRoomAccess(ctx context.Context, key accessKey) (*roomAccess, error) {
	changes, err := s.readAccess(ctx, `r.room_id = $1`, key.roomID, key.userID)
	for nid, c := range changes {
		return &roomAccess{nid, c.Access()}, err
	}
	return nil, err
}

// readAccess reads the changes in the rooms that a condition chooses by $1.
func (s *Store) readAccess(ctx context.Context, condition string, rooms any, userID string) (map[journal.RoomNID]*AccessChanges, error) {
	if err := s.erased.load(ctx, s.pool); err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, fmt.Sprintf(selectAccess, condition), rooms, userID)
	if err != nil {
		return nil, fmt.Errorf("read access of %s: %w", userID, err)
	}
	found := map[journal.RoomNID]*AccessChanges{}
	var room journal.RoomNID
	var version, typ string
	var c Change
	_, err = pgx.ForEachRow(rows, []any{&room, &version, &typ, &c.From, &c.Value, &c.Resolved}, func() error {
		if found[room] == nil {
			found[room] = &AccessChanges{erased: s.erased}
			s.versions.add(room, version)
		}
		switch typ {
		case event.TypeMember:
			found[room].Memberships = append(found[room].Memberships, c)
		case event.TypeHistoryVisibility:
			found[room].Visibilities = append(found[room].Visibilities, c)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read access of %s: %w", userID, err)
	}
	return found, nil
}
