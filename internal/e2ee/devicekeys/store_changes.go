package devicekeys

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/journal"
)

// queueChanges notes where the device lists of users have changed last.
func queueChanges(b *pgx.Batch, entries []*journal.Entry) error {
	last := map[string]journal.Position{}
	for _, e := range entries {
		last[e.Value.(*Changed).UserID] = e.Position
	}
	user, position := make([]string, 0, len(last)), make([]journal.Position, 0, len(last))
	for userID, at := range last {
		user, position = append(user, userID), append(position, at)
	}
	b.Queue(`
		INSERT INTO device_lists (user_id, position) SELECT * FROM unnest($1::text[], $2::bigint[])
		ON CONFLICT (user_id) DO UPDATE SET position = excluded.position`, user, position)
	return nil
}

// changedAfter is a query for the users whose device lists have changed after the position
// $4, and those whose master keys the user $1 has signed.
const changedAfter = `
	SELECT user_id FROM device_lists WHERE position > $4
	UNION ALL SELECT user_id FROM signed_users WHERE signer_id = $1 AND position > $4`

// hasKeys reports whether one of some devices of a user has keys.
func hasKeys(ctx context.Context, tx pgx.Tx, userID string, deviceIDs []string) (has bool, err error) {
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM device_keys WHERE user_id = $1 AND device_id = ANY($2))`,
		userID, deviceIDs).Scan(&has)
	if err != nil {
		return false, fmt.Errorf("look whether devices of %s have keys: %w", userID, err)
	}
	return has, nil
}

// readChanges reads the changes that other processes have written in (after, upTo].
func (s *Service) readChanges(ctx context.Context, conn *pgx.Conn, after, upTo journal.Position, most int) ([]*journal.Entry, error) {
	rows, _ := conn.Query(ctx, `SELECT user_id, position FROM device_lists WHERE position > $1 AND position <= $2`, after, upTo)
	return journal.CollectEntries(rows, most, func(row pgx.CollectableRow) (*journal.Entry, error) {
		c := &Changed{}
		e := &journal.Entry{Table: s.changes, Value: c}
		err := row.Scan(&c.UserID, &e.Position)
		e.Topics, e.Size = []journal.Topic{{User: c.UserID}}, len(c.UserID)
		return e, err
	})
}
