package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/session"
)

// storeClient stores a client, or notes that it was used. Where there are too many, those that
// have not been used for longest are removed, of those without a device.
func (s *Service) storeClient(ctx context.Context, id string, metadata []byte) error {
	var before int
	err := s.o.Pool.QueryRow(ctx, `
		WITH stored AS (
			INSERT INTO oauth_clients (client_id, metadata, registered_at, used_at) VALUES ($1, $2, $3, $3)
			ON CONFLICT (client_id) DO UPDATE SET used_at = excluded.used_at)
		SELECT count(*) FROM (SELECT FROM oauth_clients LIMIT $4) few`, id, string(metadata), s.nowMS(), maxClients).Scan(&before)
	if err != nil {
		return fmt.Errorf("store a client: %w", err)
	}
	if before < maxClients {
		return nil
	}
	return s.removeClients(ctx, `SELECT client_id FROM oauth_clients WHERE client_id <> $1 ORDER BY used_at LIMIT 100`, id)
}

// removeUnusedClients removes those that were not used for long, of those without a device.
func (s *Service) removeUnusedClients(ctx context.Context) error {
	return s.removeClients(ctx, `SELECT client_id FROM oauth_clients WHERE used_at < $1`, s.nowMS()-clientMemory.Milliseconds())
}

// removeClients removes those clients of a query that have no device.
func (s *Service) removeClients(ctx context.Context, query string, args ...any) error {
	err := pgx.BeginFunc(ctx, s.o.Pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, query+" FOR UPDATE SKIP LOCKED", args...)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(ids) == 0 {
			return err
		}
		used, err := session.ClientsInUse(ctx, tx, ids)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM oauth_clients WHERE client_id = ANY ($1) AND client_id <> ALL ($2)`, ids, used)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove unused clients: %w", err)
	}
	return nil
}

// findClient reads a client; invalid_client where there is none.
func findClient(ctx context.Context, q account.Querier, id string) (RegisteredClient, error) {
	found := RegisteredClient{ClientID: id}
	var metadata string
	err := q.QueryRow(ctx, `SELECT metadata FROM oauth_clients WHERE client_id = $1`, id).Scan(&metadata)
	if errors.Is(err, pgx.ErrNoRows) {
		return found, refuse(errInvalidClient, "there is no client with this client_id: it must register first")
	}
	if err == nil {
		err = json.Unmarshal([]byte(metadata), &found.Client)
	}
	if err != nil {
		return found, fmt.Errorf("read a client: %w", err)
	}
	return found, nil
}
