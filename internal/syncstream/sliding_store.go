package syncstream

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/journal"
)

// connectionStore has the SQL of the connections of sliding sync.
type connectionStore struct{ pool *pgxpool.Pool }

const (
	// maxConnections is how many connections a device has; those that were used last stay.
	maxConnections = 16
	// unusedDays is after how many days without use a connection is deleted.
	unusedDays = 30
	// cleanedAtOnce bounds the deletion of others' old connections with a new one.
	cleanedAtOnce = 100
)

// load reads a version; nil: there is none.
func (s *connectionStore) load(ctx context.Context, key connectionKey, version int64) (*knownRooms, error) {
	k := &knownRooms{version: version}
	var state []byte
	err := s.pool.QueryRow(ctx, `
		SELECT state, used_at FROM sliding_sync_connections
		WHERE user_id = $1 AND device_id = $2 AND conn_id = $3 AND version = $4`, key.user, key.device, key.conn, version).
		Scan(&state, &k.touched)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load a connection of %s: %w", key.user, err)
	}
	if !k.decode(state) {
		return nil, nil // of another version of the server
	}
	return k, nil
}

// save stores a version, and deletes all but that and the one that it was made from. After a crash
// of the database the newest may be missing: then the client begins anew.
func (s *connectionStore) save(ctx context.Context, key connectionKey, base int64, k *knownRooms) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		b.Queue(`SET LOCAL synchronous_commit = off`)
		b.Queue(`DELETE FROM sliding_sync_connections
			WHERE user_id = $1 AND device_id = $2 AND conn_id = $3 AND version <> $4`, key.user, key.device, key.conn, base)
		b.Queue(`INSERT INTO sliding_sync_connections (user_id, device_id, conn_id, version, state, used_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			key.user, key.device, key.conn, k.version, k.encode(), k.touched)
		if base == 0 {
			b.Queue(`DELETE FROM sliding_sync_connections WHERE user_id = $1 AND device_id = $2 AND conn_id NOT IN (
				SELECT conn_id FROM sliding_sync_connections WHERE user_id = $1 AND device_id = $2
				GROUP BY conn_id ORDER BY max(used_at) DESC, conn_id = $3 DESC LIMIT $4)`, key.user, key.device, key.conn, maxConnections)
			b.Queue(`DELETE FROM sliding_sync_connections WHERE ctid = ANY(ARRAY(
				SELECT ctid FROM sliding_sync_connections WHERE used_at < $1::timestamptz - make_interval(days => $2)
				LIMIT $3 FOR UPDATE SKIP LOCKED))`, k.touched, unusedDays, cleanedAtOnce)
		}
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return fmt.Errorf("store a connection of %s: %w", key.user, err)
	}
	return nil
}

// touch notes that a version is in use.
func (s *connectionStore) touch(ctx context.Context, key connectionKey, version int64) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE sliding_sync_connections SET used_at = now()
		WHERE user_id = $1 AND device_id = $2 AND conn_id = $3 AND version = $4`, key.user, key.device, key.conn, version)
	if err != nil {
		return fmt.Errorf("note the use of a connection of %s: %w", key.user, err)
	}
	return nil
}

// DeleteOfDevices deletes the connections of devices that are being removed, in the same
// transaction.
func DeleteOfDevices(ctx context.Context, tx pgx.Tx, userID string, deviceIDs []string) error {
	_, err := tx.Exec(ctx, `DELETE FROM sliding_sync_connections WHERE user_id = $1 AND device_id = ANY($2)`, userID, deviceIDs)
	if err != nil {
		return fmt.Errorf("delete connections of devices of %s: %w", userID, err)
	}
	return nil
}

// form is the form of encoded states.
const form = 1

// encode writes what is known: the required states, then the rooms by their numbers, each as the
// difference to the last.
func (k *knownRooms) encode() []byte {
	const perRoom = 8
	b := make([]byte, 0, perRoom*(1+len(k.rooms)))
	b = append(b, form, byte(k.extensions))
	b = binary.AppendUvarint(b, uint64(len(k.required)))
	for _, r := range k.required {
		b = binary.AppendUvarint(b, uint64(len(r.pairs)))
		for _, p := range r.pairs {
			b = appendText(appendText(b, p[0]), p[1])
		}
	}
	last := journal.RoomNID(0)
	for _, nid := range slices.Sorted(maps.Keys(k.rooms)) {
		r := k.rooms[nid]
		b = binary.AppendUvarint(b, uint64(nid-last))
		b = binary.AppendUvarint(b, uint64(r.behind))
		b = binary.AppendUvarint(b, uint64(r.limit))
		b = binary.AppendUvarint(b, uint64(r.required))
		last = nid
	}
	return b
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// decode reads what encode has written, and reports whether it is that.
func (k *knownRooms) decode(b []byte) bool {
	if len(b) < 2 || b[0] != form {
		return false
	}
	k.extensions = extensions(b[1])
	d := &decoder{b: b[2:], ok: true}
	for n := d.number(); n > 0 && d.ok; n-- {
		var pairs [][2]string
		for m := d.number(); m > 0 && d.ok; m-- {
			pairs = append(pairs, [2]string{d.text(), d.text()})
		}
		k.required = append(k.required, newRequiredState(pairs))
	}
	k.rooms = map[journal.RoomNID]knownRoom{}
	last := journal.RoomNID(0)
	for len(d.b) > 0 && d.ok {
		last += journal.RoomNID(d.number())
		k.rooms[last] = knownRoom{behind: journal.Position(d.number()), limit: uint16(d.number()), required: uint16(d.number())}
	}
	return d.ok
}

// decoder reads numbers and texts until something is wrong.
type decoder struct {
	b  []byte
	ok bool
}

func (d *decoder) number() uint64 {
	v, n := binary.Uvarint(d.b)
	d.ok = d.ok && n > 0
	d.b = d.b[max(0, n):]
	return v
}

func (d *decoder) text() string {
	n := d.number()
	n = cmp.Or(min(n, uint64(len(d.b))), 0)
	text := string(d.b[:n])
	d.b = d.b[n:]
	return text
}
