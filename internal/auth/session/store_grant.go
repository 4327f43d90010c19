package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
	"homeserver/internal/matrix"
)

// clientOf returns the client of OAuth that a device is signed in by; "": by none.
func clientOf(ctx context.Context, q account.Querier, device matrix.Session) (client string, err error) {
	err = q.QueryRow(ctx, `SELECT coalesce(oauth_client, '') FROM devices WHERE user_id = $1 AND device_id = $2`, device.UserID, device.DeviceID).Scan(&client)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the client of a device of %s: %w", device.UserID, err)
	}
	return client, nil
}

// findGrant finds the device of an access or refresh token, good or not, and the client of OAuth that it is signed in
// by; "": by none, or there is no such token.
func findGrant(ctx context.Context, q account.Querier, hash secret.Hash) (device matrix.Session, client string, err error) {
	err = q.QueryRow(ctx, `
		SELECT user_id, device_id, oauth_client FROM devices
		WHERE oauth_client IS NOT NULL AND (user_id, device_id) IN (
			SELECT user_id, device_id FROM access_tokens WHERE token_hash = $1
			UNION ALL SELECT user_id, device_id FROM refresh_tokens WHERE token_hash = $1)`, hash[:]).
		Scan(&device.UserID, &device.DeviceID, &client)
	if errors.Is(err, pgx.ErrNoRows) {
		return matrix.Session{}, "", nil
	}
	if err != nil {
		return matrix.Session{}, "", fmt.Errorf("find the device of a token: %w", err)
	}
	return device, client, nil
}

// ClientsInUse returns those of the clients of OAuth that devices are signed in by.
func ClientsInUse(ctx context.Context, q account.Querier, clients []string) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT id FROM unnest($1::text[]) AS asked (id) WHERE EXISTS (SELECT FROM devices WHERE oauth_client = id OFFSET 0)`, clients)
	if err != nil {
		return nil, fmt.Errorf("query the clients of devices: %w", err)
	}
	used, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read the clients of devices: %w", err)
	}
	return used, nil
}
