package devicekeys

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/cache"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/journal/replica"
)

// Counts is which keys of a device are left for others to claim. It does not change.
type Counts struct {
	// OneTime is how many one-time keys there are, by algorithm. Those that all devices
	// have stand there also with 0.
	OneTime map[string]int64
	// UnusedFallback lists the algorithms of the fallback keys that were not given out.
	UnusedFallback []string

	members []byte
}

// newCounts makes the counts of what was read.
func newCounts(oneTime map[string]int64, fallback []string) *Counts {
	oneTime[signedCurve25519] += 0
	slices.Sort(fallback)
	c := &Counts{OneTime: oneTime, UnusedFallback: fallback}
	b := []byte(`"device_one_time_keys_count":{`)
	for i, algorithm := range slices.Sorted(maps.Keys(oneTime)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(append(event.AppendString(b, algorithm), ':'), oneTime[algorithm], 10)
	}
	types := []byte{'['}
	for i, algorithm := range fallback {
		if i > 0 {
			types = append(types, ',')
		}
		types = event.AppendString(types, algorithm)
	}
	types = append(types, ']')
	b = append(append(b, `},"device_unused_fallback_key_types":`...), types...)
	c.members = append(append(b, `,"org.matrix.msc2732.device_unused_fallback_key_types":`...), types...)
	return c
}

// AppendMembers appends the members of /sync that say what is left, also by the name that
// one of them had as a proposal: client-server API, "Extensions to /sync".
func (c *Counts) AppendMembers(dst []byte) []byte { return append(dst, c.members...) }

// Equal reports whether the same keys are left.
func (c *Counts) Equal(other *Counts) bool {
	return c == other || bytes.Equal(c.members, other.members)
}

func weighCounts(d device, c *Counts) int {
	const fixed, perAlgorithm = 250, 100
	bytes := cache.Text(d.UserID, d.DeviceID)
	if c != nil {
		bytes += fixed + 2*len(c.members) + perAlgorithm*(len(c.OneTime)+len(c.UnusedFallback))
	}
	return bytes
}

// Counts returns which keys of a device are left.
func (s *Service) Counts(ctx context.Context, userID, deviceID string) (*Counts, error) {
	d := device{userID, deviceID}
	place := s.counts.Place(d)
	if c := place.Load(); c != nil {
		return c, nil
	}
	c, err := loadCounts(ctx, s.pool, d)
	if err == nil {
		place.Store(c)
	}
	return c, err
}

// kindCounts is the message that devices have other keys left than before.
const kindCounts = "key_counts"

// tellCounts makes it part of a transaction that other processes forget the counts of
// devices.
func (s *Service) tellCounts(ctx context.Context, tx pgx.Tx, devices []device) error {
	if s.o.Channel == nil || s.o.Channel.Alone() {
		return nil
	}
	for _, message := range countMessages(devices) {
		if err := s.o.Channel.Tell(ctx, tx, kindCounts, message); err != nil {
			return fmt.Errorf("tell which devices have fewer keys: %w", err)
		}
	}
	return nil
}

// countMessages names devices in messages, which have a greatest length: JSON arrays of the
// IDs of users and devices, one after the other.
func countMessages(devices []device) (messages []string) {
	message := []byte{'['}
	for _, d := range devices {
		one := event.AppendString(append(event.AppendString(nil, d.UserID), ','), d.DeviceID)
		if len(message)+len(one)+2 > replica.MaxData {
			messages, message = append(messages, string(append(message, ']'))), []byte{'['}
		}
		if len(message) > 1 {
			message = append(message, ',')
		}
		message = append(message, one...)
	}
	return append(messages, string(append(message, ']')))
}

// onCounts is called when another process has changed the keys of devices.
func (s *Service) onCounts(data string) {
	var names []string
	if json.Unmarshal([]byte(data), &names) != nil {
		return // of another version of the server
	}
	var devices []device
	for pair := range slices.Chunk(names, 2) {
		if len(pair) == 2 {
			devices = append(devices, device{pair[0], pair[1]})
		}
	}
	s.forgetCounts(devices)
}

// forgetCounts is called when devices may have other keys left than before: those that wait
// in /sync look again.
func (s *Service) forgetCounts(devices []device) {
	topics := make([]journal.Topic, 0, len(devices))
	for _, d := range devices {
		s.counts.Forget(d)
		topics = append(topics, journal.Topic{User: d.UserID})
	}
	s.o.Journal.Wake(topics...)
}
