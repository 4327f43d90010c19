package devicekeys

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/reserve"
)

// claimKeys marks keys as given out and returns them. It waits for nobody: a key that
// another claim is about to take is passed over for the next one, and a fallback key that
// another claim is about to mark, or its device about to replace, is that one's to mark.
const claimKeys = `
	WITH wanted AS (
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) w (user_id, device_id, algorithm)
	), picked AS MATERIALIZED (
		SELECT w.*, k.key_id, k.key FROM wanted w CROSS JOIN LATERAL (
			SELECT key_id, key FROM one_time_keys o
			WHERE o.user_id = w.user_id AND o.device_id = w.device_id AND o.algorithm = w.algorithm AND o.key IS NOT NULL
			ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED) k
	), taken AS (
		UPDATE one_time_keys o SET key = NULL FROM picked p
		WHERE o.user_id = p.user_id AND o.device_id = p.device_id AND o.algorithm = p.algorithm AND o.key_id = p.key_id
	), fallback AS MATERIALIZED (
		SELECT f.* FROM wanted w JOIN fallback_keys f USING (user_id, device_id, algorithm)
		WHERE NOT EXISTS (SELECT FROM picked p
			WHERE p.user_id = w.user_id AND p.device_id = w.device_id AND p.algorithm = w.algorithm)
	), unused AS MATERIALIZED (
		SELECT f.user_id, f.device_id, f.algorithm, f.key_id
		FROM fallback g JOIN fallback_keys f USING (user_id, device_id, algorithm, key_id) WHERE NOT f.used
		FOR UPDATE OF f SKIP LOCKED
	), marked AS (
		UPDATE fallback_keys f SET used = true FROM unused u
		WHERE f.user_id = u.user_id AND f.device_id = u.device_id AND f.algorithm = u.algorithm
	)
	SELECT user_id, device_id, algorithm, key_id, key FROM picked
	UNION ALL SELECT user_id, device_id, algorithm, key_id, key FROM fallback
	ORDER BY user_id, device_id`

var errNoJSON = errors.New("it is no JSON")

// claim gives out keys. They are counted as memory before that is committed, so that what
// cannot be answered is not taken.
func (s *Service) claim(ctx context.Context, wanted []claim) (keys []*claimed, err error) {
	var users, devices, algorithms []string
	for _, c := range wanted {
		if !matrix.IsText(c.DeviceID) || !matrix.IsText(c.algorithm) {
			continue // there are none
		}
		users, devices, algorithms = append(users, c.UserID), append(devices, c.DeviceID), append(algorithms, c.algorithm)
	}
	defer func() { s.forgetCounts(owners(keys)...) }()
	err = reserve.Read(ctx, func(counter *reserve.Counter) error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			rows, _ := tx.Query(ctx, claimKeys, users, devices, algorithms)
			keys, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*claimed, error) {
				k, err := pgx.RowToAddrOfStructByPos[claimed](row)
				if err != nil {
					return nil, err
				}
				return k, counter.Add(k.cost())
			})
			if err != nil {
				return err
			}
			return s.tellCounts(ctx, tx, owners(keys)...)
		})
	})
	if err != nil {
		return nil, fmt.Errorf("claim one-time keys: %w", err)
	}
	return slices.DeleteFunc(keys, func(k *claimed) bool {
		if event.IsJSON(k.Key) {
			return false
		}
		s.o.Rooms.Damage().Found(ctx, "one-time key "+k.Algorithm+":"+k.KeyID+" of the device "+k.DeviceID+" of "+k.UserID, errNoJSON)
		return true
	}), nil
}
