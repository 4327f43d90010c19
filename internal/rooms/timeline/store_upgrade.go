package timeline

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/journal"
)

// StateToCarry lists state of a room of which there may be much and which the room that
// replaces it takes over, where that has no such entry yet: the rooms of a space, and then
// the bans, but for those of the new room's creators, the newest first. At most limit; to is
// 0 for a room that is not there yet.
func (s *Store) StateToCarry(ctx context.Context, from, to journal.RoomNID, creators []string, limit int) (*Cursor, error) {
	return s.cursor(ctx, `
		SELECT s.event_nid FROM room_state s
		WHERE s.room_nid = $1 AND s.replaced_at IS NULL AND (
				s.type = 'm.room.member' AND s.value = 'ban' AND s.state_key <> ALL($4)
				OR s.type = 'm.space.child' AND s.value IS NOT NULL
					AND EXISTS (SELECT FROM room_state c
						WHERE c.room_nid = $1 AND c.type = 'm.room.create' AND c.state_key = '' AND c.replaced_at IS NULL AND c.value = 'm.space'))
			AND NOT EXISTS (SELECT FROM room_state n
				WHERE n.room_nid = $2 AND n.type = s.type AND n.state_key = s.state_key AND n.replaced_at IS NULL)
		ORDER BY s.type DESC, s.place DESC LIMIT $3`, from, to, limit, creators)
}

// Replacement says that a room has replaced another one: the tombstone of the old room names
// the new one, whose m.room.create names the old one.
type Replacement struct {
	Old, New     journal.RoomNID
	OldID, NewID string
}

// Replaced lists which rooms the rooms of some numbers have replaced.
func (s *Store) Replaced(ctx context.Context, rooms []journal.RoomNID) ([]Replacement, error) {
	if len(rooms) == 0 {
		return nil, nil
	}
	creations, err := s.soundEvents(ctx, byNumbers(`
		SELECT c.event_nid FROM rooms r CROSS JOIN LATERAL (
			SELECT event_nid FROM room_state
			WHERE room_nid = r.room_nid AND type = 'm.room.create' AND state_key = '' AND replaced_at IS NULL LIMIT 1) c
		WHERE r.room_nid = ANY($1) AND EXISTS (
			SELECT FROM room_state t WHERE `+isTombstone+` AND t.value = r.room_id OFFSET 0)`), rooms)
	if err != nil || len(creations) == 0 {
		return nil, err
	}
	var number []journal.RoomNID
	var newID, oldID []string
	for _, e := range creations {
		if predecessor := e.CreateContent().Predecessor; predecessor != "" {
			number, newID, oldID = append(number, e.Room), append(newID, e.RoomID), append(oldID, predecessor)
		}
	}
	rows, _ := s.pool.Query(ctx, `
		SELECT o.room_nid, n.room_nid, o.room_id, n.room_id
		FROM unnest($1::bigint[], $2::text[], $3::text[]) AS n(room_nid, room_id, old_id)
		CROSS JOIN LATERAL (SELECT room_nid, room_id FROM rooms WHERE room_id = n.old_id LIMIT 1) o
		CROSS JOIN LATERAL (SELECT FROM room_state t WHERE t.room_nid = o.room_nid AND `+isTombstone+` AND t.value = n.room_id LIMIT 1) t`,
		number, newID, oldID)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Replacement])
	if err != nil {
		return nil, fmt.Errorf("look which rooms others have replaced: %w", err)
	}
	return list, nil
}

// isTombstone is the condition that an entry t of the state is the tombstone of a room.
const isTombstone = `t.type = 'm.room.tombstone' AND t.state_key = '' AND t.replaced_at IS NULL`

// Predecessors returns, for rooms of some numbers, the rooms that they have replaced, the
// newest first: a room may have been replaced several times. It looks back so far and no
// further.
func (s *Store) Predecessors(ctx context.Context, rooms []journal.RoomNID) (map[journal.RoomNID][]Replacement, error) {
	const farthest = 10
	all := map[journal.RoomNID][]Replacement{}
	from := make(map[journal.RoomNID][]journal.RoomNID, len(rooms)) // by the oldest room found, for which rooms
	for _, room := range rooms {
		from[room] = []journal.RoomNID{room}
	}
	for next := rooms; len(next) > 0 && len(from) > 0; {
		found, err := s.Replaced(ctx, next)
		if err != nil {
			return nil, err
		}
		next = nil
		older := map[journal.RoomNID][]journal.RoomNID{}
		for _, r := range found {
			for _, room := range from[r.New] {
				if len(all[room]) < farthest {
					all[room] = append(all[room], r)
					older[r.Old] = append(older[r.Old], room)
				}
			}
			next = append(next, r.Old)
		}
		from = older
	}
	return all, nil
}
