// Package account holds the rows of accounts, for all that belongs to accounts: their
// passwords (internal/auth), devices and tokens (session), addresses (threepid). Code
// that changes one of these locks the account first, by [Lock], and then its other
// rows.
package account

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"homeserver/internal/matrix"
)

// Account is a row of accounts. CreatedAt is in milliseconds since the epoch.
type Account struct {
	UserID                    string
	PasswordHash              string // "": there is none
	Admin, Guest, Deactivated bool
	CreatedAt                 int64
	// Locked accounts cannot be used until an administrator unlocks them, and users whose account is Suspended
	// can read but not write.
	Locked, Suspended bool
}

// Querier is a pool or a transaction of it.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

const columns = `user_id, coalesce(password_hash, ''), admin, guest, deactivated_at IS NOT NULL, created_at, locked_at IS NOT NULL, suspended_at IS NOT NULL`

// Find reads the first of the accounts that exists; the zero value where
// none does.
func Find(ctx context.Context, q Querier, userIDs []string) (Account, error) {
	rows, err := q.Query(ctx, `
		SELECT `+columns+` FROM accounts WHERE user_id = ANY ($1::text[])
		ORDER BY array_position($1::text[], user_id) LIMIT 1`, userIDs)
	if err != nil {
		return Account{}, fmt.Errorf("query an account: %w", err)
	}
	a, err := pgx.CollectOneRow(rows, pgx.RowToStructByPos[Account])
	if errors.Is(err, pgx.ErrNoRows) {
		return Account{}, nil
	}
	if err != nil {
		return Account{}, fmt.Errorf("read an account: %w", err)
	}
	return a, nil
}

// Exists reports whether a user ID belongs to an account of this server, be it
// deactivated or not.
func Exists(ctx context.Context, q Querier, userID string) (bool, error) {
	if _, _, err := matrix.ParseUserID(userID); err != nil {
		return false, nil
	}
	a, err := Find(ctx, q, []string{userID})
	return a.UserID != "", err
}

// Existing returns those of the user IDs that belong to accounts of this server, be they
// deactivated or not, in no order.
func Existing(ctx context.Context, q Querier, userIDs []string) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT user_id FROM accounts WHERE user_id IN (SELECT unnest($1::text[]))`, userIDs)
	if err != nil {
		return nil, fmt.Errorf("query accounts: %w", err)
	}
	existing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read which accounts there are: %w", err)
	}
	return existing, nil
}

// Admins returns those of the user IDs that belong to administrators, in no order.
func Admins(ctx context.Context, q Querier, userIDs []string) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT user_id FROM accounts WHERE user_id = ANY ($1) AND admin AND deactivated_at IS NULL`, userIDs)
	if err != nil {
		return nil, fmt.Errorf("query accounts: %w", err)
	}
	admins, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read which accounts are those of administrators: %w", err)
	}
	return admins, nil
}

// LockLive locks an account that must be in use; M_USER_DEACTIVATED if it is not.
func LockLive(ctx context.Context, tx pgx.Tx, userID string) error {
	a, err := Lock(ctx, tx, userID)
	if err == nil && a.Deactivated {
		err = ErrDeactivated()
	}
	return err
}

// LockUsable locks an account that must be in use, and not locked by an administrator; M_USER_DEACTIVATED,
// M_USER_LOCKED.
func LockUsable(ctx context.Context, tx pgx.Tx, userID string) error {
	a, err := Lock(ctx, tx, userID)
	switch {
	case err != nil:
		return err
	case a.Deactivated:
		return ErrDeactivated()
	case a.Locked:
		return matrix.ErrLocked()
	}
	return nil
}

// SetLocked stores since when an account is locked; nil: it is not.
func SetLocked(ctx context.Context, tx pgx.Tx, userID string, since *int64) error {
	return setModeration(ctx, tx, `UPDATE accounts SET locked_at = $2 WHERE user_id = $1`, userID, since)
}

// SetSuspended stores since when an account is suspended; nil: it is not.
func SetSuspended(ctx context.Context, tx pgx.Tx, userID string, since *int64) error {
	return setModeration(ctx, tx, `UPDATE accounts SET suspended_at = $2 WHERE user_id = $1`, userID, since)
}

func setModeration(ctx context.Context, tx pgx.Tx, sql, userID string, since *int64) error {
	if _, err := tx.Exec(ctx, sql, userID, since); err != nil {
		return fmt.Errorf("change what %s may do: %w", userID, err)
	}
	return nil
}

// Lock reads an account and locks it against changes and logins by others until the end
// of the transaction; M_NOT_FOUND.
func Lock(ctx context.Context, tx pgx.Tx, userID string) (Account, error) {
	rows, err := tx.Query(ctx, `SELECT `+columns+` FROM accounts WHERE user_id = $1 FOR NO KEY UPDATE`, userID)
	if err != nil {
		return Account{}, fmt.Errorf("query the account %s: %w", userID, err)
	}
	a, err := pgx.CollectOneRow(rows, pgx.RowToStructByPos[Account])
	if errors.Is(err, pgx.ErrNoRows) {
		return Account{}, matrix.Errorf(matrix.NotFound, "There is no such user")
	}
	if err != nil {
		return Account{}, fmt.Errorf("lock the account %s: %w", userID, err)
	}
	return a, nil
}

// Insert makes an account; M_USER_IN_USE where there is one already.
func Insert(ctx context.Context, tx pgx.Tx, a Account, createdAt int64) error {
	tag, err := tx.Exec(ctx, `
		INSERT INTO accounts (user_id, password_hash, admin, guest, created_at)
		VALUES ($1, nullif($2, ''), $3, $4, $5) ON CONFLICT (user_id) DO NOTHING`,
		a.UserID, a.PasswordHash, a.Admin, a.Guest, createdAt)
	if err != nil {
		return fmt.Errorf("insert the account %s: %w", a.UserID, err)
	}
	if tag.RowsAffected() == 0 {
		return ErrInUse()
	}
	return nil
}

// SetPassword stores the hash of a new password.
func SetPassword(ctx context.Context, tx pgx.Tx, userID, hash string) error {
	if _, err := tx.Exec(ctx, `UPDATE accounts SET password_hash = $2 WHERE user_id = $1`, userID, hash); err != nil {
		return fmt.Errorf("store the password of %s: %w", userID, err)
	}
	return nil
}

// MarkDeactivated ends an account. To repeat it keeps the first time. It reports
// whether the user wants, or has wanted, to be erased.
func MarkDeactivated(ctx context.Context, tx pgx.Tx, userID string, erase bool, at int64) (erased bool, err error) {
	rows, err := tx.Query(ctx, `
		UPDATE accounts
		SET deactivated_at = coalesce(deactivated_at, $2), erased = erased OR $3
		WHERE user_id = $1 RETURNING erased`, userID, at, erase)
	if err != nil {
		return false, fmt.Errorf("mark %s as deactivated: %w", userID, err)
	}
	if erased, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool]); err != nil {
		return false, fmt.Errorf("mark %s as deactivated: %w", userID, err)
	}
	return erased, nil
}

// List lists the accounts whose user ID comes after the one given, in the order of their
// user IDs, without their passwords.
func List(ctx context.Context, q Querier, after string, limit int) ([]Account, error) {
	rows, err := q.Query(ctx, `
		SELECT user_id, '', admin, guest, deactivated_at IS NOT NULL, created_at, locked_at IS NOT NULL, suspended_at IS NOT NULL
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

// Upgrade makes a user of a guest.
func Upgrade(ctx context.Context, tx pgx.Tx, a Account) error {
	_, err := tx.Exec(ctx, `
		UPDATE accounts SET guest = false, password_hash = nullif($2, '') WHERE user_id = $1`, a.UserID, a.PasswordHash)
	if err != nil {
		return fmt.Errorf("make a user of the guest %s: %w", a.UserID, err)
	}
	return nil
}

// Guests returns those of the users who are guests.
func Guests(ctx context.Context, q Querier, userIDs []string) ([]string, error) {
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

// ErrDeactivated is M_USER_DEACTIVATED, for operations that need an account in use.
func ErrDeactivated() error {
	return matrix.Errorf(matrix.UserDeactivated, "This account has been deactivated")
}

// ErrInUse returns the answer to a name that is taken.
func ErrInUse() *matrix.Error {
	return matrix.Errorf(matrix.UserInUse, "This user ID is already taken")
}

// ForServer checks the accounts for a server with the name serverName: it reports
// whether there are any, and returns one of another server, or "" if there is none.
func ForServer(ctx context.Context, conn *pgx.Conn, serverName string) (exist bool, foreign string, err error) {
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
func Count(ctx context.Context, q Querier) (Counts, error) {
	var n Counts
	err := q.QueryRow(ctx, `
		SELECT count(*) FILTER (WHERE deactivated_at IS NULL AND NOT guest),
			count(*) FILTER (WHERE deactivated_at IS NULL AND guest),
			count(*) FILTER (WHERE deactivated_at IS NOT NULL)
		FROM accounts`).Scan(&n.Users, &n.Guests, &n.Deactivated)
	if err != nil {
		return n, fmt.Errorf("count accounts: %w", err)
	}
	return n, nil
}
