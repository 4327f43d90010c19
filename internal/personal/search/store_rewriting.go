package search

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/rooms/timeline"
)

// leftToRewrite returns the next rows that are to be written anew; nil if all are done.
func (s *Service) leftToRewrite(ctx context.Context) (*leftRows, error) {
	var left leftRows
	err := s.pool.QueryRow(ctx, `
		SELECT before, done, total, ARRAY(
			SELECT event_nid FROM search_index WHERE event_nid < before ORDER BY event_nid DESC LIMIT $1)
		FROM search_rewriting`, rewrittenAtOnce).Scan(&left.before, &left.done, &left.total, &left.numbers)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look which rows of the search index are to be written anew: %w", err)
	}
	return &left, nil
}

// rewrite writes the words of rows anew, if nobody else has done so. Rows that are gone were
// redacted meanwhile.
func (s *Service) rewrite(ctx context.Context, before timeline.EventNID, done []timeline.EventNID, r *rows) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE search_rewriting SET before = $2, done = done + $3 WHERE before = $1`, before, done[len(done)-1], len(done))
		if err != nil || tag.RowsAffected() == 0 {
			return err //nolint:wrapcheck // it is wrapped below
		}
		_, err = tx.Exec(ctx, `
			UPDATE search_index i SET words = n.words
			FROM unnest($1::bigint[], $2::tsvector[]) AS n(event_nid, words)
			WHERE i.event_nid = n.event_nid AND i.words IS DISTINCT FROM n.words`, r.number, r.words)
		return err //nolint:wrapcheck // it is wrapped below
	})
	if err != nil {
		return fmt.Errorf("write the search index anew: %w", err)
	}
	return nil
}

// endRewriting notes that all rows are rewritten.
func (s *Service) endRewriting(ctx context.Context) error {
	if _, err := s.pool.Exec(ctx, `DELETE FROM search_rewriting`); err != nil {
		return fmt.Errorf("end the rewriting of the search index: %w", err)
	}
	return nil
}
