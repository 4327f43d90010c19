package uia

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
)

// insertSession stores a new session. If its owner has too many, the oldest ones are
// deleted.
func insertSession(ctx context.Context, q account.Querier, op Operation, i session, now int64) error {
	most := maxSessionsOfUser
	if op.UserID == "" {
		most = maxSessionsOfNobody
	}
	hash := i.hash()
	mac, err := op.mac(i.id)
	if err != nil {
		return err
	}
	_, err = q.Exec(ctx, `
		WITH oldest AS (
			DELETE FROM interactive_sessions WHERE session_hash IN (
				SELECT session_hash FROM interactive_sessions WHERE user_id = $3
				ORDER BY created_at DESC OFFSET $7 - 1))
		INSERT INTO interactive_sessions (session_hash, operation, user_id, proved_user_id, completed, created_at, flows, proofs, effect, parameters_mac)
		VALUES ($1, $2, $3, $4, $5, $6, $8, $9, $10, $11)`,
		hash[:], op.Name, op.UserID, i.provedUserID, notNil(i.completed), now, most, op.Flows, proofsOf(i), op.effect, mac)
	if err != nil {
		return fmt.Errorf("insert an interactive session: %w", err)
	}
	return nil
}

// findSession reads a session that is newer than oldest by its ID, with the
// operation that it is about; one that is not stored where there is none.
func findSession(ctx context.Context, q account.Querier, id string, oldest int64) (Operation, session, error) {
	hash := secret.HashOf(id)
	rows, err := q.Query(ctx, `
		SELECT operation, user_id, flows, effect, completed, proved_user_id, proofs, parameters_mac, by_page FROM interactive_sessions
		WHERE session_hash = $1 AND created_at > $2`, hash[:], oldest)
	if err != nil {
		return Operation{}, session{}, fmt.Errorf("query an interactive session: %w", err)
	}
	var op Operation
	i, err := pgx.CollectOneRow(rows, func(row pgx.CollectableRow) (session, error) {
		found := session{id: id, stored: true}
		err := row.Scan(&op.Name, &op.UserID, &op.Flows, &op.effect, &found.completed, &found.provedUserID, &found.proofs,
			&found.mac, &found.byPage)
		return found, err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return Operation{}, session{}, nil
	}
	if err != nil {
		return Operation{}, session{}, fmt.Errorf("read an interactive session: %w", err)
	}
	return op, i, nil
}

// storeProgress stores that a stage has been completed. Where another request has
// completed one at the same time, its progress stays, and this one's is lost: the
// client sees that from the next answer.
func storeProgress(ctx context.Context, q account.Querier, before, after session) error {
	hash := before.hash()
	_, err := q.Exec(ctx, `
		UPDATE interactive_sessions SET completed = $2, proved_user_id = $3, proofs = $5, by_page = $6
		WHERE session_hash = $1 AND completed = $4`,
		hash[:], after.completed, after.provedUserID, notNil(before.completed), proofsOf(after), after.byPage)
	if err != nil {
		return fmt.Errorf("store the progress of an interactive session: %w", err)
	}
	return nil
}

// deleteSession reports whether there was one.
func deleteSession(ctx context.Context, q account.Querier, hash secret.Hash) (bool, error) {
	tag, err := q.Exec(ctx, `DELETE FROM interactive_sessions WHERE session_hash = $1`, hash[:])
	if err != nil {
		return false, fmt.Errorf("delete an interactive session: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}

// DeleteOf deletes the approvals and the sessions of a user, also those without a token in which the user
// was proved.
func DeleteOf(ctx context.Context, q account.Querier, userID string) error {
	_, err := q.Exec(ctx, `
		DELETE FROM interactive_sessions WHERE user_id = $1 OR user_id = '' AND proved_user_id = $1`, userID)
	if err != nil {
		return fmt.Errorf("delete the interactive sessions of %s: %w", userID, err)
	}
	if _, err := q.Exec(ctx, `DELETE FROM interactive_approvals WHERE user_id = $1`, userID); err != nil {
		return fmt.Errorf("delete the approvals of %s: %w", userID, err)
	}
	return nil
}

// deleteSessionsBefore deletes expired sessions.
func deleteSessionsBefore(ctx context.Context, q account.Querier, oldest int64) error {
	if _, err := q.Exec(ctx, `DELETE FROM interactive_sessions WHERE created_at <= $1`, oldest); err != nil {
		return fmt.Errorf("delete expired interactive sessions: %w", err)
	}
	return nil
}

// proofsOf returns an empty object instead of nil, which would be NULL.
func proofsOf(i session) map[string]string {
	if i.proofs == nil {
		return map[string]string{}
	}
	return i.proofs
}

// notNil returns an empty array instead of nil, which would be NULL.
func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
