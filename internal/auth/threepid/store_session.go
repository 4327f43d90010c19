package threepid

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// querier is a pool or a transaction of it.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// newSession is a session to be stored, with the attempt that its message is for.
// keep is how many tokens are remembered.
type newSession struct {
	session
	attempt int64
	keep    int
}

// upsertSession stores a session, or a new attempt of one that there is. stored is
// false where there was such an attempt, or the address is validated.
func upsertSession(ctx context.Context, tx pgx.Tx, n newSession) (sid string, stored bool, err error) {
	rows, err := tx.Query(ctx, `
		INSERT INTO threepid_sessions AS s
			(sid, purpose, medium, address, client_secret_hash, send_attempt, token_hashes, next_link, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (purpose, medium, address, client_secret_hash) DO UPDATE
		SET send_attempt = excluded.send_attempt, next_link = excluded.next_link, expires_at = excluded.expires_at,
		    token_hashes = (excluded.token_hashes || s.token_hashes)[1:$10::int]
		WHERE s.validated_at IS NULL AND s.send_attempt < excluded.send_attempt
		RETURNING sid`,
		n.sid, n.purpose, n.address.Medium, n.address.Address, n.secret, n.attempt, n.tokens, n.nextLink, n.expiresAt, n.keep)
	if err != nil {
		return "", false, fmt.Errorf("insert a validation session: %w", err)
	}
	sid, err = pgx.CollectOneRow(rows, pgx.RowTo[string])
	if err == nil {
		return sid, true, nil
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return "", false, fmt.Errorf("insert a validation session: %w", err)
	}
	rows, err = tx.Query(ctx, `
		SELECT sid FROM threepid_sessions
		WHERE purpose = $1 AND medium = $2 AND address = $3 AND client_secret_hash = $4`,
		n.purpose, n.address.Medium, n.address.Address, n.secret)
	if err != nil {
		return "", false, fmt.Errorf("query a validation session: %w", err)
	}
	if sid, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[string]); err != nil {
		return "", false, fmt.Errorf("read a validation session: %w", err)
	}
	return sid, false, nil
}

// deleteSessions deletes expired sessions, and beyond a number those that would expire
// next.
func deleteSessions(ctx context.Context, tx pgx.Tx, now int64, most int) error {
	_, err := tx.Exec(ctx, `
		DELETE FROM threepid_sessions WHERE expires_at <= $1 OR sid IN (
			SELECT sid FROM threepid_sessions ORDER BY expires_at DESC OFFSET $2)`, now, most)
	if err != nil {
		return fmt.Errorf("delete validation sessions: %w", err)
	}
	return nil
}

// forgetAttempt makes an attempt possible again, unless there was a later one.
func forgetAttempt(ctx context.Context, q querier, sid string, attempt int64) error {
	_, err := q.Exec(ctx, `
		UPDATE threepid_sessions SET send_attempt = -1 WHERE sid = $1 AND send_attempt = $2`, sid, attempt)
	if err != nil {
		return fmt.Errorf("delete an attempt to send a message: %w", err)
	}
	return nil
}

const sessionColumns = `sid, purpose, medium, address, client_secret_hash, token_hashes, failures, next_link,
	expires_at, coalesce(validated_at, 0)`

func scanSession(row pgx.CollectableRow) (session, error) {
	var f session
	err := row.Scan(&f.sid, &f.purpose, &f.address.Medium, &f.address.Address, &f.secret, &f.tokens, &f.failures,
		&f.nextLink, &f.expiresAt, &f.validatedAt)
	return f, err
}

// findSession reads a session; the zero value where there is none. lock may be
// FOR UPDATE.
func findSession(ctx context.Context, q querier, sid, lock string) (session, error) {
	return oneSession(ctx, q, `SELECT `+sessionColumns+` FROM threepid_sessions WHERE sid = $1 `+lock, sid)
}

// deleteSession deletes a session and returns it; the zero value if there was none.
func deleteSession(ctx context.Context, tx pgx.Tx, sid string) (session, error) {
	return oneSession(ctx, tx, `DELETE FROM threepid_sessions WHERE sid = $1 RETURNING `+sessionColumns, sid)
}

func oneSession(ctx context.Context, q querier, sql, sid string) (session, error) {
	if !isSecret(sid) {
		return session{}, nil // none of ours, and maybe nothing that PostgreSQL takes
	}
	rows, err := q.Query(ctx, sql, sid)
	if err != nil {
		return session{}, fmt.Errorf("query a validation session: %w", err)
	}
	found, err := pgx.CollectOneRow(rows, scanSession)
	if errors.Is(err, pgx.ErrNoRows) {
		return session{}, nil
	}
	if err != nil {
		return session{}, fmt.Errorf("read a validation session: %w", err)
	}
	return found, nil
}

func markValidated(ctx context.Context, tx pgx.Tx, sid string, at int64) error {
	if _, err := tx.Exec(ctx, `UPDATE threepid_sessions SET validated_at = $2 WHERE sid = $1`, sid, at); err != nil {
		return fmt.Errorf("mark an address as validated: %w", err)
	}
	return nil
}

func countFailure(ctx context.Context, tx pgx.Tx, sid string) error {
	if _, err := tx.Exec(ctx, `UPDATE threepid_sessions SET failures = failures + 1 WHERE sid = $1`, sid); err != nil {
		return fmt.Errorf("count a wrong token: %w", err)
	}
	return nil
}
