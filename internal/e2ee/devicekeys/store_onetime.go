package devicekeys

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
)

// columns takes keys apart, as arguments of a query.
func columns(keys []*oneTimeKey) (algorithms, ids, texts []string, hashes [][]byte) {
	for _, k := range keys {
		algorithms, ids = append(algorithms, k.algorithm), append(ids, k.id)
		texts, hashes = append(texts, string(k.json)), append(hashes, k.hash())
	}
	return algorithms, ids, texts, hashes
}

// storeOneTimeKeys adds one-time keys of a device that is locked. One that is there already
// stays, and so does one that was given out. M_INVALID_PARAM where another key has the same
// ID. Of too many the oldest go.
func storeOneTimeKeys(ctx context.Context, tx pgx.Tx, who device, keys []*oneTimeKey) error {
	if len(keys) == 0 {
		return nil
	}
	algorithms, ids, texts, hashes := columns(keys)
	var algorithm, id, old, sent string
	err := tx.QueryRow(ctx, `
		SELECT k.algorithm, k.key_id, k.key, n.key
		FROM unnest($3::text[], $4::text[], $5::text[], $6::bytea[]) n (algorithm, key_id, key, hash)
		JOIN one_time_keys k ON k.user_id = $1 AND k.device_id = $2 AND k.algorithm = n.algorithm AND k.key_id = n.key_id
		WHERE k.key IS NOT NULL AND k.hash <> n.hash
		ORDER BY k.algorithm, k.key_id LIMIT 1`,
		who.UserID, who.DeviceID, algorithms, ids, texts, hashes).Scan(&algorithm, &id, &old, &sent)
	if err == nil {
		return errOtherKey(algorithm, id, old, sent)
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("compare one-time keys: %w", err)
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO one_time_keys AS k (user_id, device_id, algorithm, key_id, key, hash)
		SELECT $1, $2, algorithm, key_id, key, hash
		FROM unnest($3::text[], $4::text[], $5::text[], $6::bytea[]) WITH ORDINALITY n (algorithm, key_id, key, hash, place)
		ORDER BY place
		ON CONFLICT (user_id, device_id, algorithm, key_id) DO UPDATE
			SET key = excluded.key, hash = excluded.hash, number = excluded.number
			WHERE k.key IS NULL AND k.hash <> excluded.hash`,
		who.UserID, who.DeviceID, algorithms, ids, texts, hashes)
	if err != nil {
		return fmt.Errorf("insert one-time keys: %w", err)
	}
	_, err = tx.Exec(ctx, `
		DELETE FROM one_time_keys WHERE user_id = $1 AND device_id = $2 AND number IN (
			SELECT number FROM (
				SELECT number, row_number() OVER (PARTITION BY key IS NULL ORDER BY number DESC) AS place
				FROM one_time_keys WHERE user_id = $1 AND device_id = $2) k
			WHERE place > $3)`, who.UserID, who.DeviceID, maxOneTimeKeys)
	if err != nil {
		return fmt.Errorf("delete the oldest one-time keys: %w", err)
	}
	return nil
}

// storeFallbackKeys replaces the fallback keys of a device that is locked by those of the
// same algorithms. One that is there already stays, used or not.
func storeFallbackKeys(ctx context.Context, tx pgx.Tx, who device, keys []*oneTimeKey) error {
	if len(keys) == 0 {
		return nil
	}
	algorithms, ids, texts, _ := columns(keys)
	_, err := tx.Exec(ctx, `
		INSERT INTO fallback_keys AS k (user_id, device_id, algorithm, key_id, key, used)
		SELECT $1, $2, algorithm, key_id, key, false FROM unnest($3::text[], $4::text[], $5::text[]) n (algorithm, key_id, key)
		ON CONFLICT (user_id, device_id, algorithm) DO UPDATE SET key_id = excluded.key_id, key = excluded.key, used = false
			WHERE k.key_id <> excluded.key_id OR k.key <> excluded.key`,
		who.UserID, who.DeviceID, algorithms, ids, texts)
	if err != nil {
		return fmt.Errorf("store fallback keys: %w", err)
	}
	_, err = tx.Exec(ctx, `
		DELETE FROM fallback_keys WHERE user_id = $1 AND device_id = $2 AND algorithm IN (
			SELECT algorithm FROM fallback_keys WHERE user_id = $1 AND device_id = $2 AND algorithm <> ALL($3)
			ORDER BY algorithm OFFSET greatest(0, $4 - cardinality($3)))`, who.UserID, who.DeviceID, algorithms, maxFallbackKeys)
	if err != nil {
		return fmt.Errorf("delete fallback keys that are too many: %w", err)
	}
	return nil
}

// loadCounts reads which keys of a device are left.
func loadCounts(ctx context.Context, q account.Querier, who device) (*Counts, error) {
	rows, err := q.Query(ctx, `
		SELECT algorithm, count(*) FROM one_time_keys
		WHERE user_id = $1 AND device_id = $2 AND key IS NOT NULL GROUP BY algorithm
		UNION ALL
		SELECT algorithm, -1 FROM fallback_keys WHERE user_id = $1 AND device_id = $2 AND NOT used`, who.UserID, who.DeviceID)
	if err != nil {
		return nil, fmt.Errorf("query the one-time keys of a device of %s: %w", who.UserID, err)
	}
	oneTime, fallback := map[string]int64{}, []string{}
	var algorithm string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&algorithm, &n}, func() error {
		if n < 0 {
			fallback = append(fallback, algorithm)
		} else {
			oneTime[algorithm] = n
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count the one-time keys of a device of %s: %w", who.UserID, err)
	}
	return newCounts(oneTime, fallback), nil
}
