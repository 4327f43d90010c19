package oauth

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
)

// codeRow is a code with what it was made for.
type codeRow struct {
	ClientID, UserID, DeviceID, Scope, RedirectURI, Challenge string
	ExpiresAt                                                 int64
	Used                                                      bool
}

// insertCode stores a code, for a user whose account is locked. If the user has too many, the
// oldest is deleted; the client was used.
func insertCode(ctx context.Context, tx pgx.Tx, hash secret.Hash, c codeRow, now int64) error {
	_, err := tx.Exec(ctx, `
		WITH oldest AS (
			DELETE FROM oauth_codes WHERE code_hash IN (
				SELECT code_hash FROM oauth_codes WHERE user_id = $3 ORDER BY expires_at DESC OFFSET $9 - 1)
		), used AS (
			UPDATE oauth_clients SET used_at = $10 WHERE client_id = $2
		)
		INSERT INTO oauth_codes (code_hash, client_id, user_id, device_id, scope, redirect_uri, challenge, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		hash[:], c.ClientID, c.UserID, c.DeviceID, c.Scope, c.RedirectURI, c.Challenge, c.ExpiresAt, maxCodesOfUser, now)
	if err != nil {
		return fmt.Errorf("insert a code: %w", err)
	}
	return nil
}

// findCode reads a code; invalid_grant where there is none.
func findCode(ctx context.Context, q account.Querier, hash secret.Hash) (codeRow, error) {
	rows, err := q.Query(ctx, `
		SELECT client_id, user_id, device_id, scope, redirect_uri, challenge, expires_at, used
		FROM oauth_codes WHERE code_hash = $1`, hash[:])
	if err != nil {
		return codeRow{}, fmt.Errorf("query a code: %w", err)
	}
	c, err := pgx.CollectOneRow(rows, pgx.RowToStructByPos[codeRow])
	if errors.Is(err, pgx.ErrNoRows) {
		return codeRow{}, refuse(errInvalidGrant, "the code is unknown, used or expired")
	}
	if err != nil {
		return codeRow{}, fmt.Errorf("read a code: %w", err)
	}
	return c, nil
}

// useCode marks a code as used, and reports whether it was not.
func useCode(ctx context.Context, tx pgx.Tx, hash secret.Hash) (bool, error) {
	tag, err := tx.Exec(ctx, `UPDATE oauth_codes SET used = true WHERE code_hash = $1 AND NOT used`, hash[:])
	if err != nil {
		return false, fmt.Errorf("use a code: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}

// deleteCodesBefore deletes expired codes.
func deleteCodesBefore(ctx context.Context, q account.Querier, before int64) error {
	if _, err := q.Exec(ctx, `DELETE FROM oauth_codes WHERE expires_at < $1`, before); err != nil {
		return fmt.Errorf("delete expired codes: %w", err)
	}
	return nil
}

// deletePending deletes what was begun with an earlier password of a user, whose account is
// locked: codes, devices that were allowed, and the sign-ins of browsers.
func deletePending(ctx context.Context, tx pgx.Tx, userID string) error {
	for _, sql := range []string{
		`DELETE FROM oauth_codes WHERE user_id = $1`,
		`DELETE FROM oauth_browsers WHERE user_id = $1`,
		`DELETE FROM oauth_device_codes WHERE user_id = $1`,
	} {
		if _, err := tx.Exec(ctx, sql, userID); err != nil {
			return fmt.Errorf("delete what %s has begun: %w", userID, err)
		}
	}
	return nil
}
