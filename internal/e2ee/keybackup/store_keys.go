package keybackup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/matrix"
	"homeserver/internal/reserve"
)

// locked is the row of a backup, which its transaction has locked.
type locked struct {
	id, version int64
	keys, bytes int64
	etag        string
	// otherKeys and otherBytes are those of the other backups of the user.
	otherKeys, otherBytes int64
}

// lock locks a backup, or with newest the newest one.
func lock(ctx context.Context, tx pgx.Tx, userID string, version int64) (b locked, err error) {
	err = tx.QueryRow(ctx, `
		SELECT backup_id, version, keys, bytes, etag,
			(SELECT coalesce(sum(o.keys), 0)::bigint FROM key_backups o WHERE o.user_id = $1 AND o.backup_id <> b.backup_id),
			(SELECT coalesce(sum(o.bytes), 0)::bigint FROM key_backups o WHERE o.user_id = $1 AND o.backup_id <> b.backup_id)`+
		ofVersion+` FOR NO KEY UPDATE`, userID, version).
		Scan(&b.id, &b.version, &b.keys, &b.bytes, &b.etag, &b.otherKeys, &b.otherBytes)
	if errors.Is(err, pgx.ErrNoRows) {
		err = errUnknownVersion()
	}
	return b, err
}

// update stores what has become of the numbers of a backup. Its etag changes if its keys do.
func (b *locked) update(ctx context.Context, tx pgx.Tx) error {
	b.etag = newETag()
	_, err := tx.Exec(ctx, `UPDATE key_backups SET keys = $2, bytes = $3, etag = $4 WHERE backup_id = $1`, b.id, b.keys, b.bytes, b.etag)
	return err
}

func (b *locked) state() State { return State{b.keys, b.etag} }

// storeKeys adds keys, which are in order, to the backup of a version.
func (s *Service) storeKeys(ctx context.Context, userID, version string, keys []*Key) (state State, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		b, err := lock(ctx, tx, userID, newest)
		if err != nil {
			return err
		}
		if current := strconv.FormatInt(b.version, 10); current != version {
			return errWrongVersion(current)
		}
		there, err := findStored(ctx, tx, b.id, keys)
		if err != nil {
			return err
		}
		better, added, bytes := choose(keys, there)
		if len(better) > 0 {
			b.keys, b.bytes = b.keys+added, b.bytes+bytes
			err = b.store(ctx, tx, better)
		}
		state = b.state()
		return err
	})
	if err != nil {
		return State{}, fmt.Errorf("add keys to a backup of %s: %w", userID, err)
	}
	return state, nil
}

// store writes keys, by which the numbers of the backup have grown already. M_TOO_LARGE where
// that is too much together with the other backups of the user.
func (b *locked) store(ctx context.Context, tx pgx.Tx, keys []*Key) error {
	if b.keys+b.otherKeys > MaxKeys || b.bytes+b.otherBytes > MaxBytes {
		return matrix.Errorf(matrix.TooLarge, "a user backs up at most %d keys of together %d bytes", MaxKeys, MaxBytes)
	}
	if err := upsertKeys(ctx, tx, b.id, keys); err != nil {
		return err
	}
	return b.update(ctx, tx)
}

// errWrongVersion returns the error that names the newest backup.
func errWrongVersion(current string) error {
	return &matrix.Error{
		Code: matrix.WrongRoomKeysVersion, Message: "this is not the version of the newest backup",
		Fields: map[string]any{"current_version": current},
	}
}

// stored is a key that there is, without its session_data.
type stored struct {
	Key
	size int64 // what it counts for the bound of its user
}

func (k *stored) before(other *Key) bool {
	return cmp.Or(cmp.Compare(k.RoomID, other.RoomID), cmp.Compare(k.SessionID, other.SessionID)) < 0
}

func (k *stored) isFor(other *Key) bool {
	return k.RoomID == other.RoomID && k.SessionID == other.SessionID
}

// findStored reads what there is for the sessions of keys, in their order: each is looked up by itself,
// since a large backup must not be gone through for a few keys.
func findStored(ctx context.Context, tx pgx.Tx, backup int64, keys []*Key) ([]stored, error) {
	rooms, sessions := make([]string, len(keys)), make([]string, len(keys))
	for i, k := range keys {
		rooms[i], sessions[i] = k.RoomID, k.SessionID
	}
	rows, _ := tx.Query(ctx, `
		SELECT k.* FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS given (room_id, session_id, nth) CROSS JOIN LATERAL (
			SELECT room_id, session_id, first_message_index, forwarded_count, is_verified, octet_length(session_data)
			FROM room_keys WHERE backup_id = $1 AND room_id = given.room_id AND session_id = given.session_id LIMIT 1) k
		ORDER BY nth`, backup, rooms, sessions)
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (k stored, err error) {
		err = row.Scan(&k.RoomID, &k.SessionID, &k.FirstMessageIndex, &k.ForwardedCount, &k.IsVerified, &k.size)
		k.size += besideData
		return k, err
	})
}

func upsertKeys(ctx context.Context, tx pgx.Tx, backup int64, keys []*Key) error {
	n := len(keys)
	rooms, sessions, data := make([]string, n), make([]string, n), make([][]byte, n)
	indexes, counts, verified := make([]int64, n), make([]int64, n), make([]bool, n)
	for i, k := range keys {
		rooms[i], sessions[i], data[i] = k.RoomID, k.SessionID, k.SessionData
		indexes[i], counts[i], verified[i] = k.FirstMessageIndex, k.ForwardedCount, k.IsVerified
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO room_keys (backup_id, room_id, session_id, first_message_index, forwarded_count, is_verified, session_data)
		SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::boolean[], $7::bytea[])
		ON CONFLICT (backup_id, room_id, session_id) DO UPDATE SET first_message_index = excluded.first_message_index,
			forwarded_count = excluded.forwarded_count, is_verified = excluded.is_verified, session_data = excluded.session_data`,
		backup, rooms, sessions, indexes, counts, verified, data)
	return err
}

// findKey reads a key; nil where there is none that can be read.
func (s *Service) findKey(ctx context.Context, backup int64, roomID, sessionID string) (*Key, error) {
	k := &Key{RoomID: roomID, SessionID: sessionID}
	err := s.pool.QueryRow(ctx, `
		SELECT first_message_index, forwarded_count, is_verified, session_data FROM room_keys
		WHERE backup_id = $1 AND room_id = $2 AND session_id = $3`, backup, roomID, sessionID).
		Scan(&k.FirstMessageIndex, &k.ForwardedCount, &k.IsVerified, (*[]byte)(&k.SessionData))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("find a key in backup %d: %w", backup, err)
	case !k.isSound():
		s.report(ctx, backup, k)
		return nil, nil
	}
	return k, nil
}

// readPart reads keys of a backup, or of a room of it, in order: what follows a key, as many as
// make up a part. Lengths are added up by the database, which need not read what goes beyond.
func (s *Service) readPart(ctx context.Context, backup int64, room string, after *Key) (part, error) {
	where := `(room_id, session_id) > ($2, $3)`
	if room != "" {
		where = `room_id = $2 AND session_id > $3`
	}
	looked := 0
	keys, err := reserve.Collect(ctx, func() pgx.Rows {
		rows, _ := s.pool.Query(ctx, `
			SELECT room_id, session_id, first_message_index, forwarded_count, is_verified, session_data, looked FROM (
				SELECT *, sum(octet_length(session_data)) OVER (ORDER BY room_id, session_id) - octet_length(session_data) AS before,
					count(*) OVER () AS looked
				FROM (SELECT * FROM room_keys WHERE backup_id = $1 AND `+where+` ORDER BY room_id, session_id LIMIT $4) p) c
			WHERE before < $5 ORDER BY room_id, session_id`, backup, after.RoomID, after.SessionID, partKeys, partBytes)
		return rows
	}, func(row pgx.CollectableRow) (*Key, error) {
		k := &Key{}
		err := row.Scan(&k.RoomID, &k.SessionID, &k.FirstMessageIndex, &k.ForwardedCount, &k.IsVerified, (*[]byte)(&k.SessionData), &looked)
		return k, err
	}, func(k *Key) int { return 2 * int(k.bytes()) })
	if err != nil {
		return part{}, fmt.Errorf("read key backup %d: %w", backup, err)
	}
	next := part{last: *after, more: len(keys) < looked || looked == partKeys}
	for _, k := range keys {
		next.last = Key{RoomID: k.RoomID, SessionID: k.SessionID}
		if k.isSound() {
			next.keys = append(next.keys, k)
		} else {
			s.report(ctx, backup, k)
		}
	}
	return next, nil
}

// deleteKeys deletes keys of the backup of a version: see [Service.DeleteKeys].
func (s *Service) deleteKeys(ctx context.Context, userID string, version int64, roomID, sessionID string) (state State, err error) {
	where, args := `WHERE backup_id = $1`, []any{nil}
	for _, part := range []struct{ column, value string }{{"room_id", roomID}, {"session_id", sessionID}} {
		if part.value != "" {
			args = append(args, part.value)
			where += ` AND ` + part.column + ` = $` + strconv.Itoa(len(args))
		}
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		b, err := lock(ctx, tx, userID, version)
		if err != nil {
			return err
		}
		args[0] = b.id
		var keys, bytes int64
		err = tx.QueryRow(ctx, `
			WITH gone AS (DELETE FROM room_keys `+where+` RETURNING octet_length(session_data))
			SELECT count(*), coalesce(sum(octet_length), 0)::bigint FROM gone`, args...).Scan(&keys, &bytes)
		if err == nil && keys > 0 {
			b.keys, b.bytes = b.keys-keys, b.bytes-bytes-keys*besideData
			err = b.update(ctx, tx)
		}
		state = b.state()
		return err
	})
	if err != nil {
		return State{}, fmt.Errorf("delete keys of a backup of %s: %w", userID, err)
	}
	return state, nil
}
