package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
)

// insertOpenIDToken stores a token of an account that is locked. If there are too many,
// those that expire first are deleted.
func insertOpenIDToken(ctx context.Context, tx pgx.Tx, hash secret.Hash, userID string, expiresAt int64) error {
	_, err := tx.Exec(ctx, `
		WITH oldest AS (
			DELETE FROM openid_tokens WHERE token_hash IN (
				SELECT token_hash FROM openid_tokens WHERE user_id = $2
				ORDER BY expires_at DESC OFFSET $4 - 1))
		INSERT INTO openid_tokens (token_hash, user_id, expires_at) VALUES ($1, $2, $3)`,
		hash[:], userID, expiresAt, maxOpenIDTokens)
	if err != nil {
		return fmt.Errorf("insert an OpenID token of %s: %w", userID, err)
	}
	return nil
}

// findOpenIDToken finds whose token this is; M_UNKNOWN_TOKEN where it is not good.
func findOpenIDToken(ctx context.Context, q account.Querier, hash secret.Hash, now int64) (userID string, err error) {
	rows, err := q.Query(ctx, `SELECT user_id FROM openid_tokens WHERE token_hash = $1 AND expires_at > $2`, hash[:], now)
	if err != nil {
		return "", fmt.Errorf("query an OpenID token: %w", err)
	}
	userID, err = pgx.CollectOneRow(rows, pgx.RowTo[string])
	if errors.Is(err, pgx.ErrNoRows) {
		return "", errOpenIDToken()
	}
	if err != nil {
		return "", fmt.Errorf("read an OpenID token: %w", err)
	}
	return userID, nil
}

// deleteOpenIDTokensBefore deletes expired tokens.
func deleteOpenIDTokensBefore(ctx context.Context, q account.Querier, now int64) error {
	if _, err := q.Exec(ctx, `DELETE FROM openid_tokens WHERE expires_at <= $1`, now); err != nil {
		return fmt.Errorf("delete expired OpenID tokens: %w", err)
	}
	return nil
}

// deleteOpenIDTokensOf deletes tokens that were made with an earlier password.
func deleteOpenIDTokensOf(ctx context.Context, tx pgx.Tx, userID string) error {
	if _, err := tx.Exec(ctx, `DELETE FROM openid_tokens WHERE user_id = $1`, userID); err != nil {
		return fmt.Errorf("delete the OpenID tokens of %s: %w", userID, err)
	}
	return nil
}
