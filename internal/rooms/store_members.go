package rooms

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// Membership is how a user stands to a room now.
type Membership struct {
	Room   journal.RoomNID  `db:"room_nid"`
	RoomID string           `db:"room_id"`
	Value  string           `db:"value"`
	Since  journal.Position `db:"position"`
}

// Memberships lists how a user stands to rooms, one entry a room, but for rooms
// that were forgotten, and not joined, invited to or knocked on since.
func (s *Service) Memberships(ctx context.Context, userID string) ([]Membership, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT s.room_nid, r.room_id, s.value, s.position
		FROM room_state s JOIN rooms r USING (room_nid)
		WHERE s.type = 'm.room.member' AND s.state_key = $1 AND s.replaced_at IS NULL
			AND NOT EXISTS (SELECT FROM forgotten_rooms f
				WHERE f.user_id = $1 AND f.room_nid = s.room_nid AND NOT EXISTS (
					SELECT FROM room_state back
					WHERE back.room_nid = s.room_nid AND back.type = s.type AND back.state_key = s.state_key
						AND back.position > f.position AND back.value IN ('join', 'invite', 'knock')))
		ORDER BY s.position`, userID)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Membership])
	if err != nil {
		return nil, fmt.Errorf("list the rooms of %s: %w", userID, err)
	}
	return list, nil
}

// JoinedRooms lists the IDs of the rooms that a user is in. Client-server API,
// GET /joined_rooms.
func (s *Service) JoinedRooms(ctx context.Context, userID string) ([]string, error) {
	memberships, err := s.Memberships(ctx, userID)
	if err != nil {
		return nil, err
	}
	joined := []string{}
	for _, m := range memberships {
		if m.Value == event.Join {
			joined = append(joined, m.RoomID)
		}
	}
	return joined, nil
}

// stateKeysWith lists the state keys of a type whose entries have a value now, such
// as the users with a membership.
func (s *Service) stateKeysWith(ctx context.Context, room journal.RoomNID, evType, value string) ([]string, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT state_key FROM room_state
		WHERE room_nid = $1 AND type = $2 AND value = $3 AND replaced_at IS NULL`, room, evType, value)
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list state keys: %w", err)
	}
	return keys, nil
}
