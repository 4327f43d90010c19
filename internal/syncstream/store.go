package syncstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/doctor"
	"homeserver/internal/matrix"
)

// storeFilter numbers a user's filters from 0, one after the other.
func (s *Service) storeFilter(ctx context.Context, userID string, definition, hash []byte) (id int64, err error) {
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('filters of ' || $1, 0))`, userID); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `
			WITH known AS (SELECT filter_id FROM filters WHERE user_id = $1 AND hash = $3),
			stored AS (
				INSERT INTO filters (user_id, filter_id, definition, hash)
				SELECT $1, count(*), $2, $3 FROM filters WHERE user_id = $1
				HAVING NOT EXISTS (SELECT FROM known) AND count(*) < $4
				RETURNING filter_id)
			SELECT filter_id FROM known UNION ALL SELECT filter_id FROM stored`,
			userID, definition, hash, maxFilters).Scan(&id)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, matrix.Errorf(matrix.Unknown, "a user has at most %d filters", maxFilters)
	}
	if err != nil {
		return 0, fmt.Errorf("store a filter of %s: %w", userID, err)
	}
	return id, nil
}

func (s *Service) loadFilter(ctx context.Context, userID string, id int64) (definition json.RawMessage, err error) {
	err = s.Pool.QueryRow(ctx, `SELECT definition FROM filters WHERE user_id = $1 AND filter_id = $2`, userID, id).
		Scan((*[]byte)(&definition))
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, matrix.Errorf(matrix.NotFound, "there is no such filter")
	}
	if err != nil {
		return nil, fmt.Errorf("load filter %d of %s: %w", id, userID, err)
	}
	return definition, nil
}

// Erase deletes the filters and the connections of a user who is deactivated and is to be erased.
func (s *Service) Erase(ctx context.Context, userID string) error {
	for _, table := range []string{"filters", "sliding_sync_connections"} {
		if _, err := s.Pool.Exec(ctx, `DELETE FROM `+table+` WHERE user_id = $1`, userID); err != nil {
			return fmt.Errorf("erase the %s of %s: %w", table, userID, err)
		}
	}
	return nil
}

// Checks returns the checks of stored filters and connections, for the operator's doctor.
func (*Service) Checks() []doctor.Check {
	return []doctor.Check{
		doctor.Orphans("Filters: their users", "filters", "user_id", "accounts", "user_id").Check(),
		doctor.Orphans("Sliding sync: the users of connections", "sliding_sync_connections", "user_id", "accounts", "user_id").Check(),
	}
}
