package devicekeys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"unsafe"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/postgres"
	"homeserver/internal/reserve"
)

// shown is something of a user that others are shown.
type shown interface {
	user() string
	cost() int
	// row names the row that it was read from, and text is the JSON in it.
	row() string
	text() []byte
}

// byUser is a list by user: held as a whole or, where that is too much, read in parts. There
// is nothing in nil.
type byUser[T shown] struct {
	held  map[string][]T
	parts *reserve.Parts[string, T]
}

// of returns what there is of a user, part by part.
func (b *byUser[T]) of(ctx context.Context, userID string) iter.Seq2[[]T, error] {
	if b != nil && b.held == nil {
		return b.parts.Of(ctx, userID)
	}
	return func(yield func([]T, error) bool) {
		if b != nil && b.held[userID] != nil {
			yield(b.held[userID], nil)
		}
	}
}

// queries read a list by user.
type queries struct {
	// first reads the first rows, at most so many.
	first func(limit int64) pgx.Rows
	// measure reads what stretches of the list cost.
	measure func() pgx.Rows
	// part reads the rows of stretches.
	part func(ctx context.Context, user []string, after, upTo []int64) pgx.Rows
}

// read reads a list, all at once if that is not too much.
func read[T shown](ctx context.Context, what string, damage *postgres.Damage, q queries, scan pgx.RowToFunc[T]) (*byUser[T], error) {
	before, most := reserve.Used(ctx), reserve.Bytes(ctx)
	list, more, err := reserve.CollectSome(ctx, most, func() pgx.Rows { return q.first(most/leastCost + 2) }, scan, T.cost)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	if !more {
		return &byUser[T]{held: group(ctx, damage, list)}, nil
	}
	reserve.Drop(ctx, reserve.Used(ctx)-before)
	stretches, err := reserve.Collect(ctx, q.measure, pgx.RowToStructByPos[reserve.Stretch[string]], func(st reserve.Stretch[string]) int {
		return len(st.Key) + 2*int(unsafe.Sizeof(st))
	})
	if err != nil {
		return nil, fmt.Errorf("measure %s: %w", what, err)
	}
	parts, err := reserve.NewParts(ctx, stretches, func(ctx context.Context, part []reserve.Stretch[string]) (map[string][]T, error) {
		user, after, upTo := reserve.Columns(part)
		list, err := reserve.Collect(ctx, func() pgx.Rows { return q.part(ctx, user, after, upTo) }, scan, T.cost)
		if err != nil {
			return nil, fmt.Errorf("read a part of %s: %w", what, err)
		}
		return group(ctx, damage, list), nil
	})
	return &byUser[T]{parts: parts}, err
}

// group parts a list by users, and leaves out what is damaged.
func group[T shown](ctx context.Context, damage *postgres.Damage, list []T) map[string][]T {
	found := map[string][]T{}
	for _, one := range list {
		if !isObject(one.text()) {
			damage.Found(ctx, one.row(), errNoObject)
			continue
		}
		found[one.user()] = append(found[one.user()], one)
	}
	return found
}

var errNoObject = errors.New("it is no JSON object")

// isObject reports whether a text from the database is a JSON object with members.
func isObject(text []byte) bool { return len(text) > 2 && text[0] == '{' && json.Valid(text) }

const (
	// Beside its keys a device takes so much for IDs, signatures and a name.
	besideDevice = 1500
	// Beside its text a cross-signing key takes so much, and each signature on it.
	besideKey, besideSignature = 1000, 500
	leastCost                  = min(besideDevice, besideKey)
	// together is how many devices of a user are read together where there are many.
	together = 100
)

// readDevices reads the keys of the devices of users, with the names of the devices, which
// stand in the table that they belong to.
func (s *Service) readDevices(ctx context.Context, users []string) (*byUser[*shownDevice], error) {
	const (
		columns = `
			SELECT d.user_id, d.device_id, d.keys, d.signature, coalesce(d.signed_by, ''), coalesce(d.self_signature, ''),
				coalesce(n.display_name, '')`
		names = ` CROSS JOIN LATERAL (SELECT display_name FROM devices WHERE user_id = d.user_id AND device_id = d.device_id LIMIT 1) n `
		order = ` ORDER BY d.user_id COLLATE "C", d.number `
	)
	return read(ctx, "the keys of devices", s.o.Rooms.Damage(), queries{
		first: func(limit int64) pgx.Rows {
			rows, _ := s.pool.Query(ctx, columns+` FROM device_keys d `+names+`WHERE d.user_id = ANY($1)`+order+`LIMIT $2`, users, limit)
			return rows
		},
		measure: func() pgx.Rows {
			rows, _ := s.pool.Query(ctx, `
				SELECT user_id, min(number) - 1, max(number), (sum(cost) + count(*) * $2)::bigint
				FROM (
					SELECT user_id, number, 2 * octet_length(keys) AS cost,
						(row_number() OVER (PARTITION BY user_id ORDER BY number) - 1) / $3 AS part
					FROM device_keys WHERE user_id = ANY($1)) p
				GROUP BY user_id, part ORDER BY user_id COLLATE "C", part`, users, besideDevice, together)
			return rows
		},
		part: func(ctx context.Context, user []string, after, upTo []int64) pgx.Rows {
			rows, _ := s.pool.Query(ctx, columns+`
				FROM unnest($1::text[], $2::bigint[], $3::bigint[]) w (user_id, after, up_to)
				JOIN device_keys d ON d.user_id = w.user_id AND d.number > w.after AND d.number <= w.up_to`+names+order, user, after, upTo)
			return rows
		},
	}, func(row pgx.CollectableRow) (*shownDevice, error) {
		d := &shownDevice{}
		err := row.Scan(&d.UserID, &d.DeviceID, &d.Keys, &d.Signature, &d.SignedBy, &d.SelfSignature, &d.DisplayName)
		return d, err
	})
}

// readSigningKeys reads the cross-signing keys of users for a usage, with the signatures
// that a viewer may see.
func (s *Service) readSigningKeys(ctx context.Context, users []string, usage Usage, viewer string) (*byUser[*shownKey], error) {
	const (
		columns = `
			SELECT k.user_id, k.public_key, k.key, m.public_key, coalesce(k.signature, ''), g.signers, g.key_ids, g.signatures
			FROM cross_signing_keys k
			JOIN cross_signing_keys m ON m.user_id = k.user_id AND m.usage = 'master'
			CROSS JOIN LATERAL (
				SELECT array_agg(signer_id) signers, array_agg(key_id) key_ids, array_agg(signature) signatures FROM (
					SELECT signer_id, key_id, signature FROM master_key_signatures
					WHERE k.usage = 'master' AND user_id = k.user_id AND master_key = k.public_key AND signer_id IN (k.user_id, $3)
					ORDER BY signer_id, key_id) l) g
			WHERE k.user_id = ANY($1) AND k.usage = $2 ORDER BY k.user_id COLLATE "C" `
	)
	return read(ctx, "cross-signing keys", s.o.Rooms.Damage(), queries{
		first: func(limit int64) pgx.Rows {
			rows, _ := s.pool.Query(ctx, columns+`LIMIT $4`, users, usage, viewer, limit)
			return rows
		},
		measure: func() pgx.Rows {
			rows, _ := s.pool.Query(ctx, `
				SELECT user_id, 0::bigint, 0::bigint, (2 * octet_length(key) + $4 + $5 * (
					SELECT count(*) FROM master_key_signatures
					WHERE user_id = k.user_id AND master_key = k.public_key AND signer_id IN (k.user_id, $3)))::bigint
				FROM cross_signing_keys k WHERE user_id = ANY($1) AND usage = $2 ORDER BY user_id COLLATE "C"`,
				users, usage, viewer, besideKey, besideSignature)
			return rows
		},
		part: func(ctx context.Context, user []string, _, _ []int64) pgx.Rows {
			rows, _ := s.pool.Query(ctx, columns, user, usage, viewer)
			return rows
		},
	}, func(row pgx.CollectableRow) (*shownKey, error) {
		k := &shownKey{}
		err := row.Scan(&k.UserID, &k.PublicKey, &k.Key, &k.SignedBy, &k.Signature, &k.Signers, &k.KeyIDs, &k.Signatures)
		return k, err
	})
}
