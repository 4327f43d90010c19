package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// querier is a pool or a transaction of it.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// accessTokenRow is an access token with its owner.
type accessTokenRow struct {
	knownToken
	generation     int64
	hasPredecessor bool
}

// findAccessToken reads an access token; M_UNKNOWN_TOKEN where there is none.
func findAccessToken(ctx context.Context, q querier, hash tokenHash) (accessTokenRow, error) {
	rows, err := q.Query(ctx, `
		SELECT t.user_id, t.device_id, a.admin, a.guest, coalesce(t.expires_at, 0), t.generation,
		       EXISTS (SELECT FROM refresh_tokens r
		               WHERE r.user_id = t.user_id AND r.device_id = t.device_id
		                 AND r.generation < t.generation AND NOT r.revoked)
		FROM access_tokens t JOIN accounts a USING (user_id)
		WHERE t.token_hash = $1 AND a.deactivated_at IS NULL`, hash[:])
	if err != nil {
		return accessTokenRow{}, fmt.Errorf("query an access token: %w", err)
	}
	row, err := pgx.CollectOneRow(rows, func(row pgx.CollectableRow) (accessTokenRow, error) {
		var t accessTokenRow
		err := row.Scan(&t.session.UserID, &t.session.DeviceID, &t.session.Admin, &t.session.Guest,
			&t.expiresAt, &t.generation, &t.hasPredecessor)
		return t, err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return accessTokenRow{}, unknownToken(false)
	}
	if err != nil {
		return accessTokenRow{}, fmt.Errorf("read an access token: %w", err)
	}
	return row, nil
}

// refreshTokenRow is the place of a refresh token in the chain of its device.
type refreshTokenRow struct {
	Generation int64
	Revoked    bool
}

// findRefreshToken reads a refresh token; M_UNKNOWN_TOKEN where there is none.
func findRefreshToken(ctx context.Context, q querier, hash tokenHash) (refreshTokenRow, error) {
	rows, err := q.Query(ctx, `SELECT generation, revoked FROM refresh_tokens WHERE token_hash = $1`, hash[:])
	if err != nil {
		return refreshTokenRow{}, fmt.Errorf("query a refresh token: %w", err)
	}
	row, err := pgx.CollectOneRow(rows, pgx.RowToStructByPos[refreshTokenRow])
	if errors.Is(err, pgx.ErrNoRows) {
		return refreshTokenRow{}, unknownToken(false)
	}
	if err != nil {
		return refreshTokenRow{}, fmt.Errorf("read a refresh token: %w", err)
	}
	return row, nil
}

// lockDeviceOfRefreshToken locks the device that a refresh token belongs to, so
// that its tokens do not change meanwhile; M_UNKNOWN_TOKEN where there is none.
func lockDeviceOfRefreshToken(ctx context.Context, tx pgx.Tx, hash tokenHash) (Session, error) {
	return lockDeviceOf(ctx, tx, `
		SELECT user_id, device_id FROM devices
		WHERE (user_id, device_id) = (SELECT user_id, device_id FROM refresh_tokens WHERE token_hash = $1)
		FOR NO KEY UPDATE`, hash)
}

// lockDeviceOfAccessToken does the same for an access token.
func lockDeviceOfAccessToken(ctx context.Context, tx pgx.Tx, hash tokenHash) error {
	_, err := lockDeviceOf(ctx, tx, `
		SELECT user_id, device_id FROM devices
		WHERE (user_id, device_id) = (SELECT user_id, device_id FROM access_tokens WHERE token_hash = $1)
		FOR NO KEY UPDATE`, hash)
	return err
}

func lockDeviceOf(ctx context.Context, tx pgx.Tx, sql string, hash tokenHash) (Session, error) {
	rows, err := tx.Query(ctx, sql, hash[:])
	if err != nil {
		return Session{}, fmt.Errorf("query the device of a token: %w", err)
	}
	session, err := pgx.CollectOneRow(rows, func(row pgx.CollectableRow) (Session, error) {
		var s Session
		err := row.Scan(&s.UserID, &s.DeviceID)
		return s, err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return Session{}, unknownToken(false)
	}
	if err != nil {
		return Session{}, fmt.Errorf("lock the device of a token: %w", err)
	}
	return session, nil
}

// revokeBefore revokes what is older than a generation that is in use, and returns
// the access tokens among it. The newest revoked refresh token is remembered.
func revokeBefore(ctx context.Context, tx pgx.Tx, session Session, generation int64) ([]tokenHash, error) {
	_, err := tx.Exec(ctx, `
		DELETE FROM refresh_tokens WHERE user_id = $1 AND device_id = $2 AND generation < $3 - 1`,
		session.UserID, session.DeviceID, generation)
	if err != nil {
		return nil, fmt.Errorf("delete old refresh tokens: %w", err)
	}
	_, err = tx.Exec(ctx, `
		UPDATE refresh_tokens SET revoked = true WHERE user_id = $1 AND device_id = $2 AND generation = $3 - 1`,
		session.UserID, session.DeviceID, generation)
	if err != nil {
		return nil, fmt.Errorf("revoke a refresh token: %w", err)
	}
	return deleteAccessTokens(ctx, tx, `user_id = $1 AND device_id = $2 AND generation < $3`,
		session.UserID, session.DeviceID, generation)
}

// deleteAfter deletes what is newer than a generation, and returns the access
// tokens among it.
func deleteAfter(ctx context.Context, tx pgx.Tx, session Session, generation int64) ([]tokenHash, error) {
	_, err := tx.Exec(ctx, `
		DELETE FROM refresh_tokens WHERE user_id = $1 AND device_id = $2 AND generation > $3`,
		session.UserID, session.DeviceID, generation)
	if err != nil {
		return nil, fmt.Errorf("delete newer refresh tokens: %w", err)
	}
	return deleteAccessTokens(ctx, tx, `user_id = $1 AND device_id = $2 AND generation > $3`,
		session.UserID, session.DeviceID, generation)
}

// deleteDeviceTokens deletes all tokens of the devices, and returns the access
// tokens among them.
func deleteDeviceTokens(ctx context.Context, tx pgx.Tx, userID string, deviceIDs []string) ([]tokenHash, error) {
	_, err := tx.Exec(ctx, `DELETE FROM refresh_tokens WHERE user_id = $1 AND device_id = ANY ($2)`, userID, deviceIDs)
	if err != nil {
		return nil, fmt.Errorf("delete the refresh tokens of devices: %w", err)
	}
	return deleteAccessTokens(ctx, tx, `user_id = $1 AND device_id = ANY ($2)`, userID, deviceIDs)
}

func deleteAccessTokens(ctx context.Context, tx pgx.Tx, condition string, args ...any) ([]tokenHash, error) {
	return accessTokens(ctx, tx, `DELETE FROM access_tokens WHERE `+condition+` RETURNING token_hash`, args...)
}

// listAccessTokens lists the access tokens of a user.
func listAccessTokens(ctx context.Context, tx pgx.Tx, userID string) ([]tokenHash, error) {
	return accessTokens(ctx, tx, `SELECT token_hash FROM access_tokens WHERE user_id = $1`, userID)
}

func accessTokens(ctx context.Context, tx pgx.Tx, sql string, args ...any) ([]tokenHash, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("query or delete access tokens: %w", err)
	}
	hashes, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (hash tokenHash, err error) {
		var stored []byte
		err = row.Scan(&stored)
		copy(hash[:], stored)
		return hash, err
	})
	if err != nil {
		return nil, fmt.Errorf("read or delete access tokens: %w", err)
	}
	return hashes, nil
}

func insertAccessToken(ctx context.Context, tx pgx.Tx, session Session, hash tokenHash, generation int64, expiresAt *int64) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO access_tokens (token_hash, user_id, device_id, generation, expires_at) VALUES ($1, $2, $3, $4, $5)`,
		hash[:], session.UserID, session.DeviceID, generation, expiresAt)
	if err != nil {
		return fmt.Errorf("insert an access token: %w", err)
	}
	return nil
}

func insertRefreshToken(ctx context.Context, tx pgx.Tx, session Session, hash tokenHash, generation int64) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO refresh_tokens (token_hash, user_id, device_id, generation) VALUES ($1, $2, $3, $4)`,
		hash[:], session.UserID, session.DeviceID, generation)
	if err != nil {
		return fmt.Errorf("insert a refresh token: %w", err)
	}
	return nil
}
