package todevice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"homeserver/internal/journal"
	"homeserver/internal/reserve"
)

// queueMessages writes the messages of a group, as far as their devices exist, and the
// transactions that they were sent in.
func (s *Service) queueMessages(b *pgx.Batch, entries []*journal.Entry) error {
	n := len(entries)
	user, sending, typ, txn := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	var position []journal.Position
	var toUser, toDevice, sender, ofType []string
	var content [][]byte
	for i, e := range entries {
		m := e.Value.(*Messages)
		user[i], sending[i], typ[i], txn[i] = m.transaction.userID, m.transaction.deviceID, m.transaction.typ, m.transaction.txnID
		for d, c := range m.contents {
			position, sender, ofType = append(position, e.Position), append(sender, m.Sender), append(ofType, m.Type)
			toUser, toDevice, content = append(toUser, d.UserID), append(toDevice, d.DeviceID), append(content, c)
		}
	}
	b.Queue(`
		INSERT INTO to_device_transactions (user_id, device_id, type, txn_id, sent_at)
		SELECT *, $5::timestamptz FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])`, user, sending, typ, txn, s.o.Clock.Now())
	b.Queue(`
		INSERT INTO to_device (user_id, device_id, position, device_created_at, sender, type, content)
		SELECT d.user_id, d.device_id, m.position, d.created_at, m.sender, m.type, m.content
		FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bytea[])
			AS m (user_id, device_id, position, sender, type, content)
		JOIN devices d USING (user_id, device_id)`, toUser, toDevice, position, sender, ofType, content)
	return nil
}

// isRepeated reports whether a commit failed because its transaction ID is used.
func isRepeated(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505" && pg.ConstraintName == "to_device_transactions_pkey"
}

// devicesOf lists the devices of users, so many at most.
func (s *Service) devicesOf(ctx context.Context, users []string, most int) ([]device, error) {
	devices, err := reserve.Collect(ctx, func() pgx.Rows {
		rows, _ := s.o.Pool.Query(ctx, `SELECT user_id, device_id FROM devices WHERE user_id = ANY($1) LIMIT $2`, users, most)
		return rows
	}, pgx.RowToStructByPos[device], func(d device) int { return reserve.CostOfText(d.UserID) + reserve.CostOfText(d.DeviceID) })
	if err != nil {
		return nil, fmt.Errorf("list the devices that messages are for: %w", err)
	}
	return devices, nil
}

// ofDevice finds the messages of a device ($1, $2).
const ofDevice = `
	FROM to_device m JOIN devices d
		ON d.user_id = m.user_id AND d.device_id = m.device_id AND d.created_at = m.device_created_at
	WHERE m.user_id = $1 AND m.device_id = $2`

// loadGone finds a position up to which no message waits for a device, and after which all
// do that were sent to it.
func (s *Service) loadGone(ctx context.Context, d device) (gone journal.Position, err error) {
	err = s.o.Pool.QueryRow(ctx, `
		SELECT coalesce((SELECT min(m.position) - 1 `+ofDevice+`), (SELECT position FROM journal))`,
		d.UserID, d.DeviceID).Scan(&gone)
	if err != nil {
		return 0, fmt.Errorf("look for messages to device %s of %s: %w", d.DeviceID, d.UserID, err)
	}
	return gone, nil
}

// readQueue reads the first messages that wait for a device, one more than an answer may hold.
func (s *Service) readQueue(ctx context.Context, d device, after, upTo journal.Position) ([]*Message, error) {
	const beside = 300
	list, err := reserve.Collect(ctx, func() pgx.Rows {
		rows, _ := s.o.Pool.Query(ctx, `
			SELECT position, sender, type, content FROM (
				SELECT m.position, m.sender, m.type, m.content,
					sum(octet_length(m.content)) OVER (ORDER BY m.position) - octet_length(m.content) AS before `+ofDevice+`
				AND m.position > $3 AND m.position <= $4 ORDER BY m.position LIMIT $5) m
			WHERE before <= $6 ORDER BY position`, d.UserID, d.DeviceID, after, upTo, maxMessages+1, maxBytes)
		return rows
	}, pgx.RowToAddrOfStructByPos[Message], func(m *Message) int { return 2*m.size() + beside })
	if err != nil {
		return nil, fmt.Errorf("read messages to device %s of %s: %w", d.DeviceID, d.UserID, err)
	}
	return list, nil
}

// readOthers reads the messages that other processes have written in (after, upTo].
func (s *Service) readOthers(ctx context.Context, conn *pgx.Conn, after, upTo journal.Position, most int) ([]*journal.Entry, error) {
	rows, _ := conn.Query(ctx, `
		SELECT position, sender, type, user_id, device_id, content FROM to_device
		WHERE position > $1 AND position <= $2 ORDER BY position`, after, upTo)
	defer rows.Close()
	var found []*Messages
	var at []journal.Position
	for rows.Next() {
		var p journal.Position
		var sender, typ string
		var d device
		var content json.RawMessage
		if err := rows.Scan(&p, &sender, &typ, &d.UserID, &d.DeviceID, (*[]byte)(&content)); err != nil {
			return nil, err
		}
		if most -= len(content) + rowBytes; most < 0 {
			return nil, journal.ErrTooMuch
		}
		if len(at) == 0 || at[len(at)-1] != p {
			at = append(at, p)
			found = append(found, &Messages{Sender: sender, Type: typ, contents: map[device]json.RawMessage{}})
		}
		found[len(found)-1].contents[d] = content
	}
	entries := make([]*journal.Entry, len(found))
	for i, m := range found {
		entries[i] = s.entry(m)
		entries[i].Position = at[i]
	}
	return entries, rows.Err()
}
