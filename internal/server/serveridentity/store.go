package serveridentity

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"homeserver/internal/doctor"

	"github.com/jackc/pgx/v5"
)

// querier is a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Stored returns the identity that the database notes; nil if it notes none, as one that
// no server of this version has been started on.
func Stored(ctx context.Context, db querier) (*Identity, error) {
	// A backup reads databases of older schemas, too.
	var exists bool
	if err := db.QueryRow(ctx, `SELECT to_regclass('server_identity') IS NOT NULL`).Scan(&exists); err != nil {
		return nil, fmt.Errorf("look whose the database is: %w", err)
	}
	if !exists {
		return nil, nil
	}
	rows, _ := db.Query(ctx, `SELECT server_name, key_id, public_key FROM server_identity`)
	id, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByPos[Identity])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read whose the database is: %w", err)
	}
	return id, nil
}

// PublicKeys returns the keys that the server has signed with, by their IDs: the one of
// the identity, and those before it.
func PublicKeys(ctx context.Context, conn *pgx.Conn, id Identity) (map[string]ed25519.PublicKey, error) {
	keys := map[string]ed25519.PublicKey{}
	rows, _ := conn.Query(ctx, `SELECT key_id, public_key FROM former_signing_keys`)
	var keyID string
	var key []byte
	_, err := pgx.ForEachRow(rows, []any{&keyID, &key}, func() error {
		keys[keyID] = ed25519.PublicKey(key)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the former signing keys: %w", err)
	}
	keys[id.KeyID] = id.PublicKey
	return keys, nil
}

// store writes the one row.
func store(ctx context.Context, tx pgx.Tx, id Identity) error {
	_, err := tx.Exec(ctx, `
		WITH again AS (DELETE FROM former_signing_keys WHERE key_id = $2)
		INSERT INTO server_identity (server_name, key_id, public_key) VALUES ($1, $2, $3)
		ON CONFLICT (only_row) DO UPDATE SET server_name = $1, key_id = $2, public_key = $3`,
		id.ServerName, id.KeyID, []byte(id.PublicKey))
	if err != nil {
		return fmt.Errorf("note whose the database is: %w", err)
	}
	return nil
}

// retire stores the public part of a key that is replaced.
func retire(ctx context.Context, tx pgx.Tx, id Identity, now time.Time) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO former_signing_keys (key_id, public_key, replaced_at) VALUES ($1, $2, $3)
		ON CONFLICT (key_id) DO UPDATE SET public_key = $2, replaced_at = $3`,
		id.KeyID, []byte(id.PublicKey), now.UnixMilli())
	if err != nil {
		return fmt.Errorf("store the former signing key: %w", err)
	}
	return nil
}

// Checks returns the checks of the server's name and key, for the operator's doctor:
// that the database is the one of this configuration and this data folder.
func Checks(id Identity, look Look) []doctor.Check {
	return []doctor.Check{{
		Title: "Server: name and signing key",
		Look: func(ctx context.Context, e *doctor.Exam) error {
			if err := Verify(ctx, e.Conn, id, look); err != nil {
				e.Found("%v", err)
			}
			return nil
		},
	}}
}
