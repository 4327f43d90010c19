package oauth

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
)

// insertDeviceCode stores a device that waits. If there are too many, the oldest are deleted.
func insertDeviceCode(ctx context.Context, q account.Querier, hash secret.Hash, d DeviceRequest) error {
	_, err := q.Exec(ctx, `
		WITH oldest AS (
			DELETE FROM oauth_device_codes WHERE code_hash IN (
				SELECT code_hash FROM oauth_device_codes ORDER BY expires_at DESC OFFSET $7 - 1)
		), used AS (
			UPDATE oauth_clients SET used_at = greatest(used_at, $6) WHERE client_id = $3
		)
		INSERT INTO oauth_device_codes (code_hash, user_code, client_id, device_id, scope, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		hash[:], d.userCode, d.clientID, d.DeviceID, d.scope, d.expiresAt, maxDeviceCodes)
	if err != nil {
		return fmt.Errorf("insert a device code: %w", err)
	}
	return nil
}

// findUserCode reads the device that waits with a code; M_NOT_FOUND.
func findUserCode(ctx context.Context, q account.Querier, userCode string, now int64) (DeviceRequest, error) {
	var d DeviceRequest
	err := q.QueryRow(ctx, `SELECT client_id, device_id FROM oauth_device_codes WHERE user_code = $1 AND expires_at > $2 AND user_id IS NULL`, userCode, now).
		Scan(&d.clientID, &d.DeviceID)
	if errors.Is(err, pgx.ErrNoRows) {
		return d, errNoUserCode()
	}
	if err != nil {
		return d, fmt.Errorf("read a device that waits: %w", err)
	}
	return d, nil
}

// decideUserCode stores a decision; M_NOT_FOUND if there is one already.
func decideUserCode(ctx context.Context, tx pgx.Tx, userCode, userID string, allow bool, now int64) error {
	tag, err := tx.Exec(ctx, `
		UPDATE oauth_device_codes SET user_id = $2, allowed = $3 WHERE user_code = $1 AND expires_at > $4 AND user_id IS NULL`,
		userCode, userID, allow, now)
	if err != nil {
		return fmt.Errorf("store the decision about a device: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return errNoUserCode()
	}
	return nil
}

// pollDeviceCode reads a device that waits, and notes that it has asked; invalid_grant where there is
// none. The time of the answer is that of the question before.
func pollDeviceCode(ctx context.Context, q account.Querier, hash secret.Hash, now int64) (DeviceRequest, error) {
	var d DeviceRequest
	err := q.QueryRow(ctx, `
		WITH before AS (SELECT * FROM oauth_device_codes WHERE code_hash = $1 FOR NO KEY UPDATE)
		UPDATE oauth_device_codes c SET polled_at = $2 FROM before b WHERE c.code_hash = b.code_hash
		RETURNING c.client_id, c.device_id, c.scope, c.expires_at, b.polled_at, coalesce(c.user_id, ''), c.allowed`, hash[:], now).
		Scan(&d.clientID, &d.DeviceID, &d.scope, &d.expiresAt, &d.polledAt, &d.userID, &d.allowed)
	if errors.Is(err, pgx.ErrNoRows) {
		return d, refuse(errInvalidGrant, "the device code is unknown or used")
	}
	if err != nil {
		return d, fmt.Errorf("read a device code: %w", err)
	}
	return d, nil
}

// useDeviceCode uses a code up; invalid_grant if that has been done.
func useDeviceCode(ctx context.Context, tx pgx.Tx, hash secret.Hash) error {
	tag, err := tx.Exec(ctx, `DELETE FROM oauth_device_codes WHERE code_hash = $1`, hash[:])
	if err != nil {
		return fmt.Errorf("use a device code: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return refuse(errInvalidGrant, "the device code is unknown or used")
	}
	return nil
}

// deleteDeviceCodesBefore deletes expired codes.
func deleteDeviceCodesBefore(ctx context.Context, q account.Querier, before int64) error {
	if _, err := q.Exec(ctx, `DELETE FROM oauth_device_codes WHERE expires_at < $1`, before); err != nil {
		return fmt.Errorf("delete expired device codes: %w", err)
	}
	return nil
}
