package accountdata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/doctor"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/postgres"
	"homeserver/internal/reserve"
)

// queueItems writes the items of a group; of several for one place, the last.
func queueItems(b *pgx.Batch, entries []*journal.Entry) error {
	type place struct {
		user string
		room journal.RoomNID
		typ  string
	}
	last := map[place]int{}
	for i, entry := range entries {
		item := entry.Value.(*Item)
		p := place{item.UserID, item.Room, item.Type}
		if item.replaces != nil {
			if _, again := last[p]; again {
				return errTwice
			}
			b.Queue(`SELECT expect_rows((
					SELECT coalesce(max(position), 0) FROM account_data WHERE user_id = $1 AND room_nid = $2 AND type = $3
				), $4, '`+errChanged+`')`, item.UserID, item.Room, item.Type, *item.replaces)
		}
		last[p] = i
	}
	n := len(last)
	user, room, typ := make([]string, 0, n), make([]journal.RoomNID, 0, n), make([]string, 0, n)
	content, position := make([][]byte, 0, n), make([]journal.Position, 0, n)
	for p, i := range last {
		user, room, typ = append(user, p.user), append(room, p.room), append(typ, p.typ)
		content = append(content, entries[i].Value.(*Item).Content)
		position = append(position, entries[i].Position)
	}
	b.Queue(`
		INSERT INTO account_data (user_id, room_nid, type, content, position)
		SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bytea[], $5::bigint[])
		ON CONFLICT (user_id, room_nid, type) DO UPDATE SET content = excluded.content, position = excluded.position`,
		user, room, typ, content, position)
	return nil
}

// errTwice makes the journal write the members of a group one by one: two of them
// change the same item, each made from the item before the group.
var errTwice = errors.New("one item is changed twice in a group")

// load reads an item and its position; nil and 0 where there is none.
func (s *Service) load(
	ctx context.Context, userID string, room journal.RoomNID, typ string,
) (content json.RawMessage, at journal.Position, err error) {
	err = reserve.Read(ctx, func(c *reserve.Counter) error {
		err := s.pool.QueryRow(ctx, `
			SELECT content, position FROM account_data WHERE user_id = $1 AND room_nid = $2 AND type = $3`,
			userID, room, typ).Scan((*[]byte)(&content), &at)
		if err == nil {
			err = c.Add(2 * len(content))
		}
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("load account data %s of %s: %w", typ, userID, err)
	}
	i := &Item{UserID: userID, Room: room, Type: typ, Content: content}
	if s.isDamaged(ctx, i) {
		return nil, 0, fmt.Errorf("%s is %w", i.name(), postgres.ErrDamaged)
	}
	return content, at, nil
}

// DeleteOfDevices deletes the settings of devices that are being removed, in the same
// transaction: those of the notifications that a device makes itself, whose types end with
// the device's ID. MSC3890.
func DeleteOfDevices(ctx context.Context, tx pgx.Tx, userID string, deviceIDs []string) error {
	var types []string
	for _, prefix := range []string{"m.local_notification_settings.", "org.matrix.msc3890.local_notification_settings."} {
		for _, id := range deviceIDs {
			types = append(types, prefix+id)
		}
	}
	_, err := tx.Exec(ctx, `DELETE FROM account_data WHERE user_id = $1 AND room_nid = 0 AND type = ANY($2)`, userID, types)
	if err != nil {
		return fmt.Errorf("delete the settings of devices of %s: %w", userID, err)
	}
	return nil
}

// checkSpace returns M_TOO_LARGE if the user has stored too many items, or too much.
func (s *Service) checkSpace(ctx context.Context, i *Item) error {
	var number, size int
	err := s.pool.QueryRow(ctx, `
		SELECT count(*), coalesce(sum(octet_length(content)), 0)
		FROM account_data WHERE user_id = $1 AND NOT (room_nid = $2 AND type = $3)`, i.UserID, i.Room, i.Type).Scan(&number, &size)
	if err != nil {
		return fmt.Errorf("measure the account data of %s: %w", i.UserID, err)
	}
	if number >= maxItems || size+len(i.Content) > maxBytes {
		return matrix.Errorf(matrix.TooLarge, "a user has at most %d pieces of account data of together %d bytes", maxItems, maxBytes)
	}
	return nil
}

// readOthers reads the items that other processes have written in (after, upTo].
func (s *Service) readOthers(ctx context.Context, conn *pgx.Conn, after, upTo journal.Position, most int) ([]*journal.Entry, error) {
	rows, _ := conn.Query(ctx, `
		SELECT user_id, room_nid, type, content, position FROM account_data WHERE position > $1 AND position <= $2`, after, upTo)
	return journal.CollectEntries(rows, most, func(row pgx.CollectableRow) (*journal.Entry, error) {
		i, at := &Item{}, journal.Position(0)
		err := row.Scan(&i.UserID, &i.Room, &i.Type, (*[]byte)(&i.Content), &at)
		if err == nil && s.isDamaged(ctx, i) {
			err = fmt.Errorf("%s is %w", i.name(), postgres.ErrDamaged)
		}
		entry := s.entry(i)
		entry.Position = at
		return entry, err
	})
}

// isDamaged reports whether a stored content is no JSON object any more, which clients
// could not read, and logs that.
func (s *Service) isDamaged(ctx context.Context, i *Item) bool {
	if len(i.Content) > 0 && i.Content[0] == '{' && event.IsJSON(i.Content) {
		return false
	}
	s.rooms.Damage().Found(ctx, i.name(), errNoObject)
	return true
}

var errNoObject = errors.New("it is no JSON object")

// name names the item for the log.
func (i *Item) name() string {
	return fmt.Sprintf("account data %s of %s, room number %d", i.Type, i.UserID, i.Room)
}

// Checks returns the checks of account data, for the operator's doctor.
func (*Service) Checks() []doctor.Check {
	const ofNoRoom = ` FROM account_data a
		WHERE a.room_nid <> 0 AND NOT EXISTS (SELECT FROM rooms r WHERE r.room_nid = a.room_nid)`
	return []doctor.Check{
		doctor.Orphans("Account data: its users", "account_data", "user_id", "accounts", "user_id").Check(),
		doctor.Rows{
			Title:  "Account data: its rooms",
			Find:   `SELECT format('%s has %s for room number %s, which there is not', a.user_id, a.type, a.room_nid)` + ofNoRoom,
			Repair: []string{`DELETE` + ofNoRoom},
		}.Check(),
	}
}
