package devicekeys

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/reserve"
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

// loadMasterKeys reads the master keys of users, by user ID, and counts them as memory.
func loadMasterKeys(ctx context.Context, q account.Querier, userIDs []string) (map[string]*signingKey, error) {
	if len(userIDs) == 0 {
		return nil, nil
	}
	keys := map[string]*signingKey{}
	_, err := reserve.Collect(ctx, func() pgx.Rows {
		rows, _ := q.Query(ctx, `
			SELECT user_id, public_key, key FROM cross_signing_keys WHERE user_id = ANY ($1) AND usage = 'master'`, userIDs)
		return rows
	}, func(row pgx.CollectableRow) (*signingKey, error) {
		k, userID := &signingKey{}, ""
		err := row.Scan(&userID, &k.publicKey, &k.signed)
		keys[userID] = k
		return k, err
	}, func(k *signingKey) int { return len(k.signed) + besideKey })
	if err != nil {
		return nil, fmt.Errorf("read master keys: %w", err)
	}
	return keys, nil
}

// upsertSigningKeys writes those of the keys of a user that have changed, and deletes those
// that are there no more.
func upsertSigningKeys(ctx context.Context, tx pgx.Tx, userID string, next signingKeys, changed []Usage) error {
	var usages, publics, keys, values []string
	for _, usage := range changed {
		if k := next[usage]; k != nil {
			usages, publics = append(usages, string(usage)), append(publics, k.publicKey)
			keys, values = append(keys, string(k.signed)), append(values, k.signature)
		}
	}
	_, err := tx.Exec(ctx, `DELETE FROM cross_signing_keys WHERE user_id = $1 AND usage = ANY ($2)`, userID, changed)
	if err != nil {
		return fmt.Errorf("delete cross-signing keys: %w", err)
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO cross_signing_keys (user_id, usage, public_key, key, signature)
		SELECT $1, usage, public_key, key, nullif(signature, '')
		FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) n (usage, public_key, key, signature)`,
		userID, usages, publics, keys, values)
	if err != nil {
		return fmt.Errorf("insert cross-signing keys: %w", err)
	}
	return nil
}

// forgetSigningKey deletes the signatures that a cross-signing key of a user has made, and
// those on it.
func forgetSigningKey(ctx context.Context, tx pgx.Tx, userID, publicKey string) error {
	for _, sql := range []string{
		`UPDATE device_keys SET signed_by = NULL, self_signature = NULL WHERE user_id = $1 AND signed_by = $2`,
		`DELETE FROM master_key_signatures WHERE user_id = $1 AND master_key = $2`,
		`DELETE FROM master_key_signatures WHERE signer_id = $1 AND key_id = $2 AND device_id IS NULL`,
	} {
		if _, err := tx.Exec(ctx, sql, userID, publicKey); err != nil {
			return fmt.Errorf("delete the signatures of a cross-signing key: %w", err)
		}
	}
	return nil
}

// insertMasterSignatures stores signatures that a user, or a device of theirs, has made on
// master keys, where both keys are there still, and returns the owners of those on which one is new, each once.
func insertMasterSignatures(ctx context.Context, tx pgx.Tx, signerID string, list []masterSignature) (owners []string, err error) {
	if len(list) == 0 {
		return nil, nil
	}
	var users, masters, keyIDs, devices, values []string
	var keys [][]byte
	for _, one := range list {
		users, masters, keyIDs = append(users, one.UserID), append(masters, one.MasterKey), append(keyIDs, one.KeyID)
		devices, values, keys = append(devices, one.DeviceID), append(values, one.Signature), append(keys, one.Keys)
	}
	rows, err := tx.Query(ctx, `
		WITH stored AS (
			INSERT INTO master_key_signatures AS s (user_id, master_key, signer_id, key_id, device_id, signature)
			SELECT n.user_id, n.master_key, $1, n.key_id, d.device_id, n.signature
			FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[])
				n (user_id, master_key, key_id, device_id, signature, keys)
			JOIN cross_signing_keys m ON m.user_id = n.user_id AND m.usage = 'master' AND m.public_key = n.master_key
			LEFT JOIN device_keys d ON d.user_id = $1 AND d.device_id = n.device_id AND sha256(convert_to(d.keys, 'UTF8')) = n.keys
			WHERE n.device_id = '' OR d.device_id IS NOT NULL
			ON CONFLICT (user_id, master_key, signer_id, key_id) DO UPDATE SET signature = excluded.signature
				WHERE s.signature <> excluded.signature
			RETURNING user_id)
		SELECT DISTINCT user_id FROM stored`, signerID, users, masters, keyIDs, devices, values, keys)
	if err != nil {
		return nil, fmt.Errorf("store signatures on master keys: %w", err)
	}
	if owners, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return nil, fmt.Errorf("store signatures on master keys: %w", err)
	}
	return owners, nil
}
