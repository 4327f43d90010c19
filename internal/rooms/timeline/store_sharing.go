package timeline

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/journal"
)

// UserAt is a user as of a place of all rooms.
type UserAt struct {
	User string
	At   Place
}

// SharedRooms calls do for each room that one of the users is in at their place, with
// others. Where that is more than so many times, the error is [journal.ErrTooMuch]. It is
// for the journal, on its connection.
func SharedRooms(ctx context.Context, conn *pgx.Conn, users []UserAt, most int, do func(userID string, room journal.RoomNID)) error {
	user, at := make([]string, len(users)), make([]Place, len(users))
	for i, u := range users {
		user[i], at[i] = u.User, u.At
	}
	rows, _ := conn.Query(ctx, `
		SELECT u.user_id, s.room_nid
		FROM unnest($1::text[], $2::bigint[]) AS u(user_id, at)
		JOIN room_state s ON s.type = 'm.room.member' AND s.state_key = u.user_id AND s.value = 'join'
			AND s.place <= u.at AND (s.replaced_at IS NULL OR s.replaced_at > u.at)
		JOIN rooms r ON r.room_nid = s.room_nid AND r.joined_members > 1`, user, at)
	var userID string
	var room journal.RoomNID
	_, err := pgx.ForEachRow(rows, []any{&userID, &room}, func() error {
		if most--; most < 0 {
			return journal.ErrTooMuch
		}
		do(userID, room)
		return nil
	})
	if err != nil {
		return fmt.Errorf("list the rooms of users: %w", err)
	}
	return nil
}
