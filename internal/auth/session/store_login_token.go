package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/uia"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
)

func insertLoginToken(ctx context.Context, tx pgx.Tx, hash secret.Hash, userID string, expiresAt int64) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO login_tokens (token_hash, user_id, expires_at) VALUES ($1, $2, $3)`, hash[:], userID, expiresAt)
	if err != nil {
		return fmt.Errorf("insert a login token of %s: %w", userID, err)
	}
	return nil
}

// findLoginToken finds whose login token this is; M_FORBIDDEN where it is not good.
func findLoginToken(ctx context.Context, q account.Querier, hash secret.Hash, now int64) (userID string, err error) {
	rows, err := q.Query(ctx, `SELECT user_id FROM login_tokens WHERE token_hash = $1 AND expires_at > $2`, hash[:], now)
	if err != nil {
		return "", fmt.Errorf("query a login token: %w", err)
	}
	userID, err = pgx.CollectOneRow(rows, pgx.RowTo[string])
	if errors.Is(err, pgx.ErrNoRows) {
		return "", errLoginToken()
	}
	if err != nil {
		return "", fmt.Errorf("read a login token: %w", err)
	}
	return userID, nil
}

// DeleteLoginTokens makes tokens for one login worth nothing, and returns how many of them were there.
func DeleteLoginTokens(ctx context.Context, tx pgx.Tx, hashes []secret.Hash) (deleted int64, err error) {
	bytes := make([][]byte, len(hashes))
	for i := range hashes {
		bytes[i] = hashes[i][:]
	}
	tag, err := tx.Exec(ctx, `DELETE FROM login_tokens WHERE token_hash = ANY ($1)`, bytes)
	if err != nil {
		return 0, fmt.Errorf("delete login tokens: %w", err)
	}
	return tag.RowsAffected(), nil
}

// deleteLoginTokensBefore deletes expired tokens.
func deleteLoginTokensBefore(ctx context.Context, q account.Querier, now int64) error {
	if _, err := q.Exec(ctx, `DELETE FROM login_tokens WHERE expires_at <= $1`, now); err != nil {
		return fmt.Errorf("delete expired login tokens: %w", err)
	}
	return nil
}

// DeletePending deletes what a user, or a person who has proved to be the user, has
// begun with an earlier password: interactive sessions, login tokens and OpenID tokens.
func DeletePending(ctx context.Context, tx pgx.Tx, userID string) error {
	if err := uia.DeleteOf(ctx, tx, userID); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM login_tokens WHERE user_id = $1`, userID); err != nil {
		return fmt.Errorf("delete the login tokens of %s: %w", userID, err)
	}
	return deleteOpenIDTokensOf(ctx, tx, userID)
}
