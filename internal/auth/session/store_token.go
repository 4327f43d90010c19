package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
	"homeserver/internal/matrix"
)

// accessTokenRow is an access token with its owner.
type accessTokenRow struct {
	knownToken
	generation     int64
	hasPredecessor bool
	void           bool
}

// findAccessToken reads an access token. M_UNKNOWN_TOKEN where there is none that is
// good, with soft_logout true where another has taken its place on its device; M_USER_LOCKED where that is so in a
// locked account.
func findAccessToken(ctx context.Context, q account.Querier, hash secret.Hash) (accessTokenRow, error) {
	rows, err := q.Query(ctx, `
		SELECT t.user_id, t.device_id, a.admin, a.guest, coalesce(t.expires_at, 0), t.generation, t.void_at IS NOT NULL, d.oauth_client IS NOT NULL,
		       a.locked_at IS NOT NULL, a.suspended_at IS NOT NULL,
		       EXISTS (SELECT FROM refresh_tokens r
		               WHERE r.user_id = t.user_id AND r.device_id = t.device_id
		                 AND r.generation < t.generation AND NOT r.revoked)
		FROM access_tokens t JOIN accounts a USING (user_id) JOIN devices d USING (user_id, device_id)
		WHERE t.token_hash = $1 AND a.deactivated_at IS NULL`, hash[:])
	if err != nil {
		return accessTokenRow{}, fmt.Errorf("query an access token: %w", err)
	}
	row, err := pgx.CollectOneRow(rows, func(row pgx.CollectableRow) (accessTokenRow, error) {
		var t accessTokenRow
		err := row.Scan(&t.session.UserID, &t.session.DeviceID, &t.session.Admin, &t.session.Guest,
			&t.expiresAt, &t.generation, &t.void, &t.session.OAuth, &t.session.Locked, &t.session.Suspended, &t.hasPredecessor)
		return t, err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return accessTokenRow{}, unknownToken(false)
	}
	if err != nil {
		return accessTokenRow{}, fmt.Errorf("read an access token: %w", err)
	}
	if row.void && row.session.Locked {
		return accessTokenRow{}, matrix.ErrLocked()
	}
	if row.void {
		return accessTokenRow{}, unknownToken(true)
	}
	return row, nil
}

// refreshTokenRow is the place of a refresh token in the chain of its device.
type refreshTokenRow struct {
	Generation int64
	Revoked    bool
	RevokedAt  int64
	Locked     bool // the account is
}

// findRefreshToken reads a refresh token; M_UNKNOWN_TOKEN where there is none.
func findRefreshToken(ctx context.Context, q account.Querier, hash secret.Hash) (refreshTokenRow, error) {
	rows, err := q.Query(ctx, `
		SELECT generation, revoked, revoked_at, locked_at IS NOT NULL FROM refresh_tokens JOIN accounts USING (user_id) WHERE token_hash = $1`, hash[:])
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
func lockDeviceOfRefreshToken(ctx context.Context, tx pgx.Tx, hash secret.Hash) (matrix.Session, error) {
	return lockDeviceOf(ctx, tx, `
		SELECT user_id, device_id FROM devices
		WHERE (user_id, device_id) = (SELECT user_id, device_id FROM refresh_tokens WHERE token_hash = $1)
		FOR NO KEY UPDATE`, hash)
}

// lockDeviceOfAccessToken does the same for an access token.
func lockDeviceOfAccessToken(ctx context.Context, tx pgx.Tx, hash secret.Hash) error {
	_, err := lockDeviceOf(ctx, tx, `
		SELECT user_id, device_id FROM devices
		WHERE (user_id, device_id) = (SELECT user_id, device_id FROM access_tokens WHERE token_hash = $1)
		FOR NO KEY UPDATE`, hash)
	return err
}

func lockDeviceOf(ctx context.Context, tx pgx.Tx, sql string, hash secret.Hash) (matrix.Session, error) {
	rows, err := tx.Query(ctx, sql, hash[:])
	if err != nil {
		return matrix.Session{}, fmt.Errorf("query the device of a token: %w", err)
	}
	session, err := pgx.CollectOneRow(rows, func(row pgx.CollectableRow) (matrix.Session, error) {
		var s matrix.Session
		err := row.Scan(&s.UserID, &s.DeviceID)
		return s, err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return matrix.Session{}, unknownToken(false)
	}
	if err != nil {
		return matrix.Session{}, fmt.Errorf("lock the device of a token: %w", err)
	}
	return session, nil
}

// revokeBefore revokes the tokens that are older than a generation in use, and returns
// the access tokens among them.
func revokeBefore(ctx context.Context, tx pgx.Tx, session matrix.Session, generation, now int64) ([]secret.Hash, error) {
	if err := revokeRefreshTokens(ctx, tx, session, generation, now); err != nil {
		return nil, err
	}
	return voidAccessTokens(ctx, tx, session, generation, now)
}

// revokeRefreshTokens revokes the refresh tokens of a device that are older than a
// generation, as of a time; one that was revoked before stays as it is. The newest
// revoked ones are remembered.
func revokeRefreshTokens(ctx context.Context, tx pgx.Tx, session matrix.Session, generation, at int64) error {
	_, err := tx.Exec(ctx, `
		DELETE FROM refresh_tokens WHERE user_id = $1 AND device_id = $2 AND generation < $3`,
		session.UserID, session.DeviceID, generation-rememberedTokens)
	if err != nil {
		return fmt.Errorf("delete old refresh tokens: %w", err)
	}
	_, err = tx.Exec(ctx, `
		UPDATE refresh_tokens SET revoked = true, revoked_at = $4
		WHERE user_id = $1 AND device_id = $2 AND generation < $3 AND NOT (revoked AND revoked_at <= $4)`,
		session.UserID, session.DeviceID, generation, at)
	if err != nil {
		return fmt.Errorf("revoke refresh tokens: %w", err)
	}
	return nil
}

// longAgo is when a refresh token was revoked that must not be exchanged again.
const longAgo = 0

// voidLost makes tokens void that are newer than a generation and were made before a
// time: the client has not got them, or it would have used them. The newest of them are
// remembered, in case it uses them later after all. It returns the access tokens among
// them.
func voidLost(ctx context.Context, tx pgx.Tx, session matrix.Session, generation int64, before, lifetime, now int64) ([]secret.Hash, error) {
	_, err := tx.Exec(ctx, `
		UPDATE refresh_tokens SET revoked = true, revoked_at = $5
		WHERE user_id = $1 AND device_id = $2 AND generation > $3 AND issued_at < $4 AND NOT revoked`,
		session.UserID, session.DeviceID, generation, before, longAgo)
	if err != nil {
		return nil, fmt.Errorf("revoke refresh tokens that were not delivered: %w", err)
	}
	_, err = tx.Exec(ctx, `
		DELETE FROM refresh_tokens WHERE token_hash IN (
			SELECT token_hash FROM refresh_tokens WHERE user_id = $1 AND device_id = $2 AND generation > $3 AND revoked
			ORDER BY issued_at DESC OFFSET $4)`,
		session.UserID, session.DeviceID, generation, rememberedTokens)
	if err != nil {
		return nil, fmt.Errorf("delete refresh tokens that were not delivered: %w", err)
	}
	return accessTokens(ctx, tx, `
		UPDATE access_tokens SET void_at = $5
		WHERE user_id = $1 AND device_id = $2 AND generation > $3 AND expires_at < $4 AND void_at IS NULL
		RETURNING token_hash`,
		session.UserID, session.DeviceID, generation, before+lifetime, now)
}

// countNewer counts the refresh tokens of a device that are newer than a generation and
// not lost.
func countNewer(ctx context.Context, tx pgx.Tx, session matrix.Session, generation int64) (n int, err error) {
	err = tx.QueryRow(ctx, `
		SELECT count(*) FROM refresh_tokens
		WHERE user_id = $1 AND device_id = $2 AND generation > $3 AND NOT (revoked AND revoked_at = $4)`,
		session.UserID, session.DeviceID, generation, longAgo).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the refresh tokens of a device: %w", err)
	}
	return n, nil
}

// voidAccessTokens makes the access tokens of a device void that are older than a
// generation, and returns them. The newest void ones are remembered.
func voidAccessTokens(ctx context.Context, tx pgx.Tx, session matrix.Session, generation, now int64) ([]secret.Hash, error) {
	hashes, err := accessTokens(ctx, tx, `
		UPDATE access_tokens SET void_at = $4
		WHERE user_id = $1 AND device_id = $2 AND generation < $3 AND void_at IS NULL RETURNING token_hash`,
		session.UserID, session.DeviceID, generation, now)
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, `
		DELETE FROM access_tokens WHERE token_hash IN (
			SELECT token_hash FROM access_tokens WHERE user_id = $1 AND device_id = $2 AND void_at IS NOT NULL
			ORDER BY void_at DESC, generation DESC OFFSET $3)`,
		session.UserID, session.DeviceID, rememberedTokens)
	if err != nil {
		return nil, fmt.Errorf("delete void access tokens: %w", err)
	}
	return hashes, nil
}

// supersedeTokens makes all tokens of a device void, since it logs in anew. It returns
// the generation to go on with, and the access tokens that are void now.
func supersedeTokens(ctx context.Context, tx pgx.Tx, session matrix.Session, now int64) (generation int64, hashes []secret.Hash, err error) {
	err = tx.QueryRow(ctx, `
		SELECT 1 + greatest(
			(SELECT coalesce(max(generation), 0) FROM access_tokens WHERE user_id = $1 AND device_id = $2),
			(SELECT coalesce(max(generation), 0) FROM refresh_tokens WHERE user_id = $1 AND device_id = $2))`,
		session.UserID, session.DeviceID).Scan(&generation)
	if err != nil {
		return 0, nil, fmt.Errorf("look up the generation of a device's tokens: %w", err)
	}
	// They were not exchanged for the new tokens: no refresh may be repeated.
	if err := revokeRefreshTokens(ctx, tx, session, generation, longAgo); err != nil {
		return 0, nil, err
	}
	hashes, err = voidAccessTokens(ctx, tx, session, generation, now)
	return generation, hashes, err
}

// deleteDeviceTokens deletes all tokens of the devices, and returns the access
// tokens among them.
func deleteDeviceTokens(ctx context.Context, tx pgx.Tx, userID string, deviceIDs []string) ([]secret.Hash, error) {
	_, err := tx.Exec(ctx, `DELETE FROM refresh_tokens WHERE user_id = $1 AND device_id = ANY ($2)`, userID, deviceIDs)
	if err != nil {
		return nil, fmt.Errorf("delete the refresh tokens of devices: %w", err)
	}
	return accessTokens(ctx, tx, `
		DELETE FROM access_tokens WHERE user_id = $1 AND device_id = ANY ($2) RETURNING token_hash`, userID, deviceIDs)
}

// AccessTokens lists the access tokens of a user.
func AccessTokens(ctx context.Context, tx pgx.Tx, userID string) ([]secret.Hash, error) {
	return accessTokens(ctx, tx, `SELECT token_hash FROM access_tokens WHERE user_id = $1`, userID)
}

func accessTokens(ctx context.Context, tx pgx.Tx, sql string, args ...any) ([]secret.Hash, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("query or change access tokens: %w", err)
	}
	hashes, err := pgx.CollectRows(rows, scanTokenHash)
	if err != nil {
		return nil, fmt.Errorf("read or change access tokens: %w", err)
	}
	return hashes, nil
}

func scanTokenHash(row pgx.CollectableRow) (hash secret.Hash, err error) {
	var stored []byte
	err = row.Scan(&stored)
	copy(hash[:], stored)
	return hash, err
}

func insertAccessToken(ctx context.Context, tx pgx.Tx, session matrix.Session, hash secret.Hash, generation int64, expiresAt *int64) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO access_tokens (token_hash, user_id, device_id, generation, expires_at) VALUES ($1, $2, $3, $4, $5)`,
		hash[:], session.UserID, session.DeviceID, generation, expiresAt)
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "23505" && pg.ConstraintName == "access_tokens_pkey" {
		return matrix.Errorf(matrix.InvalidParam, "Another device has this access token")
	}
	if err != nil {
		return fmt.Errorf("insert an access token: %w", err)
	}
	return nil
}

func insertRefreshToken(ctx context.Context, tx pgx.Tx, session matrix.Session, hash secret.Hash, generation, now int64) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO refresh_tokens (token_hash, user_id, device_id, generation, issued_at) VALUES ($1, $2, $3, $4, $5)`,
		hash[:], session.UserID, session.DeviceID, generation, now)
	if err != nil {
		return fmt.Errorf("insert a refresh token: %w", err)
	}
	return nil
}
