package timeline

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/reserve"
)

// Membership is a user's membership of a room now.
type Membership struct {
	Room   journal.RoomNID `db:"room_nid"`
	RoomID string          `db:"room_id"`
	Value  string          `db:"value"`
	Since  Place           `db:"place"`
}

// memberType is m.room.member, written so that PostgreSQL does not see it when it plans: it finds
// a member by the room and the user then. Else it may look at all rooms of the user, or at all
// members.
const memberType = `(SELECT '` + event.TypeMember + `')`

// Memberships lists a user's memberships, one a room, without rooms that were
// forgotten, and not joined, invited to or knocked on since.
func (s *Store) Memberships(ctx context.Context, userID string) ([]Membership, error) {
	list, err := reserve.Collect(ctx, func() pgx.Rows {
		rows, _ := s.pool.Query(ctx, `
			SELECT s.room_nid, r.room_id, s.value, s.place
			FROM room_state s CROSS JOIN LATERAL (SELECT room_id FROM rooms WHERE room_nid = s.room_nid LIMIT 1) r
			WHERE s.type = 'm.room.member' AND s.state_key = $1 AND s.replaced_at IS NULL AND s.event_nid IS NOT NULL
				AND NOT EXISTS (SELECT FROM forgotten_rooms f
					WHERE f.user_id = $1 AND f.room_nid = s.room_nid AND NOT EXISTS (
						SELECT FROM room_state back
						WHERE back.room_nid = s.room_nid AND back.type = `+memberType+` AND back.state_key = s.state_key
							AND back.place > f.position * `+placesEachSQL+` AND back.value IN ('join', 'invite', 'knock')))
			ORDER BY s.place`, userID)
		return rows
	}, pgx.RowToStructByName[Membership], func(m Membership) int { return reserve.CostOfText(m.RoomID) + 2*int(unsafe.Sizeof(m)) })
	if err != nil {
		return nil, fmt.Errorf("list the rooms of %s: %w", userID, err)
	}
	return list, nil
}

// JoinedRooms lists the IDs of the rooms that a user is in. Client-server API,
// GET /joined_rooms.
func (s *Store) JoinedRooms(ctx context.Context, userID string) ([]string, error) {
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

// UsersWith lists users with a membership of a room now, in the order of their IDs: at
// most limit of those after an ID.
func (s *Store) UsersWith(ctx context.Context, room journal.RoomNID, membership, after string, limit int) ([]string, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT state_key FROM room_state
		WHERE room_nid = $1 AND type = 'm.room.member' AND state_key > $3 AND value = $2 AND replaced_at IS NULL
		ORDER BY state_key LIMIT $4`, room, membership, after, limit)
	users, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list the members of a room: %w", err)
	}
	return users, nil
}

// JoinedAmong calls do for each of some users who is in one of some rooms now.
func (s *Store) JoinedAmong(ctx context.Context, rooms []journal.RoomNID, users []string, do func(room journal.RoomNID, userID string)) error {
	rows, _ := s.pool.Query(ctx, `
		SELECT room_nid, state_key FROM room_state
		WHERE room_nid = ANY($1) AND type = `+memberType+` AND state_key = ANY($2) AND value = 'join' AND replaced_at IS NULL`, rooms, users)
	if err := forEachMember(rows, do); err != nil {
		return fmt.Errorf("look who is in rooms: %w", err)
	}
	return nil
}

// forEachMember calls do for each row of a room and a user in it.
func forEachMember(rows pgx.Rows, do func(room journal.RoomNID, userID string)) error {
	var room journal.RoomNID
	var user string
	_, err := pgx.ForEachRow(rows, []any{&room, &user}, func() error {
		do(room, user)
		return nil
	})
	return err //nolint:wrapcheck // the callers say what they read
}

// Visible returns those of the users whom the asker may know of: who are joined to a
// room that anybody may join or read, or to one that the asker is joined to. The asker
// counts like any other user, except in rooms of the asker alone. Client-server API,
// "User Directory".
func (s *Store) Visible(ctx context.Context, asker string, users []string) (map[string]bool, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT u.user_id FROM unnest($2::text[]) AS u(user_id)
		WHERE EXISTS (
			SELECT FROM room_state m
			WHERE m.state_key = u.user_id AND m.type = 'm.room.member' AND m.replaced_at IS NULL AND m.value = 'join' AND (
				u.user_id <> $1 AND EXISTS (
					SELECT FROM room_state own
					WHERE own.room_nid = m.room_nid AND own.type = `+memberType+` AND own.state_key = $1
						AND own.replaced_at IS NULL AND own.value = 'join' OFFSET 0)
				OR EXISTS (
					SELECT FROM room_state p
					WHERE p.room_nid = m.room_nid AND p.type IN ('m.room.join_rules', 'm.room.history_visibility') AND p.state_key = ''
						AND p.replaced_at IS NULL AND p.value = CASE p.type WHEN 'm.room.join_rules' THEN 'public' ELSE 'world_readable' END OFFSET 0)))`, asker, users)
	visible, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("find the users who %s may know of: %w", asker, err)
	}
	set := make(map[string]bool, len(visible))
	for _, userID := range visible {
		set[userID] = true
	}
	return set, nil
}

// IsJoinedToAny reports whether a user is in one of some rooms now.
func (s *Store) IsJoinedToAny(ctx context.Context, userID string, roomIDs []string) (is bool, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT EXISTS (
			SELECT FROM rooms r CROSS JOIN LATERAL (
				SELECT FROM room_state
				WHERE room_nid = r.room_nid AND type = `+memberType+` AND state_key = $2 AND replaced_at IS NULL AND value = 'join' LIMIT 1) s
			WHERE r.room_id = ANY($1))`, roomIDs, userID).Scan(&is)
	if err != nil {
		return false, fmt.Errorf("check whether %s is in one of some rooms: %w", userID, err)
	}
	return is, nil
}

// LongestJoined returns the user of a server who has been in a room for the longest,
// among some users and, if others is true, those that are not among named; "" if
// nobody.
func (s *Store) LongestJoined(
	ctx context.Context, room journal.RoomNID, server string, users []string, others bool, named []string,
) (userID string, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT state_key FROM room_state
		WHERE room_nid = $1 AND type = 'm.room.member' AND value = 'join' AND replaced_at IS NULL
			AND (state_key = ANY($2) OR $3 AND state_key <> ALL($4))
			AND right(state_key, length($5)) = $5
		ORDER BY place LIMIT 1`,
		room, users, others, named, ":"+server).Scan(&userID)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("find who has been in a room for the longest: %w", err)
	}
	return userID, nil
}
