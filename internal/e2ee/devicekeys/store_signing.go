package devicekeys

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
)

// loadSigningKeys reads the cross-signing keys of a user.
func loadSigningKeys(ctx context.Context, q account.Querier, userID string) (signingKeys, error) {
	rows, err := q.Query(ctx, `
		SELECT usage, public_key, key, coalesce(signature, '') FROM cross_signing_keys WHERE user_id = $1`, userID)
	if err != nil {
		return nil, fmt.Errorf("query the cross-signing keys of %s: %w", userID, err)
	}
	keys := signingKeys{}
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (usage Usage, err error) {
		k := &signingKey{}
		err = row.Scan(&usage, &k.publicKey, &k.signed, &k.signature)
		keys[usage] = k
		return usage, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the cross-signing keys of %s: %w", userID, err)
	}
	return keys, nil
}
