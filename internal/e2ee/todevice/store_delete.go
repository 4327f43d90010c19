package todevice

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/doctor"
	"homeserver/internal/journal"
	"homeserver/internal/journal/replica"
)

// DeleteOfDevices deletes the messages to devices that are being removed, and what is known
// of their requests, in the same transaction.
func DeleteOfDevices(ctx context.Context, tx pgx.Tx, userID string, deviceIDs []string) error {
	for _, table := range []string{"to_device", "to_device_transactions"} {
		_, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE user_id = $1 AND device_id = ANY($2)`, userID, deviceIDs)
		if err != nil {
			return fmt.Errorf("delete messages to devices of %s: %w", userID, err)
		}
	}
	return nil
}

// Erase deletes the messages to a user who is deactivated and is to be erased. Messages that
// the user has sent stay, since they belong to their receivers.
func (s *Service) Erase(ctx context.Context, userID string) error {
	for _, table := range []string{"to_device", "to_device_transactions"} {
		if _, err := s.o.Pool.Exec(ctx, `DELETE FROM `+table+` WHERE user_id = $1`, userID); err != nil {
			return fmt.Errorf("erase the messages to %s: %w", userID, err)
		}
	}
	return nil
}

// deletion continues a statement: it deletes the messages that are listed in doomed, so many
// ($1) at most, and lists them in gone. Those that somebody else is deleting are left to them.
const deletion = `, free AS (
		SELECT m.user_id, m.device_id, m.position FROM doomed JOIN to_device m USING (user_id, device_id)
		WHERE m.position <= doomed.up_to LIMIT $1 FOR UPDATE OF m SKIP LOCKED
	), gone AS (
		DELETE FROM to_device m USING free f
		WHERE m.user_id = f.user_id AND m.device_id = f.device_id AND m.position = f.position
		RETURNING m.user_id, m.device_id
	) `

// deleteAcknowledged deletes what devices have acknowledged. If it is lost in a crash they
// acknowledge more one day, so that the commit need not wait for the disk.
func (s *Service) deleteAcknowledged(ctx context.Context, list []acknowledgement) error {
	user, id, upTo := make([]string, len(list)), make([]string, len(list)), make([]journal.Position, len(list))
	for i, a := range list {
		user[i], id[i], upTo[i] = a.UserID, a.DeviceID, a.UpTo
	}
	for more := true; more; {
		err := pgx.BeginFunc(ctx, s.o.Pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `SET LOCAL synchronous_commit = off`); err != nil {
				return err
			}
			var deleted int
			err := tx.QueryRow(ctx, `
				WITH doomed AS (SELECT * FROM unnest($2::text[], $3::text[], $4::bigint[]) a (user_id, device_id, up_to))`+
				deletion+`SELECT count(*) FROM gone`, deletedAtOnce, user, id, upTo).Scan(&deleted)
			if more = deleted == deletedAtOnce; more || err != nil {
				return err
			}
			return s.tellAcknowledged(ctx, tx, list)
		})
		if err != nil {
			return fmt.Errorf("delete acknowledged messages: %w", err)
		}
	}
	return nil
}

// tellAcknowledged makes it part of a transaction that other processes do not show again what
// devices have acknowledged here.
func (s *Service) tellAcknowledged(ctx context.Context, tx pgx.Tx, list []acknowledgement) error {
	if s.o.Channel == nil || s.o.Channel.Alone() {
		return nil
	}
	message := []byte{'['}
	for i, a := range list {
		one, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("name a device: %w", err)
		}
		if len(message) > 1 {
			message = append(message, ',')
		}
		message = append(message, one...)
		const longest = 3500 // of one, with an ID that is all escapes
		if i+1 < len(list) && len(message) < replica.MaxData-longest {
			continue
		}
		if err := s.o.Channel.Tell(ctx, tx, kindAcknowledged, string(append(message, ']'))); err != nil {
			return err
		}
		message = message[:1]
	}
	return nil
}

// shorten drops the oldest messages of the devices for which too many wait.
func (s *Service) shorten(ctx context.Context, list []device) ([]dropped, error) {
	user, id := make([]string, len(list)), make([]string, len(list))
	for i, d := range list {
		user[i], id[i] = d.UserID, d.DeviceID
	}
	rows, _ := s.o.Pool.Query(ctx, `
		WITH measured AS (
			SELECT m.user_id, m.device_id, m.position, row_number() OVER newest AS number,
				sum(octet_length(m.content) + $6) OVER newest AS bytes
			FROM unnest($2::text[], $3::text[]) d (user_id, device_id) JOIN to_device m USING (user_id, device_id)
			WINDOW newest AS (PARTITION BY m.user_id, m.device_id ORDER BY m.position DESC)
		), doomed AS (
			SELECT user_id, device_id, max(position) AS up_to FROM measured
			WHERE number > $4 OR bytes > $5 GROUP BY user_id, device_id
		)`+deletion+`SELECT user_id, device_id, count(*) FROM gone GROUP BY user_id, device_id`,
		deletedAtOnce, user, id, s.o.MaxMessages, s.o.MaxBytes, rowBytes)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[dropped])
	if err != nil {
		return nil, fmt.Errorf("drop the oldest messages: %w", err)
	}
	return found, nil
}

// transactionsKept is for how long a request that is repeated is known to be one.
const transactionsKept = 24 * time.Hour

func (s *Service) deleteOldTransactions(ctx context.Context) error {
	err := s.deleteSome(ctx, `
		DELETE FROM to_device_transactions WHERE (user_id, device_id, type, txn_id) IN (
			SELECT user_id, device_id, type, txn_id FROM to_device_transactions
			WHERE sent_at < $2 LIMIT $1 FOR UPDATE SKIP LOCKED)`, s.o.Clock.Now().Add(-transactionsKept))
	if err != nil {
		return fmt.Errorf("delete old transactions: %w", err)
	}
	return nil
}

// orphans finds messages to devices that are gone.
const orphans = ` FROM to_device m WHERE NOT EXISTS (SELECT FROM devices d
	WHERE d.user_id = m.user_id AND d.device_id = m.device_id AND d.created_at = m.device_created_at)`

// deleteOrphans deletes messages that were sent while their device was being removed.
func (s *Service) deleteOrphans(ctx context.Context) error {
	err := s.deleteSome(ctx, `
		DELETE FROM to_device WHERE (user_id, device_id, position) IN (
			SELECT user_id, device_id, position`+orphans+` LIMIT $1 FOR UPDATE SKIP LOCKED)`)
	if err != nil {
		return fmt.Errorf("delete messages to devices that are gone: %w", err)
	}
	return nil
}

// deleteSome runs a statement that deletes so many rows ($1) at most, until it finds no more.
func (s *Service) deleteSome(ctx context.Context, sql string, args ...any) error {
	for {
		tag, err := s.o.Pool.Exec(ctx, sql, append([]any{deletedAtOnce}, args...)...)
		if err != nil || tag.RowsAffected() < deletedAtOnce {
			return err
		}
	}
}

// Checks returns the checks of messages to devices, for the operator's doctor.
func (*Service) Checks() []doctor.Check {
	return []doctor.Check{
		doctor.Rows{
			Title:  "To-device messages: their devices",
			Find:   `SELECT format('message %s is for device %s of %s, which there is not', m.position, m.device_id, m.user_id)` + orphans,
			Repair: []string{`DELETE` + orphans},
		}.Check(),
	}
}
