package timeline

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/reserve"
)

// UserAt is a user as of a place of all rooms.
type UserAt struct {
	User string
	At   Place
}

// SharedRooms calls do for each of the users and each room that the user has joined, at the
// place of UserAt, with others in it. For more than most calls the error is
// [journal.ErrTooMuch]. The journal calls it, on its connection.
func SharedRooms(ctx context.Context, conn *pgx.Conn, users []UserAt, most int, do func(userID string, room journal.RoomNID)) error {
	user, at := make([]string, len(users)), make([]Place, len(users))
	for i, u := range users {
		user[i], at[i] = u.User, u.At
	}
	rows, _ := conn.Query(ctx, `
		SELECT u.user_id, s.room_nid
		FROM unnest($1::text[], $2::bigint[]) AS u(user_id, at)
		CROSS JOIN LATERAL (
			SELECT room_nid FROM room_state
			WHERE type = 'm.room.member' AND state_key = u.user_id AND value = 'join'
				AND place <= u.at AND (replaced_at IS NULL OR replaced_at > u.at) OFFSET 0) s
		CROSS JOIN LATERAL (SELECT FROM rooms WHERE room_nid = s.room_nid AND joined_members > 1 LIMIT 1) r`, user, at)
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

// SharingQuery asks how users share rooms with one user between two places: those among
// Users and Listed; all in rooms that the one has joined or left between; and, in each room
// that the one was in all the time, those who have joined or left it, if Moved is set.
type SharingQuery struct {
	UserID      string
	Since, UpTo Place
	Users       []string
	Moved       bool
	// Listed are marked. ListedBy is a query for more of them: one column of user IDs, of rows
	// after the position $4, which is ListedAfter, for the user $1. Users who share no room
	// are left out.
	Listed      []string
	ListedBy    string
	ListedAfter journal.Position
	// Anew takes all rooms for joined anew.
	Anew bool
	// The answer has users after this one, so many at most.
	After string
	Most  int
}

// Sharing is how a user shares rooms with another. Both are joined to one that is shared.
type Sharing struct {
	UserID string
	Listed bool
	// Then and Now: they share a room at the earlier place, and at the later. Always: one in
	// which both were all the time between.
	Then, Now, Always bool
	// EncryptedThen and EncryptedNow: a room that is encrypted is among them.
	EncryptedThen, EncryptedNow bool
}

// selectSharing has the parameters of [Store.Sharing]. Each entry of room_state that it
// looks at holds somewhere in the gap from $2 to $3.
const (
	ownRooms = `
		WITH own AS MATERIALIZED (
			SELECT room_nid, was, is_now, was AND is_now AND always AND NOT $7 AS held FROM (
				SELECT room_nid, ` + heldBetween + ` FROM room_state s
				WHERE s.type = 'm.room.member' AND s.state_key = $1 AND ` + touchesGap + ` GROUP BY room_nid) m
			WHERE was OR is_now), `
	heldBetween = `
		coalesce(bool_or(s.value = 'join') FILTER (WHERE s.place <= $2), false) AS was,
		coalesce(bool_or(s.value = 'join') FILTER (WHERE s.replaced_at IS NULL OR s.replaced_at > $3), false) AS is_now,
		bool_and(coalesce(s.value = 'join', false)) AS always`
	touchesGap = `s.place <= $3 AND (s.replaced_at IS NULL OR s.replaced_at > $2)`

	// Of a room that was joined or left between, the members now and those who have left since
	// are read by the indexes for each. In others a change of a membership counts if one of
	// both is a join: most are of profiles. With OFFSET 0 an index serves what stands before it,
	// for each room or user alone.
	candidates = `
		candidates AS (
			SELECT user_id FROM unnest($8::text[]) AS u(user_id)
			UNION SELECT user_id FROM listed WHERE user_id = $1 OR EXISTS (
				SELECT FROM (
					SELECT room_nid, value, place, replaced_at FROM room_state
					WHERE type = 'm.room.member' AND state_key = listed.user_id OFFSET 0) s
				WHERE s.value = 'join' AND ` + touchesGap + ` AND (s.room_nid IN (SELECT room_nid FROM own)) IS TRUE)
			UNION SELECT s.state_key FROM own CROSS JOIN LATERAL (
					SELECT state_key FROM room_state
					WHERE room_nid = own.room_nid AND type = 'm.room.member' AND value = 'join' AND replaced_at IS NULL AND place <= $3 OFFSET 0) s
				WHERE NOT own.held
			UNION SELECT s.state_key FROM own CROSS JOIN LATERAL (
					SELECT type, state_key, value, place FROM room_state WHERE room_nid = own.room_nid AND replaced_at > $2 OFFSET 0) s
				WHERE NOT own.held AND s.type = 'm.room.member' AND s.value = 'join' AND s.place <= $3
			UNION SELECT s.state_key FROM own CROSS JOIN LATERAL (
					SELECT type, state_key, value, place FROM room_state
					WHERE room_nid = own.room_nid AND place > $2 AND place <= $3 OFFSET 0) s
				WHERE $6 AND own.held AND s.type = 'm.room.member'
					AND coalesce(s.value = 'join', false) <> EXISTS (
						SELECT FROM room_state before
						WHERE before.room_nid = own.room_nid AND before.type = ` + memberType + ` AND before.state_key = s.state_key
							AND before.replaced_at = s.place AND before.value = 'join')), `
	// What each user and room have in common is looked up in tables of hashes: where PostgreSQL
	// joins, it may compare all with all.
	sharing = `
		page AS MATERIALIZED (
			SELECT user_id FROM candidates WHERE user_id COLLATE "C" > $9 ORDER BY user_id COLLATE "C" LIMIT $10),
		memberships AS MATERIALIZED (
			SELECT page.user_id, m.* FROM page CROSS JOIN LATERAL (
				SELECT s.room_nid, ` + heldBetween + ` FROM room_state s
				WHERE s.type = 'm.room.member' AND s.state_key = page.user_id AND ` + touchesGap + ` GROUP BY s.room_nid) m
			WHERE page.user_id <> $1),
		shared AS MATERIALIZED (
			SELECT user_id, room_nid, was AND room_nid IN (SELECT room_nid FROM own WHERE own.was) AS was,
				is_now AND room_nid IN (SELECT room_nid FROM own WHERE own.is_now) AS is_now,
				was AND always AND room_nid IN (SELECT room_nid FROM own WHERE own.held) AS always
			FROM memberships),
		encrypted AS MATERIALIZED (
			SELECT r.room_nid, e.* FROM (SELECT DISTINCT room_nid FROM shared WHERE was OR is_now) r CROSS JOIN LATERAL (
				SELECT bool_or(s.place <= $2) AS was, bool_or(s.replaced_at IS NULL OR s.replaced_at > $3) AS is_now FROM room_state s
				WHERE s.room_nid = r.room_nid AND s.type = 'm.room.encryption' AND s.state_key = '' AND s.event_nid IS NOT NULL AND ` + touchesGap + `) e)
		SELECT user_id, user_id IN (SELECT user_id FROM listed), bool_or(was), bool_or(is_now), bool_or(always),
			bool_or(was AND room_nid IN (SELECT room_nid FROM encrypted e WHERE e.was)),
			bool_or(is_now AND room_nid IN (SELECT room_nid FROM encrypted e WHERE e.is_now))
		FROM (SELECT * FROM shared UNION ALL SELECT user_id, 0, false, false, false FROM page) s
		GROUP BY user_id ORDER BY user_id COLLATE "C"`
)

// Sharing reads how users share rooms with one user, in the order of their IDs. As many as
// were asked for say that there may be more.
func (s *Store) Sharing(ctx context.Context, q SharingQuery) ([]Sharing, error) {
	listed := `listed AS MATERIALIZED (SELECT user_id FROM unnest($5::text[]) AS l(user_id) UNION ` + q.ListedBy + `), `
	list, err := reserve.Collect(ctx, func() pgx.Rows {
		rows, _ := s.pool.Query(ctx, ownRooms+listed+candidates+sharing,
			q.UserID, q.Since, q.UpTo, q.ListedAfter, q.Listed, q.Moved, q.Anew, q.Users, q.After, q.Most)
		return rows
	}, pgx.RowToStructByPos[Sharing], func(Sharing) int { return SharingCost })
	if err != nil {
		return nil, fmt.Errorf("find users who share rooms with %s: %w", q.UserID, err)
	}
	return list, nil
}

// MaySharingChange reports whether [Store.Sharing] may have anybody to name, where the user was
// in the same rooms all the time, but for forgotten ones, and nobody has come or gone in others
// than these. It is quick to plan and to run.
func (s *Store) MaySharingChange(ctx context.Context, q SharingQuery, rooms []journal.RoomNID) (may bool, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT EXISTS (`+q.ListedBy+`) OR EXISTS (SELECT FROM forgotten_rooms f WHERE f.user_id = $1 AND f.position > $4) OR EXISTS (
			SELECT FROM unnest($5::bigint[]) AS r(room_nid) CROSS JOIN LATERAL (
				SELECT FROM room_state s
				WHERE s.room_nid = r.room_nid AND s.place > $2 AND s.place <= $3 AND s.type || '' = 'm.room.member' LIMIT 1) m)`,
		q.UserID, q.Since, q.UpTo, q.ListedAfter, rooms).Scan(&may)
	if err != nil {
		return false, fmt.Errorf("look whether users share other rooms with %s: %w", q.UserID, err)
	}
	return may, nil
}

// SharingCost is how much memory a Sharing takes at most, and once more as it is written.
const SharingCost = 2*matrix.MaxIDBytes + 90
