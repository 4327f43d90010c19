package devicekeys

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

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

// userCounts are the counts of those devices of one user that have asked for them. They are
// given up together: counts that are read meanwhile end up in what nobody finds any more.
type userCounts struct {
	mu       sync.Mutex
	byDevice map[string]*Counts
	bytes    int
}

func weighCounts(userID string, u *userCounts) int {
	const fixed = 100
	u.mu.Lock()
	defer u.mu.Unlock()
	return fixed + cache.Text(userID) + u.bytes
}

func (u *userCounts) get(deviceID string) *Counts {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.byDevice[deviceID]
}

func (u *userCounts) put(deviceID string, c *Counts) {
	const fixed, perAlgorithm = 300, 100
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.byDevice[deviceID] == nil {
		u.bytes += fixed + cache.Text(deviceID) + cache.Text(c.members) + perAlgorithm*(len(c.OneTime)+len(c.UnusedFallback))
		u.byDevice[deviceID] = c
	}
}

// Counts returns which keys of a device are left.
func (s *Service) Counts(ctx context.Context, userID, deviceID string) (*Counts, error) {
	u, ok := s.counts.Get(userID)
	if !ok {
		u, _ = s.counts.PutNew(userID, &userCounts{byDevice: map[string]*Counts{}})
	}
	if c := u.get(deviceID); c != nil {
		return c, nil
	}
	c, err := loadCounts(ctx, s.pool, device{userID, deviceID})
	if err == nil {
		u.put(deviceID, c)
		s.counts.Reweigh(userID)
	}
	return c, err
}

// kindCounts is the message that devices of users have other keys left than before.
const kindCounts = "key_counts"

// tellCounts makes it part of a transaction that other processes give up the counts of
// users.
func (s *Service) tellCounts(ctx context.Context, tx pgx.Tx, users ...string) error {
	if s.o.Channel == nil || s.o.Channel.Alone() {
		return nil
	}
	for _, message := range countMessages(users) {
		if err := s.o.Channel.Tell(ctx, tx, kindCounts, message); err != nil {
			return fmt.Errorf("tell whose devices have other keys left: %w", err)
		}
	}
	return nil
}

// countMessages names users in messages, which have a greatest length.
func countMessages(users []string) (messages []string) {
	message := ""
	for _, userID := range users {
		if len(message)+1+len(userID) > replica.MaxData {
			messages, message = append(messages, message), ""
		}
		if message != "" {
			message += " "
		}
		message += userID
	}
	return append(messages, message)
}

// forgetCounts is called when devices of users may have other keys left than before: those
// that wait in /sync look again.
func (s *Service) forgetCounts(users ...string) {
	topics := make([]journal.Topic, 0, len(users))
	for _, userID := range users {
		s.counts.Remove(userID)
		topics = append(topics, journal.Topic{User: userID})
	}
	s.o.Journal.Wake(topics...)
}
