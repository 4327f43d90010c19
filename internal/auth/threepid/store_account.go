package threepid

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/matrix"
)

func findOwner(ctx context.Context, q querier, a Address) (userID string, err error) {
	rows, err := q.Query(ctx, `SELECT user_id FROM user_threepids WHERE medium = $1 AND address = $2`, a.Medium, a.Address)
	if err != nil {
		return "", fmt.Errorf("query the owner of an address: %w", err)
	}
	userID, err = pgx.CollectOneRow(rows, pgx.RowTo[string])
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the owner of an address: %w", err)
	}
	return userID, nil
}

// insertAddress adds an address to a user's account, which may have it already.
// M_THREEPID_IN_USE if another account has it, M_THREEPID_DENIED beyond the number that
// a user may have.
func insertAddress(ctx context.Context, tx pgx.Tx, userID string, v Validated, now int64) error {
	rows, err := tx.Query(ctx, `
		INSERT INTO user_threepids AS t (medium, address, user_id, validated_at, added_at)
		VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (medium, address) DO UPDATE SET validated_at = excluded.validated_at WHERE t.user_id = excluded.user_id
		RETURNING (SELECT count(*) FROM user_threepids WHERE user_id = $3 AND (medium, address) <> ($1, $2))`,
		v.Medium, v.Address.Address, userID, v.At, now)
	if err != nil {
		return fmt.Errorf("insert an address of %s: %w", userID, err)
	}
	others, err := pgx.CollectOneRow(rows, pgx.RowTo[int])
	if errors.Is(err, pgx.ErrNoRows) {
		return errInUse()
	}
	if err != nil {
		return fmt.Errorf("insert an address of %s: %w", userID, err)
	}
	if others >= maxAddresses {
		return matrix.Errorf(matrix.ThreepidDenied, "An account may have %d addresses at most", maxAddresses)
	}
	return nil
}

func listAddresses(ctx context.Context, q querier, userID string) ([]Contact, error) {
	rows, err := q.Query(ctx, `
		SELECT medium, address, validated_at, added_at FROM user_threepids
		WHERE user_id = $1 ORDER BY added_at, medium, address`, userID)
	if err != nil {
		return nil, fmt.Errorf("query the addresses of %s: %w", userID, err)
	}
	contacts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Contact, error) {
		var c Contact
		err := row.Scan(&c.Medium, &c.Address.Address, &c.ValidatedAt, &c.AddedAt)
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the addresses of %s: %w", userID, err)
	}
	return contacts, nil
}

// deleteAddress removes an address of a user, and reports whether the user had it.
func deleteAddress(ctx context.Context, q querier, userID string, a Address) (had bool, err error) {
	tag, err := q.Exec(ctx, `
		DELETE FROM user_threepids WHERE user_id = $1 AND medium = $2 AND address = $3`, userID, a.Medium, a.Address)
	if err != nil {
		return false, fmt.Errorf("delete an address of %s: %w", userID, err)
	}
	return tag.RowsAffected() > 0, nil
}

// insertBinding remembers where an address is bound. Beyond the number that a user
// may have, the oldest is forgotten.
func insertBinding(ctx context.Context, tx pgx.Tx, userID string, b Binding, now int64) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO threepid_bindings (user_id, medium, address, id_server, bound_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (user_id, medium, address, id_server) DO UPDATE SET bound_at = excluded.bound_at`,
		userID, b.Medium, b.Address.Address, b.IDServer, now)
	if err != nil {
		return fmt.Errorf("insert a binding of %s: %w", userID, err)
	}
	_, err = tx.Exec(ctx, `
		DELETE FROM threepid_bindings WHERE user_id = $1 AND (medium, address, id_server) IN (
			SELECT medium, address, id_server FROM threepid_bindings WHERE user_id = $1
			ORDER BY bound_at DESC, medium, address, id_server OFFSET $2)`, userID, maxAddresses)
	if err != nil {
		return fmt.Errorf("delete old bindings of %s: %w", userID, err)
	}
	return nil
}

// listBindings reads where the addresses of a user are bound.
func listBindings(ctx context.Context, q querier, userID string) ([]Binding, error) {
	return bindings(ctx, q, `SELECT medium, address, id_server FROM threepid_bindings WHERE user_id = $1 ORDER BY bound_at`, userID)
}

// deleteAll removes all addresses and bindings of a user, and returns the bindings.
func deleteAll(ctx context.Context, q querier, userID string) ([]Binding, error) {
	if _, err := q.Exec(ctx, `DELETE FROM user_threepids WHERE user_id = $1`, userID); err != nil {
		return nil, fmt.Errorf("delete the addresses of %s: %w", userID, err)
	}
	return bindings(ctx, q, `DELETE FROM threepid_bindings WHERE user_id = $1 RETURNING medium, address, id_server`, userID)
}

func bindings(ctx context.Context, q querier, sql, userID string) ([]Binding, error) {
	rows, err := q.Query(ctx, sql, userID)
	if err != nil {
		return nil, fmt.Errorf("query the bindings of %s: %w", userID, err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Binding, error) {
		var b Binding
		err := row.Scan(&b.Medium, &b.Address.Address, &b.IDServer)
		return b, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the bindings of %s: %w", userID, err)
	}
	return list, nil
}

func deleteBinding(ctx context.Context, q querier, userID string, b Binding) error {
	_, err := q.Exec(ctx, `
		DELETE FROM threepid_bindings WHERE user_id = $1 AND medium = $2 AND address = $3 AND id_server = $4`,
		userID, b.Medium, b.Address.Address, b.IDServer)
	if err != nil {
		return fmt.Errorf("delete a binding of %s: %w", userID, err)
	}
	return nil
}
