package timeline

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/journal"
)

// Facts is what lists of rooms are sorted and filtered by.
type Facts struct {
	Room journal.RoomNID
	// Newest is the place of the newest event; 0: there is none.
	Newest Place
	// Type is that of the room; "": an ordinary one.
	Type      string
	Encrypted bool
}

// Facts reads the facts of rooms as of now, each by an index, however many events there are.
func (s *Store) Facts(ctx context.Context, rooms []journal.RoomNID) ([]Facts, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT w.room_nid,
			coalesce((SELECT place FROM events WHERE room_nid = w.room_nid AND place IS NOT NULL ORDER BY place DESC LIMIT 1), 0),
			coalesce((SELECT value FROM room_state
				WHERE room_nid = w.room_nid AND type = 'm.room.create' AND state_key = '' AND replaced_at IS NULL), ''),
			EXISTS (SELECT FROM room_state
				WHERE room_nid = w.room_nid AND type = 'm.room.encryption' AND state_key = '' AND replaced_at IS NULL)
		FROM unnest((SELECT $1::bigint[])) AS w(room_nid)`, rooms)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Facts])
	if err != nil {
		return nil, fmt.Errorf("read the newest events of %d rooms: %w", len(rooms), err)
	}
	return list, nil
}
