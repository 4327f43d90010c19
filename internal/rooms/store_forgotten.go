package rooms

import (
	"github.com/jackc/pgx/v5"

	"homeserver/internal/journal"
)

// queueForgotten writes down which rooms users want to hear of no more.
func queueForgotten(b *pgx.Batch, entries []*journal.Entry) error {
	for _, entry := range entries {
		f := entry.Value.(*Forgotten)
		b.Queue(`
			INSERT INTO forgotten_rooms (user_id, room_nid, position) VALUES ($1, $2, $3)
			ON CONFLICT (user_id, room_nid) DO UPDATE SET position = excluded.position`,
			f.UserID, f.Room, entry.Position)
	}
	return nil
}
