package timeline

import (
	"context"

	"homeserver/internal/journal"
)

// StateToCarry lists state of a room of which there may be much and which the room that
// replaces it takes over: the bans and, if the room is a space, its rooms. At most limit,
// the rooms and then the newest bans; a child without content is none.
func (s *Store) StateToCarry(ctx context.Context, room journal.RoomNID, isSpace bool, limit int) (*Cursor, error) {
	return s.cursor(ctx, `
		SELECT s.event_nid FROM room_state s JOIN events e USING (event_nid)
		WHERE s.room_nid = $1 AND s.replaced_at IS NULL AND (
			s.type = 'm.room.member' AND s.value = 'ban'
			OR $2 AND s.type = 'm.space.child' AND e.redacted_by IS NULL)
		ORDER BY s.type DESC, s.place DESC LIMIT $3`, room, isSpace, limit)
}
