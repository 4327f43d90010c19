package timeline

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/journal"
	"homeserver/internal/reserve"
)

// MutualRoom is a room that two users are in.
type MutualRoom struct {
	Room   journal.RoomNID
	RoomID string
}

// MutualRooms lists the rooms that two users are in now, in the order of their numbers: at
// most limit of those after a number, and how many there are in all. It looks at the rooms
// of the first user only, however many the other is in.
func (s *Store) MutualRooms(ctx context.Context, userID, other string, after journal.RoomNID, limit int) (list []MutualRoom, count int64, err error) {
	list, err = reserve.Collect(ctx, func() pgx.Rows {
		rows, _ := s.pool.Query(ctx, `
			WITH mutual AS MATERIALIZED (
				SELECT own.room_nid FROM (
					SELECT room_nid, replaced_at, value FROM room_state WHERE type = 'm.room.member' AND state_key = $1 OFFSET 0) own
				CROSS JOIN LATERAL (
					SELECT value FROM room_state o
					WHERE o.room_nid = own.room_nid AND o.type = `+memberType+` AND o.state_key = $2 AND o.replaced_at IS NULL LIMIT 1) o
				WHERE own.replaced_at IS NULL AND own.value = 'join' AND o.value = 'join')
			SELECT coalesce(m.room_nid, 0), coalesce(r.room_id, ''), c.count
			FROM (SELECT count(*) FROM mutual) c
			LEFT JOIN (SELECT * FROM mutual WHERE room_nid > $3 ORDER BY room_nid LIMIT $4) m ON true
			LEFT JOIN LATERAL (SELECT room_id FROM rooms WHERE room_nid = m.room_nid LIMIT 1) r ON true
			ORDER BY m.room_nid`, userID, other, after, limit)
		return rows
	}, func(row pgx.CollectableRow) (m MutualRoom, err error) {
		err = row.Scan(&m.Room, &m.RoomID, &count)
		return m, err //nolint:wrapcheck // it is wrapped below
	}, func(m MutualRoom) int { return reserve.CostOfText(m.RoomID) })
	if err != nil {
		return nil, 0, fmt.Errorf("list the rooms of %s and %s: %w", userID, other, err)
	}
	if len(list) > 0 && list[0].Room == 0 { // the number of all comes with an empty page, too
		list = nil
	}
	return list, count, nil
}
