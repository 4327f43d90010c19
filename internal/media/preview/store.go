package preview

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// load reads a preview that has not expired; "" if there is none.
func load(ctx context.Context, pool *pgxpool.Pool, url string, now int64) (string, error) {
	var answer string
	err := pool.QueryRow(ctx, `SELECT answer FROM url_previews WHERE url = $1 AND expires_at > $2`, url, now).Scan(&answer)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("load a preview: %w", err)
	}
	return answer, nil
}

// store stores a preview until it expires, and removes expired ones.
func store(ctx context.Context, pool *pgxpool.Pool, url, answer string, now, expiresAt int64) error {
	var batch pgx.Batch
	batch.Queue(`DELETE FROM url_previews WHERE expires_at <= $1`, now)
	batch.Queue(`
		INSERT INTO url_previews (url, expires_at, answer) VALUES ($1, $2, $3)
		ON CONFLICT (url) DO UPDATE SET expires_at = excluded.expires_at, answer = excluded.answer`,
		url, expiresAt, answer)
	if err := pool.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("store a preview: %w", err)
	}
	return nil
}
