package timeline

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/journal"
)

func (s *Store) erasureEntry(e *Erasure) *journal.Entry {
	return &journal.Entry{Table: s.erasureTable, Topics: []journal.Topic{{User: e.UserID}}, Value: e, Size: len(e.UserID)}
}

// queueErasures stores the erased users. The first row of a user stays.
func queueErasures(b *pgx.Batch, entries []*journal.Entry) error {
	for _, entry := range entries {
		b.Queue(`INSERT INTO erased_users (user_id, position) VALUES ($1, $2) ON CONFLICT (user_id) DO NOTHING`,
			entry.Value.(*Erasure).UserID, entry.Position)
	}
	return nil
}

// readErasures reads the rows of other processes.
func (s *Store) readErasures(ctx context.Context, conn *pgx.Conn, after, upTo journal.Position, most int) ([]*journal.Entry, error) {
	rows, _ := conn.Query(ctx, `SELECT user_id, position FROM erased_users WHERE position > $1 AND position <= $2`, after, upTo)
	return journal.CollectEntries(rows, most, func(row pgx.CollectableRow) (*journal.Entry, error) {
		e, at := &Erasure{}, journal.Position(0)
		err := row.Scan(&e.UserID, &at)
		entry := s.erasureEntry(e)
		entry.Position = at
		return entry, err
	})
}

func loadErasures(ctx context.Context, pool *pgxpool.Pool) (map[string]journal.Position, error) {
	rows, _ := pool.Query(ctx, `SELECT user_id, position FROM erased_users`)
	users := map[string]journal.Position{}
	var userID string
	var at journal.Position
	_, err := pgx.ForEachRow(rows, []any{&userID, &at}, func() error {
		users[userID] = at
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read who is erased: %w", err)
	}
	return users, nil
}

func (s *Store) erasedMembers(ctx context.Context, rooms []journal.RoomNID) (map[journal.RoomNID][]string, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT DISTINCT m.room_nid, u.user_id FROM erased_users u
		CROSS JOIN LATERAL (SELECT room_nid FROM room_state WHERE type = 'm.room.member' AND state_key = u.user_id OFFSET 0) m
		WHERE m.room_nid = ANY($1)`, rooms)
	found := map[journal.RoomNID][]string{}
	var room journal.RoomNID
	var userID string
	_, err := pgx.ForEachRow(rows, []any{&room, &userID}, func() error {
		found[room] = append(found[room], userID)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read who is erased in rooms: %w", err)
	}
	return found, nil
}
