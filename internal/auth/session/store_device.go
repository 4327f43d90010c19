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

const deviceColumns = `device_id, coalesce(display_name, ''), last_seen_ip, last_seen_ts`

func listDevices(ctx context.Context, q account.Querier, userID string) ([]Device, error) {
	rows, err := q.Query(ctx, `SELECT `+deviceColumns+` FROM devices WHERE user_id = $1 ORDER BY device_id`, userID)
	if err != nil {
		return nil, fmt.Errorf("query the devices of %s: %w", userID, err)
	}
	devices, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Device])
	if err != nil {
		return nil, fmt.Errorf("read the devices of %s: %w", userID, err)
	}
	return devices, nil
}

// listConnections reads from where each device of a user was last seen.
func listConnections(ctx context.Context, q account.Querier, userID string) (map[string]WhoisDevice, error) {
	rows, err := q.Query(ctx, `
		SELECT device_id, last_seen_ip, last_seen_ts, user_agent FROM devices WHERE user_id = $1`, userID)
	if err != nil {
		return nil, fmt.Errorf("query the connections of %s: %w", userID, err)
	}
	devices := map[string]WhoisDevice{}
	var deviceID string
	var c Connection
	_, err = pgx.ForEachRow(rows, []any{&deviceID, &c.IP, &c.LastSeen, &c.UserAgent}, func() error {
		devices[deviceID] = WhoisDevice{[]WhoisSession{{[]Connection{c}}}}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the connections of %s: %w", userID, err)
	}
	return devices, nil
}

func findDevice(ctx context.Context, q account.Querier, userID, deviceID string) (Device, error) {
	rows, err := q.Query(ctx, `SELECT `+deviceColumns+` FROM devices WHERE user_id = $1 AND device_id = $2`, userID, deviceID)
	if err != nil {
		return Device{}, fmt.Errorf("query a device of %s: %w", userID, err)
	}
	device, err := pgx.CollectOneRow(rows, pgx.RowToStructByPos[Device])
	if errors.Is(err, pgx.ErrNoRows) {
		return Device{}, errNoDevice()
	}
	if err != nil {
		return Device{}, fmt.Errorf("read a device of %s: %w", userID, err)
	}
	return device, nil
}

// HasAny reports whether a user has a device with any of the IDs.
func HasAny(ctx context.Context, q account.Querier, userID string, deviceIDs []string) (found bool, err error) {
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM devices WHERE user_id = $1 AND device_id = ANY ($2))`, userID, deviceIDs).Scan(&found)
	if err != nil {
		return false, fmt.Errorf("find devices of %s: %w", userID, err)
	}
	return found, nil
}

// renameDevice sets or removes the name of a device, and reports whether it was another
// one before. M_NOT_FOUND.
func renameDevice(ctx context.Context, tx pgx.Tx, userID, deviceID, displayName string) (renamed bool, err error) {
	err = tx.QueryRow(ctx, `
		WITH old AS (SELECT display_name FROM devices WHERE user_id = $1 AND device_id = $2 FOR NO KEY UPDATE)
		UPDATE devices d SET display_name = nullif($3, '') FROM old WHERE d.user_id = $1 AND d.device_id = $2
		RETURNING old.display_name IS DISTINCT FROM nullif($3, '')`, userID, deviceID, displayName).Scan(&renamed)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, errNoDevice()
	}
	if err != nil {
		return false, fmt.Errorf("rename a device of %s: %w", userID, err)
	}
	return renamed, nil
}

// upsertDevice makes a device, or notes that a known one was seen, and reports
// which. A known device keeps its name.
func upsertDevice(ctx context.Context, tx pgx.Tx, session matrix.Session, d NewDevice, seen sighting) (created bool, err error) {
	rows, err := tx.Query(ctx, `
		INSERT INTO devices (user_id, device_id, display_name, created_at, last_seen_ts, last_seen_ip, user_agent, oauth_client)
		VALUES ($1, $2, nullif($3, ''), $4, $4, $5, $6, nullif($7, ''))
		ON CONFLICT (user_id, device_id) DO UPDATE
		SET oauth_client = excluded.oauth_client, last_seen_ts = excluded.last_seen_ts, last_seen_ip = excluded.last_seen_ip, user_agent = excluded.user_agent
		RETURNING xmax = 0`, // an inserted row has not been replaced by anyone
		session.UserID, session.DeviceID, d.DisplayName, seen.at, seen.ip(), seen.userAgent, d.OAuthClient)
	if err != nil {
		return false, fmt.Errorf("insert a device of %s: %w", session.UserID, err)
	}
	created, err = pgx.CollectOneRow(rows, pgx.RowTo[bool])
	if err != nil {
		return false, fmt.Errorf("insert a device of %s: %w", session.UserID, err)
	}
	return created, nil
}

// insertDevice makes a device that was seen nowhere, and reports whether there was none.
func insertDevice(ctx context.Context, tx pgx.Tx, session matrix.Session, displayName string, at int64) (bool, error) {
	tag, err := tx.Exec(ctx, `
		INSERT INTO devices (user_id, device_id, display_name, created_at, last_seen_ts, last_seen_ip, user_agent)
		VALUES ($1, $2, nullif($3, ''), $4, $4, '', '') ON CONFLICT (user_id, device_id) DO NOTHING`,
		session.UserID, session.DeviceID, displayName, at)
	if err != nil {
		return false, fmt.Errorf("insert a device of %s: %w", session.UserID, err)
	}
	return tag.RowsAffected() > 0, nil
}

// Remove deletes devices and their tokens, and returns what the cache has of them: the access
// tokens, and that application services act on these devices.
func (s *Service) Remove(ctx context.Context, tx pgx.Tx, userID string, deviceIDs []string) (Revoked, error) {
	return s.lockAndRemove(ctx, tx, userID, `
		SELECT device_id FROM devices WHERE user_id = $1 AND device_id = ANY ($2)
		ORDER BY device_id FOR UPDATE`, userID, deviceIDs)
}

// RemoveOthers does the same for all devices but one; "" for really all. Once it is
// committed, the tokens are to be given to Removed.
func (s *Service) RemoveOthers(ctx context.Context, tx pgx.Tx, userID, keep string) ([]secret.Hash, error) {
	return s.lockAndRemove(ctx, tx, userID, `
		SELECT device_id FROM devices WHERE user_id = $1 AND device_id <> $2
		ORDER BY device_id FOR UPDATE`, userID, keep)
}

// removeSilentDevices leaves the user's most devices that were seen last, the one
// of the session among them.
func (s *Service) removeSilentDevices(ctx context.Context, tx pgx.Tx, session matrix.Session, most int) ([]secret.Hash, error) {
	return s.lockAndRemove(ctx, tx, session.UserID, `
		SELECT device_id FROM devices WHERE user_id = $1 AND device_id IN (
			SELECT device_id FROM devices WHERE user_id = $1 AND device_id <> $2
			ORDER BY last_seen_ts DESC, device_id OFFSET $3 - 1)
		ORDER BY device_id FOR UPDATE`, session.UserID, session.DeviceID, most)
}

// lockAndRemove removes the devices that a query locks, with all that follows from that.
// While they are locked no token can be added, so that the tokens returned are all that
// there were.
func (s *Service) lockAndRemove(ctx context.Context, tx pgx.Tx, userID, query string, args ...any) ([]secret.Hash, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("query devices of %s: %w", userID, err)
	}
	deviceIDs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("lock devices of %s: %w", userID, err)
	}
	actors := actorHashes(userID, deviceIDs)
	if len(deviceIDs) == 0 {
		return actors, nil
	}
	for _, follow := range s.onRemove {
		if err := follow(ctx, tx, userID, deviceIDs); err != nil {
			return nil, err
		}
	}
	hashes, err := deleteDeviceTokens(ctx, tx, userID, deviceIDs)
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, `DELETE FROM devices WHERE user_id = $1 AND device_id = ANY ($2)`, userID, deviceIDs)
	if err != nil {
		return nil, fmt.Errorf("delete devices of %s: %w", userID, err)
	}
	return append(hashes, actors...), nil
}

// storeSightings writes when devices were last seen, with one statement. It passes
// over devices that are locked or gone: waiting for them could deadlock, and they
// will be seen again.
func storeSightings(ctx context.Context, q account.Querier, sightings map[deviceKey]sighting) error {
	var userIDs, deviceIDs, ips, agents []string
	var times []int64
	for key, seen := range sightings {
		userIDs = append(userIDs, key.userID)
		deviceIDs = append(deviceIDs, key.deviceID)
		times = append(times, seen.at)
		ips = append(ips, seen.ip())
		agents = append(agents, seen.userAgent)
	}
	_, err := q.Exec(ctx, `
		WITH seen AS (
			SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[])
				AS s (user_id, device_id, ts, ip, agent)
		), free AS (
			SELECT d.user_id, d.device_id FROM devices d JOIN seen USING (user_id, device_id)
			FOR NO KEY UPDATE OF d SKIP LOCKED
		)
		UPDATE devices d
		SET last_seen_ts = seen.ts, last_seen_ip = seen.ip, user_agent = seen.agent
		FROM seen JOIN free USING (user_id, device_id)
		WHERE d.user_id = seen.user_id AND d.device_id = seen.device_id AND d.last_seen_ts < seen.ts`,
		userIDs, deviceIDs, times, ips, agents)
	if err != nil {
		return fmt.Errorf("write when devices were last seen: %w", err)
	}
	return nil
}

// LastAddresses calls the function with users, guests excepted, and the addresses from
// which their devices were seen last, the latest first, of so many devices at most.
func (s *Service) LastAddresses(ctx context.Context, most int, do func(userID, ip string)) error {
	rows, err := s.o.Pool.Query(ctx, `
		SELECT user_id, last_seen_ip FROM devices JOIN accounts USING (user_id)
		WHERE NOT guest AND last_seen_ip <> '' ORDER BY last_seen_ts DESC LIMIT $1`, most)
	if err != nil {
		return fmt.Errorf("query where devices were seen: %w", err)
	}
	var userID, ip string
	_, err = pgx.ForEachRow(rows, []any{&userID, &ip}, func() error {
		do(userID, ip)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read where devices were seen: %w", err)
	}
	return nil
}
