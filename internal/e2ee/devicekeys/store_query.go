package devicekeys

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"unsafe"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"homeserver/internal/event"
	"homeserver/internal/postgres"
	"homeserver/internal/reserve"
)

// shown is something of a user that others are shown.
type shown interface {
	user() string
	cost() int
	// row names the row that it was read from, and damaged reports whether that is no JSON object.
	row() string
	damaged() bool
}

// byUser is a list by user: held or, where that is too much, read in parts. There is nothing in
// nil.
type byUser[T shown] struct {
	held  map[string][]T
	parts *reserve.Parts[string, T]
}

// of returns what there is of a user, part by part.
func (b *byUser[T]) of(ctx context.Context, userID string) iter.Seq2[[]T, error] {
	if b == nil {
		return func(func([]T, error) bool) {}
	}
	list, held := b.held[userID]
	if !held {
		return b.parts.Of(ctx, userID)
	}
	return func(yield func([]T, error) bool) { yield(list, nil) }
}

// add adds what is held of another user.
func (b *byUser[T]) add(userID string, list []T) {
	if b.held == nil {
		b.held = map[string][]T{}
	}
	b.held[userID] = list
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
		if one.damaged() {
			damage.Found(ctx, one.row(), errNoObject)
			continue
		}
		found[one.user()] = append(found[one.user()], one)
	}
	return found
}

var errNoObject = errors.New("it is no JSON object")

// isObject reports whether a text from the database is a JSON object with members.
func isObject(text []byte) bool { return len(text) > 2 && text[0] == '{' && event.IsJSON(text) }

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
			rows, _ := s.pool.Query(ctx, columns+`
				FROM unnest($1::text[]) w (user_id) JOIN device_keys d USING (user_id)`+names+order+`LIMIT $2`, users, limit)
			return rows
		},
		measure: func() pgx.Rows {
			rows, _ := s.pool.Query(ctx, `
				SELECT user_id, min(number) - 1, max(number), (sum(cost) + count(*) * $2)::bigint
				FROM (
					SELECT user_id, number, 2 * octet_length(keys) AS cost,
						(row_number() OVER (PARTITION BY user_id ORDER BY number) - 1) / $3 AS part
					FROM unnest($1::text[]) w (user_id) JOIN device_keys USING (user_id)) p
				GROUP BY user_id, part ORDER BY user_id COLLATE "C", part`, users, besideDevice, together)
			return rows
		},
		part: func(ctx context.Context, user []string, after, upTo []int64) pgx.Rows {
			rows, _ := s.pool.Query(ctx, columns+`
				FROM unnest($1::text[], $2::bigint[], $3::bigint[]) w (user_id, after, up_to)
				JOIN device_keys d ON d.user_id = w.user_id AND d.number > w.after AND d.number <= w.up_to`+names+order, user, after, upTo)
			return rows
		},
	}, scanDevice)
}

// scanDevice reads a device, and writes it as it is shown.
func scanDevice(row pgx.CollectableRow) (*shownDevice, error) {
	var d shownDevice
	var keys pgtype.DriverBytes
	var signature, signedBy, selfSignature, name string
	if err := row.Scan(&d.UserID, &d.DeviceID, &keys, &signature, &signedBy, &selfSignature, &name); err != nil {
		return nil, err
	}
	if d.stored = len(keys); !isObject(keys) {
		return &d, nil
	}
	own := signatures{userID: d.UserID}
	own.add(d.DeviceID, signature)
	own.add(signedBy, selfSignature)
	const besideSigned = 400 // mostly
	shown := append(appendSigned(make([]byte, 0, len(keys)+besideSigned), keys, &own), `,"unsigned":{`...)
	if name != "" {
		shown = event.AppendString(append(shown, `"device_display_name":`...), name)
	}
	d.json = append(shown, `}}`...)
	return &d, nil
}

// readSigningKeys reads the cross-signing keys of users for a usage, with the signatures of their
// owners.
func (s *Service) readSigningKeys(ctx context.Context, users []string, usage Usage) (*byUser[*shownKey], error) {
	const (
		columns = `
			SELECT k.user_id, k.public_key, k.key, m.public_key, coalesce(k.signature, ''), g.key_ids, g.signatures
			FROM unnest($1::text[]) w (user_id)
			CROSS JOIN LATERAL (SELECT * FROM cross_signing_keys WHERE user_id = w.user_id AND usage = $2 LIMIT 1) k
			CROSS JOIN LATERAL (SELECT public_key FROM cross_signing_keys WHERE user_id = w.user_id AND usage = 'master' LIMIT 1) m
			CROSS JOIN LATERAL (
				SELECT array_agg(key_id) key_ids, array_agg(signature) signatures FROM (
					SELECT key_id, signature FROM master_key_signatures
					WHERE k.usage = 'master' AND user_id = k.user_id AND master_key = k.public_key AND signer_id = k.user_id
					ORDER BY key_id) l) g
			ORDER BY k.user_id COLLATE "C" `
	)
	return read(ctx, "cross-signing keys", s.o.Rooms.Damage(), queries{
		first: func(limit int64) pgx.Rows {
			rows, _ := s.pool.Query(ctx, columns+`LIMIT $3`, users, usage, limit)
			return rows
		},
		measure: func() pgx.Rows {
			rows, _ := s.pool.Query(ctx, `
				SELECT k.user_id, 0::bigint, 0::bigint, (2 * octet_length(k.key) + $3 + $4 * (
					SELECT count(*) FROM master_key_signatures
					WHERE user_id = k.user_id AND master_key = k.public_key AND signer_id = k.user_id))::bigint
				FROM unnest($1::text[]) w (user_id)
				CROSS JOIN LATERAL (SELECT * FROM cross_signing_keys WHERE user_id = w.user_id AND usage = $2 LIMIT 1) k
				ORDER BY k.user_id COLLATE "C"`, users, usage, besideKey, besideSignature)
			return rows
		},
		part: func(ctx context.Context, user []string, _, _ []int64) pgx.Rows {
			rows, _ := s.pool.Query(ctx, columns, user, usage)
			return rows
		},
	}, scanKey)
}

// scanKey reads a cross-signing key, and writes it as it is shown.
func scanKey(row pgx.CollectableRow) (*shownKey, error) {
	var k shownKey
	var key pgtype.DriverBytes
	var signedBy, signature string
	var keyIDs, values []string
	if err := row.Scan(&k.UserID, &k.PublicKey, &key, &signedBy, &signature, &keyIDs, &values); err != nil {
		return nil, err
	}
	if k.stored = 2*len(key) + besideSignature*len(keyIDs); !isObject(key) {
		return &k, nil
	}
	own := signatures{userID: k.UserID}
	own.add(signedBy, signature)
	for i, keyID := range keyIDs {
		own.add(keyID, values[i])
	}
	k.isSigned = len(own.keyIDs) > 0
	const besideSigned, eachSigned = 200, 150 // mostly
	shown := make([]byte, 0, len(key)+besideSigned+eachSigned*len(keyIDs))
	k.json = append(appendSigned(shown, key, &own), '}')
	return &k, nil
}

// readSignedBy reads the signatures that a user has made on the master keys of others.
func (s *Service) readSignedBy(ctx context.Context, signer string, users []string) (map[masterKey]*signatures, error) {
	found := map[masterKey]*signatures{}
	if len(users) == 0 {
		return found, nil
	}
	type signature struct{ UserID, MasterKey, KeyID, Signature string }
	list, err := reserve.Collect(ctx, func() pgx.Rows {
		rows, _ := s.pool.Query(ctx, `
			SELECT user_id, master_key, key_id, signature FROM master_key_signatures
			WHERE signer_id = $1 AND device_id IS NULL AND user_id = ANY($2) AND user_id <> $1`, signer, users)
		return rows
	}, pgx.RowToStructByPos[signature], func(signature) int { return besideSignature })
	if err != nil {
		return nil, fmt.Errorf("read what %s has signed: %w", signer, err)
	}
	for _, one := range list {
		on := masterKey{one.UserID, one.MasterKey}
		if found[on] == nil {
			found[on] = &signatures{userID: signer}
		}
		found[on].add(one.KeyID, one.Signature)
	}
	return found, nil
}
