package media

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// hold protects a file from removal until abandonedAfter has passed. It waits for a
// process that is just removing it.
func hold(ctx context.Context, pool *pgxpool.Pool, h hash) error {
	_, err := pool.Exec(ctx, `
		INSERT INTO media_storing AS s (hash, holders, until) VALUES ($1, 1, now() + $2::interval)
		ON CONFLICT (hash) DO UPDATE SET holders = s.holders + 1, until = excluded.until`, h[:], abandonedAfter)
	if err != nil {
		return fmt.Errorf("hold a file: %w", err)
	}
	return nil
}

// unhold ends the hold of a file that has got no record.
func unhold(ctx context.Context, pool *pgxpool.Pool, h hash) error {
	_, err := pool.Exec(ctx, `UPDATE media_storing SET holders = holders - 1 WHERE hash = $1 AND holders > 0`, h[:])
	if err != nil {
		return fmt.Errorf("let go of a file: %w", err)
	}
	return nil
}

var errLost = errors.New("the file has been removed before it was recorded")

// release ends a hold together with the record: errLost if there is none any more, and
// so perhaps no file.
func release(ctx context.Context, tx pgx.Tx, h hash) error {
	tag, err := tx.Exec(ctx, `UPDATE media_storing SET holders = holders - 1 WHERE hash = $1 AND holders > 0`, h[:])
	if err != nil {
		return fmt.Errorf("release a file: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return errLost
	}
	if _, err := tx.Exec(ctx, `DELETE FROM media_storing WHERE hash = $1 AND holders = 0`, h[:]); err != nil {
		return fmt.Errorf("release a file: %w", err)
	}
	return nil
}

// abandoned returns files that no process holds any more, and that may have no record.
func abandoned(ctx context.Context, pool *pgxpool.Pool) ([]hash, error) {
	rows, err := pool.Query(ctx, `SELECT hash FROM media_storing WHERE holders = 0 OR until < now() LIMIT 1000`)
	if err != nil {
		return nil, fmt.Errorf("look for abandoned files: %w", err)
	}
	hashes, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (hash, error) {
		var h []byte
		err := row.Scan(&h)
		return hash(h), err
	})
	if err != nil {
		return nil, fmt.Errorf("look for abandoned files: %w", err)
	}
	return hashes, nil
}

// lockAbandoned locks the row of a file that nobody holds until the end of the
// transaction; false if there is none, or another process has locked it.
func lockAbandoned(ctx context.Context, tx pgx.Tx, h hash) (bool, error) {
	var one int
	err := tx.QueryRow(ctx, `
		SELECT 1 FROM media_storing WHERE hash = $1 AND (holders = 0 OR until < now())
		FOR UPDATE SKIP LOCKED`, h[:]).Scan(&one)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock an abandoned file: %w", err)
	}
	return true, nil
}

// isRecorded reports whether a record refers to a file.
func isRecorded(ctx context.Context, tx pgx.Tx, h hash) (found bool, err error) {
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM media WHERE hash = $1)`, h[:]).Scan(&found)
	if err != nil {
		return false, fmt.Errorf("look for references to a file: %w", err)
	}
	return found, nil
}

// forget removes the row of a file that has its record, or is gone.
func forget(ctx context.Context, tx pgx.Tx, h hash) error {
	if _, err := tx.Exec(ctx, `DELETE FROM media_storing WHERE hash = $1`, h[:]); err != nil {
		return fmt.Errorf("forget a file: %w", err)
	}
	return nil
}

// abandon marks a file as abandoned, unless a process holds it.
func abandon(ctx context.Context, pool *pgxpool.Pool, h hash) error {
	_, err := pool.Exec(ctx, `
		INSERT INTO media_storing (hash, holders, until) VALUES ($1, 0, now())
		ON CONFLICT (hash) DO NOTHING`, h[:])
	if err != nil {
		return fmt.Errorf("abandon a file: %w", err)
	}
	return nil
}
