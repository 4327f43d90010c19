package timeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

// Room is a row of the table of rooms.
type Room struct {
	NID     journal.RoomNID `db:"room_nid"`
	Version string          `db:"version"`
	// Heads are the events that nothing is built on yet, Depth the largest of theirs.
	Heads []string `db:"heads"`
	Depth int64    `db:"depth"`
	// Turn is how many events have moved the heads.
	Turn           int64 `db:"turn"`
	JoinedMembers  int64 `db:"joined_members"`
	InvitedMembers int64 `db:"invited_members"`
	StateBytes     int64 `db:"state_bytes"`
}

// Room reads the row of a room. M_NOT_FOUND if there is none of that ID,
// M_INVALID_PARAM for a text that is no room ID.
func (s *Store) Room(ctx context.Context, roomID string) (*Room, error) {
	if !matrix.IsRoomID(roomID) {
		return nil, matrix.Errorf(matrix.InvalidParam, "this is not a room ID")
	}
	rows, _ := s.pool.Query(ctx, `
		SELECT room_nid, version, heads, depth, turn, joined_members, invited_members, state_bytes
		FROM rooms WHERE room_id = $1`, roomID)
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[Room])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, matrix.Errorf(matrix.NotFound, "there is no such room")
	}
	if err != nil {
		return nil, fmt.Errorf("look up room %s: %w", roomID, err)
	}
	return row, nil
}

// Number returns the number of a room; M_NOT_FOUND if there is none of that ID.
func (s *Store) Number(ctx context.Context, roomID string) (journal.RoomNID, error) {
	if s.o.Known != nil {
		if nid, ok := s.o.Known(roomID); ok {
			return nid, nil
		}
	}
	row, err := s.Room(ctx, roomID)
	if err != nil {
		return 0, err
	}
	return row.NID, nil
}

// Count counts the rooms, by reading all of them.
func (s *Store) Count(ctx context.Context) (number int64, err error) {
	if err := s.pool.QueryRow(ctx, `SELECT count(*) FROM rooms`).Scan(&number); err != nil {
		return 0, fmt.Errorf("count rooms: %w", err)
	}
	return number, nil
}

// LastSenders returns at most so many of the users who have sent the newest events, the last one first.
func (s *Store) LastSenders(ctx context.Context, most int) (userIDs []string, err error) {
	const newest = 500
	rows, _ := s.pool.Query(ctx, `
		SELECT sender FROM (SELECT sender, event_nid FROM events ORDER BY event_nid DESC LIMIT $1) e
		GROUP BY sender ORDER BY max(event_nid) DESC LIMIT $2`, newest, most)
	if userIDs, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return nil, fmt.Errorf("find who has written last: %w", err)
	}
	return userIDs, nil
}
