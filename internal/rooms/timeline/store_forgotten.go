package timeline

import (
	"context"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/journal"
)

// Forgotten is the journal entry of a user forgetting a room.
type Forgotten struct {
	UserID string
	Room   journal.RoomNID
}

// ForgottenEntry makes the journal entry.
func (s *Store) ForgottenEntry(f *Forgotten) *journal.Entry {
	return &journal.Entry{Table: s.forgottenTable, Topics: []journal.Topic{{User: f.UserID}}, Value: f}
}

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

// readForgotten reads the rows of other processes.
func (s *Store) readForgotten(ctx context.Context, conn *pgx.Conn, after, upTo journal.Position, most int) ([]*journal.Entry, error) {
	rows, _ := conn.Query(ctx, `
		SELECT user_id, room_nid, position FROM forgotten_rooms WHERE position > $1 AND position <= $2`, after, upTo)
	return journal.CollectEntries(rows, most, func(row pgx.CollectableRow) (*journal.Entry, error) {
		f, at := &Forgotten{}, journal.Position(0)
		err := row.Scan(&f.UserID, &f.Room, &at)
		entry := s.ForgottenEntry(f)
		entry.Position = at
		return entry, err
	})
}
