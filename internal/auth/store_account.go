package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/matrix"
)

// account is a row of accounts. An empty passwordHash means that there is none.
type account struct {
	userID, passwordHash      string
	admin, guest, deactivated bool
}

const accountColumns = `user_id, coalesce(password_hash, ''), admin, guest, deactivated_at IS NOT NULL`

func scanAccount(row pgx.CollectableRow) (account, error) {
	var a account
	err := row.Scan(&a.userID, &a.passwordHash, &a.admin, &a.guest, &a.deactivated)
	return a, err
}

// findAccount reads the first of the accounts that exists; the zero value where
// none does.
func findAccount(ctx context.Context, q querier, userIDs []string) (account, error) {
	rows, err := q.Query(ctx, `
		SELECT `+accountColumns+` FROM accounts WHERE user_id = ANY ($1::text[])
		ORDER BY array_position($1::text[], user_id) LIMIT 1`, userIDs)
	if err != nil {
		return account{}, fmt.Errorf("query an account: %w", err)
	}
	a, err := pgx.CollectOneRow(rows, scanAccount)
	if errors.Is(err, pgx.ErrNoRows) {
		return account{}, nil
	}
	if err != nil {
		return account{}, fmt.Errorf("read an account: %w", err)
	}
	return a, nil
}

// lockLiveAccount locks an account for what only an account that is in use may do;
// M_USER_DEACTIVATED for one that is not.
func lockLiveAccount(ctx context.Context, tx pgx.Tx, userID string) error {
	a, err := lockAccount(ctx, tx, userID)
	if err == nil && a.deactivated {
		err = errDeactivated()
	}
	return err
}

// lockAccount reads an account and keeps others from changing it, or from logging
// in to it, until the end of the transaction; M_NOT_FOUND.
func lockAccount(ctx context.Context, tx pgx.Tx, userID string) (account, error) {
	rows, err := tx.Query(ctx, `SELECT `+accountColumns+` FROM accounts WHERE user_id = $1 FOR NO KEY UPDATE`, userID)
	if err != nil {
		return account{}, fmt.Errorf("query the account %s: %w", userID, err)
	}
	a, err := pgx.CollectOneRow(rows, scanAccount)
	if errors.Is(err, pgx.ErrNoRows) {
		return account{}, matrix.Errorf(matrix.NotFound, "There is no such user")
	}
	if err != nil {
		return account{}, fmt.Errorf("lock the account %s: %w", userID, err)
	}
	return a, nil
}

// insertAccount makes an account; M_USER_IN_USE where there is one already.
func insertAccount(ctx context.Context, tx pgx.Tx, a account, createdAt int64) error {
	tag, err := tx.Exec(ctx, `
		INSERT INTO accounts (user_id, password_hash, admin, guest, created_at)
		VALUES ($1, nullif($2, ''), $3, $4, $5) ON CONFLICT (user_id) DO NOTHING`,
		a.userID, a.passwordHash, a.admin, a.guest, createdAt)
	if err != nil {
		return fmt.Errorf("insert the account %s: %w", a.userID, err)
	}
	if tag.RowsAffected() == 0 {
		return errUserInUse()
	}
	return nil
}

func storePassword(ctx context.Context, tx pgx.Tx, userID, hash string) error {
	if _, err := tx.Exec(ctx, `UPDATE accounts SET password_hash = $2 WHERE user_id = $1`, userID, hash); err != nil {
		return fmt.Errorf("store the password of %s: %w", userID, err)
	}
	return nil
}

// markDeactivated ends an account. Doing so again keeps the first time, and starts
// what follows once more. It reports whether the user wants, or has wanted, to be
// erased.
func markDeactivated(ctx context.Context, tx pgx.Tx, userID string, erase bool, at int64) (erased bool, err error) {
	rows, err := tx.Query(ctx, `
		UPDATE accounts
		SET deactivated_at = coalesce(deactivated_at, $2), deactivation_pending = true, erased = erased OR $3
		WHERE user_id = $1 RETURNING erased`, userID, at, erase)
	if err != nil {
		return false, fmt.Errorf("mark %s as deactivated: %w", userID, err)
	}
	if erased, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool]); err != nil {
		return false, fmt.Errorf("mark %s as deactivated: %w", userID, err)
	}
	return erased, nil
}

// pendingDeactivation is a deactivation of which something is left to be done.
type pendingDeactivation struct {
	UserID string
	Erased bool
}

func pendingDeactivations(ctx context.Context, q querier) ([]pendingDeactivation, error) {
	rows, err := q.Query(ctx, `SELECT user_id, erased FROM accounts WHERE deactivation_pending ORDER BY user_id`)
	if err != nil {
		return nil, fmt.Errorf("query unfinished deactivations: %w", err)
	}
	pending, err := pgx.CollectRows(rows, pgx.RowToStructByPos[pendingDeactivation])
	if err != nil {
		return nil, fmt.Errorf("read unfinished deactivations: %w", err)
	}
	return pending, nil
}

func markDeactivationsFinished(ctx context.Context, q querier, userIDs []string) error {
	_, err := q.Exec(ctx, `UPDATE accounts SET deactivation_pending = false WHERE user_id = ANY ($1)`, userIDs)
	if err != nil {
		return fmt.Errorf("mark deactivations as finished: %w", err)
	}
	return nil
}

func listAccounts(ctx context.Context, q querier, after string, limit int) ([]Account, error) {
	rows, err := q.Query(ctx, `
		SELECT user_id, admin, guest, deactivated_at IS NOT NULL, created_at
		FROM accounts WHERE user_id > $1 ORDER BY user_id LIMIT $2`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("query accounts: %w", err)
	}
	accounts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Account])
	if err != nil {
		return nil, fmt.Errorf("read accounts: %w", err)
	}
	return accounts, nil
}

// storeUpgrade makes a user of a guest.
func storeUpgrade(ctx context.Context, tx pgx.Tx, a account) error {
	_, err := tx.Exec(ctx, `
		UPDATE accounts SET guest = false, password_hash = nullif($2, '') WHERE user_id = $1`, a.userID, a.passwordHash)
	if err != nil {
		return fmt.Errorf("make a user of the guest %s: %w", a.userID, err)
	}
	return nil
}

func listGuests(ctx context.Context, q querier, userIDs []string) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT user_id FROM accounts WHERE guest AND user_id = ANY ($1)`, userIDs)
	if err != nil {
		return nil, fmt.Errorf("query guests: %w", err)
	}
	guests, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read guests: %w", err)
	}
	return guests, nil
}

func errDeactivated() error {
	return matrix.Errorf(matrix.UserDeactivated, "This account has been deactivated")
}

// AccountsFor looks into the accounts on behalf of a server that is called serverName: it
// reports whether there are any, and one that is another server's, or "" if there is none.
func AccountsFor(ctx context.Context, conn *pgx.Conn, serverName string) (exist bool, foreign string, err error) {
	err = conn.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM accounts),
			coalesce((SELECT user_id FROM accounts WHERE right(user_id, length($1) + 1) <> ':' || $1 LIMIT 1), '')`,
		serverName).Scan(&exist, &foreign)
	if err != nil {
		return false, "", fmt.Errorf("look for accounts: %w", err)
	}
	return exist, foreign, nil
}

// Counts is how many accounts there are of each kind; each is of one.
type Counts struct{ Users, Guests, Deactivated int64 }

// Count counts the accounts, by reading all of them.
func (s *Service) Count(ctx context.Context) (Counts, error) {
	var n Counts
	err := s.pool.QueryRow(ctx, `
		SELECT count(*) FILTER (WHERE deactivated_at IS NULL AND NOT guest),
			count(*) FILTER (WHERE deactivated_at IS NULL AND guest),
			count(*) FILTER (WHERE deactivated_at IS NOT NULL)
		FROM accounts`).Scan(&n.Users, &n.Guests, &n.Deactivated)
	if err != nil {
		return n, fmt.Errorf("count accounts: %w", err)
	}
	return n, nil
}
