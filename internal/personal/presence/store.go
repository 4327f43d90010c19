package presence

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/doctor"
	"homeserver/internal/matrix"
)

// maxListed is how many users are on a presence list at most.
const maxListed = 1000

// storeList adds users to a presence list and removes others. M_TOO_LARGE if there are
// too many then.
func (s *Service) storeList(ctx context.Context, userID string, invite, drop []string) error {
	err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('presence list of ' || $1, 0))`, userID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO presence_lists (user_id, listed) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING`, userID, invite)
		if err != nil {
			return err
		}
		var left int
		err = tx.QueryRow(ctx, `
			WITH dropped AS (DELETE FROM presence_lists WHERE user_id = $1 AND listed = ANY($2) RETURNING 1)
			SELECT (SELECT count(*) FROM presence_lists WHERE user_id = $1) - (SELECT count(*) FROM dropped)`,
			userID, drop).Scan(&left)
		if err == nil && left > maxListed {
			return matrix.Errorf(matrix.TooLarge, "there are at most %d users on a presence list", maxListed)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("change the presence list of %s: %w", userID, err)
	}
	return nil
}

func (s *Service) loadList(ctx context.Context, userID string) ([]string, error) {
	rows, _ := s.Pool.Query(ctx, `SELECT listed FROM presence_lists WHERE user_id = $1 ORDER BY listed`, userID)
	listed, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read the presence list of %s: %w", userID, err)
	}
	return listed, nil
}

// Erase deletes the presence list of a user who is deactivated and is to be erased.
func (s *Service) Erase(ctx context.Context, userID string) error {
	if _, err := s.Pool.Exec(ctx, `DELETE FROM presence_lists WHERE user_id = $1`, userID); err != nil {
		return fmt.Errorf("erase the presence list of %s: %w", userID, err)
	}
	return nil
}

// Checks returns the checks of presence lists, for the operator's doctor.
func (*Service) Checks() []doctor.Check {
	return []doctor.Check{doctor.Orphans("Presence lists: their users", "presence_lists", "user_id", "accounts", "user_id").Check()}
}
