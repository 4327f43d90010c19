package media

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// media is a row of the table: one mxc:// URI. Nil is NULL.
type media struct {
	ID          string
	UserID      *string
	CreatedAt   int64
	ExpiresAt   *int64
	Hash        []byte
	Bytes       *int64
	ContentType *string
	Filename    *string
}

func (m media) hash() hash { return hash(m.Hash) }

// load reads the record of an ID.
func load(ctx context.Context, pool *pgxpool.Pool, mediaID string) (m media, found bool, err error) {
	rows, err := pool.Query(ctx, `
		SELECT media_id, user_id, created_at, expires_at, hash, bytes, content_type, filename
		FROM media WHERE media_id = $1`, mediaID)
	if err != nil {
		return media{}, false, fmt.Errorf("load media %s: %w", mediaID, err)
	}
	m, err = pgx.CollectOneRow(rows, pgx.RowToStructByPos[media])
	if errors.Is(err, pgx.ErrNoRows) {
		return media{}, false, nil
	}
	if err != nil {
		return media{}, false, fmt.Errorf("load media %s: %w", mediaID, err)
	}
	return m, true, nil
}

// insert adds a new record.
func insert(ctx context.Context, tx pgx.Tx, m media) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO media (media_id, user_id, created_at, expires_at, hash, bytes, content_type, filename)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		m.ID, m.UserID, m.CreatedAt, m.ExpiresAt, m.Hash, m.Bytes, m.ContentType, m.Filename)
	if err != nil {
		return fmt.Errorf("insert media %s: %w", m.ID, err)
	}
	return nil
}

// recordContent records the content of an ID that waits for it; false where none waits any
// more.
func recordContent(ctx context.Context, tx pgx.Tx, m media, now int64) (bool, error) {
	tag, err := tx.Exec(ctx, `
		UPDATE media SET expires_at = NULL, hash = $3, bytes = $4, content_type = $5, filename = $6
		WHERE media_id = $1 AND user_id = $2 AND hash IS NULL AND expires_at > $7`,
		m.ID, m.UserID, m.Hash, m.Bytes, m.ContentType, m.Filename, now)
	if err != nil {
		return false, fmt.Errorf("fill media %s: %w", m.ID, err)
	}
	return tag.RowsAffected() == 1, nil
}

// countAwaited removes the IDs of a user whose time has run out, and counts those
// that still wait for their content.
func countAwaited(ctx context.Context, tx pgx.Tx, userID string, now int64) (int, error) {
	_, err := tx.Exec(ctx, `DELETE FROM media WHERE user_id = $1 AND hash IS NULL AND expires_at <= $2`, userID, now)
	if err != nil {
		return 0, fmt.Errorf("remove expired media of %s: %w", userID, err)
	}
	var n int
	err = tx.QueryRow(ctx, `SELECT count(*) FROM media WHERE user_id = $1 AND hash IS NULL`, userID).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count awaited media of %s: %w", userID, err)
	}
	return n, nil
}

// usage reads the size of a user's files for the quota.
func usage(ctx context.Context, pool *pgxpool.Pool, userID string) (int64, error) {
	var bytes int64
	err := pool.QueryRow(ctx, `SELECT coalesce(sum(bytes), 0)::bigint FROM media_usage WHERE user_id = $1`, userID).Scan(&bytes)
	if err != nil {
		return 0, fmt.Errorf("load the media usage of %s: %w", userID, err)
	}
	return bytes, nil
}

// addUsage adds to a user's usage and returns the sum. The user's row stays locked
// until the end of the transaction.
func addUsage(ctx context.Context, tx pgx.Tx, userID string, bytes int64) (int64, error) {
	var sum int64
	err := tx.QueryRow(ctx, `
		INSERT INTO media_usage AS u (user_id, bytes) VALUES ($1, $2)
		ON CONFLICT (user_id) DO UPDATE SET bytes = u.bytes + excluded.bytes
		RETURNING bytes`, userID, bytes).Scan(&sum)
	if err != nil {
		return 0, fmt.Errorf("add to the media usage of %s: %w", userID, err)
	}
	return sum, nil
}

// lockUsage locks a user's row until the end of the transaction.
func lockUsage(ctx context.Context, tx pgx.Tx, userID string) error {
	_, err := addUsage(ctx, tx, userID, 0)
	return err
}

// findFetched returns the ID of a file that the server fetched itself, by its content;
// "" if there is none.
func findFetched(ctx context.Context, tx pgx.Tx, h hash) (string, error) {
	var mediaID string
	err := tx.QueryRow(ctx, `SELECT media_id FROM media WHERE hash = $1 AND user_id IS NULL LIMIT 1`, h[:]).Scan(&mediaID)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("look for a file by its content: %w", err)
	}
	return mediaID, nil
}
