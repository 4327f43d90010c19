package registrationtoken

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/matrix"
)

const columns = `token, uses, used, expires_at, created_at`

// find reads a token; the zero value where there is none.
func find(ctx context.Context, q account.Querier, token string) (Token, error) {
	rows, err := q.Query(ctx, `SELECT `+columns+` FROM registration_tokens WHERE token = $1`, token)
	if err != nil {
		return Token{}, fmt.Errorf("query a registration token: %w", err)
	}
	t, err := pgx.CollectOneRow(rows, pgx.RowToStructByPos[Token])
	if errors.Is(err, pgx.ErrNoRows) {
		return Token{}, nil
	}
	if err != nil {
		return Token{}, fmt.Errorf("read a registration token: %w", err)
	}
	return t, nil
}

func list(ctx context.Context, q account.Querier) ([]Token, error) {
	rows, err := q.Query(ctx, `SELECT `+columns+` FROM registration_tokens ORDER BY created_at, token`)
	if err != nil {
		return nil, fmt.Errorf("query registration tokens: %w", err)
	}
	tokens, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Token])
	if err != nil {
		return nil, fmt.Errorf("read registration tokens: %w", err)
	}
	return tokens, nil
}

// insert makes a token; M_INVALID_PARAM where there is one already, or there are too many.
func insert(ctx context.Context, q account.Querier, t Token) error {
	tag, err := q.Exec(ctx, `
		INSERT INTO registration_tokens (token, uses, expires_at, created_at)
		SELECT $1, $2, $3, $4 WHERE (SELECT count(*) FROM registration_tokens) < $5 ON CONFLICT (token) DO NOTHING`,
		t.Token, t.Uses, t.ExpiresAt, t.CreatedAt, MaxTokens)
	if err != nil {
		return fmt.Errorf("insert a registration token: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return matrix.Errorf(matrix.InvalidParam, "There is such a token already, or there are %d", MaxTokens)
	}
	return nil
}

// remove deletes a token; M_NOT_FOUND.
func remove(ctx context.Context, q account.Querier, token string) error {
	tag, err := q.Exec(ctx, `DELETE FROM registration_tokens WHERE token = $1`, token)
	if err != nil {
		return fmt.Errorf("delete a registration token: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return matrix.Errorf(matrix.NotFound, "There is no such token")
	}
	return nil
}

// use counts a use of a token, and reports whether there was one left.
func use(ctx context.Context, tx pgx.Tx, token string, now int64) (bool, error) {
	tag, err := tx.Exec(ctx, `
		UPDATE registration_tokens SET used = used + 1
		WHERE token = $1 AND (uses IS NULL OR used < uses) AND (expires_at IS NULL OR $2 < expires_at)`, token, now)
	if err != nil {
		return false, fmt.Errorf("use a registration token: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}
