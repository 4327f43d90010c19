package uia

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/matrix"
)

func insertApproval(ctx context.Context, q account.Querier, userID, operation string, expiresAt int64) error {
	_, err := q.Exec(ctx, `
		INSERT INTO interactive_approvals (user_id, operation, expires_at) VALUES ($1, $2, $3)
		ON CONFLICT (user_id, operation) DO UPDATE SET expires_at = excluded.expires_at`, userID, operation, expiresAt)
	if err != nil {
		return fmt.Errorf("insert an approval of %s: %w", userID, err)
	}
	return nil
}

func hasApproval(ctx context.Context, q account.Querier, userID, operation string, now int64) (found bool, err error) {
	err = q.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM interactive_approvals WHERE user_id = $1 AND operation = $2 AND expires_at > $3)`,
		userID, operation, now).Scan(&found)
	if err != nil {
		return false, fmt.Errorf("look for an approval of %s: %w", userID, err)
	}
	return found, nil
}

// deleteApproval uses an approval up; M_FORBIDDEN if another request has done so.
func deleteApproval(ctx context.Context, tx pgx.Tx, userID, operation string, now int64) error {
	tag, err := tx.Exec(ctx, `
		DELETE FROM interactive_approvals WHERE user_id = $1 AND operation = $2 AND expires_at > $3`, userID, operation, now)
	if err != nil {
		return fmt.Errorf("use an approval of %s: %w", userID, err)
	}
	if tag.RowsAffected() == 0 {
		return matrix.Errorf(matrix.Forbidden, "What was approved has been done already")
	}
	return nil
}

// deleteApprovalsBefore deletes expired approvals.
func deleteApprovalsBefore(ctx context.Context, q account.Querier, now int64) error {
	if _, err := q.Exec(ctx, `DELETE FROM interactive_approvals WHERE expires_at <= $1`, now); err != nil {
		return fmt.Errorf("delete expired approvals: %w", err)
	}
	return nil
}
