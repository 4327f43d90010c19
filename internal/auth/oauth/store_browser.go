package oauth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
)

// insertBrowser stores that a browser is signed in to an account, which is locked. If the user has
// too many, the oldest is signed out.
func insertBrowser(ctx context.Context, tx pgx.Tx, hash secret.Hash, userID string, now int64) error {
	_, err := tx.Exec(ctx, `
		WITH oldest AS (
			DELETE FROM oauth_browsers WHERE session_hash IN (
				SELECT session_hash FROM oauth_browsers WHERE user_id = $2 ORDER BY signed_in_at DESC OFFSET $4 - 1))
		INSERT INTO oauth_browsers (session_hash, user_id, signed_in_at) VALUES ($1, $2, $3)`,
		hash[:], userID, now, maxBrowsersOfUser)
	if err != nil {
		return fmt.Errorf("insert a browser of %s: %w", userID, err)
	}
	return nil
}

// findBrowser reads who is signed in, since after a time; ErrSignedOut, also for an account that is
// locked.
func findBrowser(ctx context.Context, q account.Querier, hash secret.Hash, after int64) (Browser, error) {
	b := Browser{hash: hash}
	var at int64
	err := q.QueryRow(ctx, `
		SELECT user_id, signed_in_at, suspended_at IS NOT NULL FROM oauth_browsers JOIN accounts USING (user_id)
		WHERE session_hash = $1 AND signed_in_at > $2 AND locked_at IS NULL AND deactivated_at IS NULL`, hash[:], after).
		Scan(&b.UserID, &at, &b.Suspended)
	if errors.Is(err, pgx.ErrNoRows) {
		return b, ErrSignedOut
	}
	if err != nil {
		return b, fmt.Errorf("read a browser: %w", err)
	}
	b.SignedInAt = time.UnixMilli(at)
	return b, nil
}

func deleteBrowser(ctx context.Context, q account.Querier, hash secret.Hash) error {
	if _, err := q.Exec(ctx, `DELETE FROM oauth_browsers WHERE session_hash = $1`, hash[:]); err != nil {
		return fmt.Errorf("delete a browser: %w", err)
	}
	return nil
}

// deleteBrowsersBefore deletes those that were signed in before a time.
func deleteBrowsersBefore(ctx context.Context, q account.Querier, before int64) error {
	if _, err := q.Exec(ctx, `DELETE FROM oauth_browsers WHERE signed_in_at < $1`, before); err != nil {
		return fmt.Errorf("delete expired browsers: %w", err)
	}
	return nil
}
