package sso

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
)

// identity is a person as a provider knows one.
type identity struct {
	Provider string `json:"p"`
	Subject  string `json:"s"`
}

// findUser returns the account of an identity; "": there is none.
func findUser(ctx context.Context, q account.Querier, of identity) (userID string, err error) {
	rows, err := q.Query(ctx, `SELECT user_id FROM sso_identities WHERE provider = $1 AND subject = $2`, of.Provider, of.Subject)
	if err != nil {
		return "", fmt.Errorf("query an identity: %w", err)
	}
	userID, err = pgx.CollectOneRow(rows, pgx.RowTo[string])
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read an identity: %w", err)
	}
	return userID, nil
}

// insertIdentity binds an identity to an account, and reports whether it had none before.
func insertIdentity(ctx context.Context, tx pgx.Tx, of identity, userID string, at int64) (bool, error) {
	tag, err := tx.Exec(ctx, `
		INSERT INTO sso_identities (provider, subject, user_id, created_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (provider, subject) DO NOTHING`, of.Provider, of.Subject, userID, at)
	if err != nil {
		return false, fmt.Errorf("bind an identity to %s: %w", userID, err)
	}
	return tag.RowsAffected() > 0, nil
}

// hasIdentity reports whether a user has an identity of one of some providers.
func hasIdentity(ctx context.Context, q account.Querier, userID string, providers []string) (has bool, err error) {
	err = q.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM sso_identities WHERE user_id = $1 AND provider = ANY ($2))`, userID, providers).Scan(&has)
	if err != nil {
		return false, fmt.Errorf("look for identities of %s: %w", userID, err)
	}
	return has, nil
}

// deleteIdentities releases the identities of a user.
func deleteIdentities(ctx context.Context, q account.Querier, userID string) error {
	if _, err := q.Exec(ctx, `DELETE FROM sso_identities WHERE user_id = $1`, userID); err != nil {
		return fmt.Errorf("delete the identities of %s: %w", userID, err)
	}
	return nil
}

// insertToken notes by which session at a provider a login token was made.
func insertToken(ctx context.Context, tx pgx.Tx, token secret.Hash, a *Arrival) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO sso_login_tokens (token_hash, provider, subject, provider_session) VALUES ($1, $2, $3, $4)`,
		token[:], a.Identity.Provider, a.Identity.Subject, a.ProviderSession)
	if err != nil {
		return fmt.Errorf("note whose login token it is: %w", err)
	}
	return nil
}

// copyToken notes the device that has logged in by a token.
func copyToken(ctx context.Context, tx pgx.Tx, token secret.Hash, userID, deviceID string) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO sso_devices (user_id, device_id, provider, subject, provider_session)
		SELECT $2, $3, provider, subject, provider_session FROM sso_login_tokens WHERE token_hash = $1
		ON CONFLICT (user_id, device_id) DO UPDATE
		SET provider = excluded.provider, subject = excluded.subject, provider_session = excluded.provider_session`,
		token[:], userID, deviceID)
	if err != nil {
		return fmt.Errorf("note by which identity %s has logged in: %w", userID, err)
	}
	return nil
}

// deleteDevices forgets by which identities devices logged in.
func deleteDevices(ctx context.Context, tx pgx.Tx, userID string, deviceIDs []string) error {
	_, err := tx.Exec(ctx, `DELETE FROM sso_devices WHERE user_id = $1 AND device_id = ANY ($2)`, userID, deviceIDs)
	if err != nil {
		return fmt.Errorf("forget by which identities devices of %s logged in: %w", userID, err)
	}
	return nil
}

// deviceRow is a device that logged in by a session at a provider.
type deviceRow struct{ UserID, DeviceID string }

// findDevices returns the devices that logged in by a session at a provider, or, without the session, by any
// of a subject.
func findDevices(ctx context.Context, q account.Querier, of identity, providerSession string) ([]deviceRow, error) {
	rows, err := q.Query(ctx, `
		SELECT user_id, device_id FROM sso_devices
		WHERE provider = $1 AND ($2 = '' OR subject = $2) AND ($3 = '' OR provider_session = $3)
		ORDER BY user_id`, of.Provider, of.Subject, providerSession)
	if err != nil {
		return nil, fmt.Errorf("query the devices of a session at %s: %w", of.Provider, err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[deviceRow])
	if err != nil {
		return nil, fmt.Errorf("read the devices of a session at %s: %w", of.Provider, err)
	}
	return found, nil
}

// findTokens returns the login tokens that were made by a session at a provider, or by any of a subject.
func findTokens(ctx context.Context, tx pgx.Tx, of identity, providerSession string) ([]secret.Hash, error) {
	rows, err := tx.Query(ctx, `
		SELECT token_hash FROM sso_login_tokens
		WHERE provider = $1 AND ($2 = '' OR subject = $2) AND ($3 = '' OR provider_session = $3)`,
		of.Provider, of.Subject, providerSession)
	if err != nil {
		return nil, fmt.Errorf("query the login tokens of a session at %s: %w", of.Provider, err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return nil, fmt.Errorf("read the login tokens of a session at %s: %w", of.Provider, err)
	}
	hashes := make([]secret.Hash, len(found))
	for i, hash := range found {
		copy(hashes[i][:], hash)
	}
	return hashes, nil
}
