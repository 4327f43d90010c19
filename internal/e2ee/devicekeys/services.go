package devicekeys

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// The methods in this file are for application services: MSC3202.

// ChangedIn is a user whose device list has changed, with the rooms that the user was in then
// with others.
type ChangedIn struct {
	UserID string
	Rooms  []journal.RoomNID
}

// maxChangedIn bounds the rooms that are read at once.
const maxChangedIn = 1_000_000

// ChangesBetween returns whose device lists have changed in (after, upTo], but for those that
// have changed again since.
func (s *Service) ChangesBetween(ctx context.Context, after, upTo journal.Position) (list []ChangedIn, err error) {
	live := false
	s.o.Journal.Read(func(v journal.View) {
		if live = v.Covers(after) && v.Position >= upTo; !live {
			return
		}
		for _, entry := range v.Between(after, upTo) {
			if c, ok := entry.Value.(*Changed); ok {
				list = append(list, changedIn(c, entry))
			}
		}
	})
	if live {
		return list, nil
	}
	err = s.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		entries, err := s.readChanges(ctx, conn.Conn(), after, upTo, maxChangedIn)
		if err != nil || len(entries) == 0 {
			return err
		}
		if err := addRooms(ctx, conn.Conn(), entries, maxChangedIn); err != nil {
			return err
		}
		for _, entry := range entries {
			list = append(list, changedIn(entry.Value.(*Changed), entry))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read whose device lists have changed: %w", err)
	}
	return list, nil
}

func changedIn(c *Changed, entry *journal.Entry) ChangedIn {
	in := ChangedIn{UserID: c.UserID}
	for _, t := range entry.Topics {
		if t.Room != 0 {
			in.Rooms = append(in.Rooms, t.Room)
		}
	}
	return in
}

// RoomsOf calls do for each room with others that some users are in at a position.
func (s *Service) RoomsOf(ctx context.Context, users []string, at journal.Position, do func(userID string, room journal.RoomNID)) error {
	list := make([]timeline.UserAt, len(users))
	for i, userID := range users {
		list[i] = timeline.UserAt{User: userID, At: timeline.PlaceOf(at)}
	}
	return s.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		return timeline.SharedRooms(ctx, conn.Conn(), list, maxChangedIn, do)
	})
}

// DeviceCounts is which keys of a device are left.
type DeviceCounts struct {
	UserID, DeviceID string
	Counts           *Counts
}

// CountsOf returns which keys of the devices with keys of some users are left, by user and
// device.
func (s *Service) CountsOf(ctx context.Context, users []string) ([]DeviceCounts, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT d.user_id, d.device_id, coalesce(k.algorithm, ''), coalesce(k.n, 0)
		FROM device_keys d LEFT JOIN LATERAL (
			SELECT algorithm, count(*) AS n FROM one_time_keys
			WHERE user_id = d.user_id AND device_id = d.device_id AND key IS NOT NULL GROUP BY algorithm
			UNION ALL
			SELECT algorithm, -1 FROM fallback_keys WHERE user_id = d.user_id AND device_id = d.device_id AND NOT used) k ON true
		WHERE d.user_id = ANY($1) ORDER BY d.user_id, d.device_id`, users)
	var list []DeviceCounts
	var oneTime map[string]int64
	var fallback []string
	end := func() {
		if len(list) > 0 {
			list[len(list)-1].Counts = newCounts(oneTime, fallback)
		}
	}
	var d device
	var algorithm string
	var n int64
	_, err := pgx.ForEachRow(rows, []any{&d.UserID, &d.DeviceID, &algorithm, &n}, func() error {
		if last := len(list) - 1; last < 0 || list[last].UserID != d.UserID || list[last].DeviceID != d.DeviceID {
			end()
			list, oneTime, fallback = append(list, DeviceCounts{UserID: d.UserID, DeviceID: d.DeviceID}), map[string]int64{}, []string{}
		}
		switch {
		case n < 0:
			fallback = append(fallback, algorithm)
		case algorithm != "":
			oneTime[algorithm] = n
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count the one-time keys of the devices of an application service: %w", err)
	}
	end()
	return list, nil
}
