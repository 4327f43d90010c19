package todevice

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// Delivery is a message with the device that it is for.
type Delivery struct {
	Message
	UserID, DeviceID string
}

// AppendJSON writes the message as application services see it: MSC2409, with the names of
// MSC4203.
func (d *Delivery) AppendJSON(dst []byte) []byte {
	dst = d.Message.AppendJSON(dst)
	dst = append(dst[:len(dst)-1], `,"to_user_id":`...)
	dst = append(event.AppendString(dst, d.UserID), `,"to_device_id":`...)
	return append(event.AppendString(dst, d.DeviceID), '}')
}

// Between returns the messages to the devices of some users that were sent in (after, upTo],
// in their order, and the position up to which these are all: of more than so many bytes, the
// first. Those of one request come together. It is for application services.
func (s *Service) Between(
	ctx context.Context, after, upTo journal.Position, owns func(userID string) bool, most int,
) (list []*Delivery, to journal.Position, err error) {
	live, b := false, &between{upTo: upTo, most: most, owns: owns}
	s.o.Journal.Read(func(v journal.View) {
		if live = v.Covers(after) && v.Position >= upTo; !live {
			return
		}
		for _, entry := range v.Between(after, upTo) {
			if m, ok := entry.Value.(*Messages); ok && !b.addAll(entry.Position, m) {
				return
			}
		}
	})
	if !live {
		if err := s.readBetween(ctx, after, b); err != nil {
			return nil, 0, err
		}
	}
	return b.list, b.upTo, nil
}

// between gathers messages.
type between struct {
	list        []*Delivery
	upTo        journal.Position
	most, bytes int
	owns        func(userID string) bool
}

// add adds a message, and reports whether there was room.
func (b *between) add(d *Delivery) bool {
	if n := len(b.list); n > 0 && b.bytes >= b.most && b.list[n-1].Position != d.Position {
		b.upTo = d.Position - 1
		return false
	}
	b.list, b.bytes = append(b.list, d), b.bytes+d.size()+rowBytes
	return true
}

// addAll adds the messages of one request.
func (b *between) addAll(at journal.Position, m *Messages) bool {
	for _, to := range slices.SortedFunc(maps.Keys(m.contents), device.compare) {
		if b.owns(to.UserID) && !b.add(&Delivery{Message{at, m.Sender, m.Type, m.contents[to]}, to.UserID, to.DeviceID}) {
			return false
		}
	}
	return true
}

func (d device) compare(other device) int {
	return cmp.Or(cmp.Compare(d.UserID, other.UserID), cmp.Compare(d.DeviceID, other.DeviceID))
}

// readBetween reads the messages after a position from the database.
func (s *Service) readBetween(ctx context.Context, after journal.Position, b *between) error {
	rows, err := s.o.Pool.Query(ctx, `
		SELECT m.position, m.sender, m.type, m.content, m.user_id, m.device_id
		FROM to_device m JOIN devices d
			ON d.user_id = m.user_id AND d.device_id = m.device_id AND d.created_at = m.device_created_at
		WHERE m.position > $1 AND m.position <= $2 ORDER BY m.position, m.user_id, m.device_id`, after, b.upTo)
	if err != nil {
		return fmt.Errorf("read messages to the devices of an application service: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		d, err := pgx.RowToAddrOfStructByPos[Delivery](rows)
		if err != nil {
			return fmt.Errorf("read messages to the devices of an application service: %w", err)
		}
		if b.owns(d.UserID) && !b.add(d) {
			return nil
		}
	}
	return rows.Err()
}

// Devices are devices, each with the position up to which it has all messages.
type Devices map[device]journal.Position

// DevicesOf returns the devices that messages are for.
func DevicesOf(list []*Delivery) Devices {
	if len(list) == 0 {
		return nil
	}
	devices := make(Devices, len(list))
	for _, d := range list {
		to := device{d.UserID, d.DeviceID}
		devices[to] = max(devices[to], d.Position)
	}
	return devices
}

// Delivered notes that devices have got their messages, by way of an application service:
// they are deleted a little later. It does no I/O.
func (s *Service) Delivered(devices Devices) {
	for d, upTo := range devices {
		if s.janitor.acknowledge(d, upTo) {
			s.queues.Change(d, func(q *Queue) *Queue {
				q.moveUp(upTo)
				return q
			})
		}
	}
}
