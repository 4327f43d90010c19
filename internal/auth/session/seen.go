package session

import (
	"cmp"
	"context"
	"net/netip"
	"strings"
	"sync"

	"homeserver/internal/cache"
	"homeserver/internal/matrix"
)

// sighting is when, and from where, a device was seen.
type sighting struct {
	at        int64      // milliseconds since the epoch
	address   netip.Addr // the zero value: not known
	userAgent string
	guest     bool
}

// ip returns the text of the address; "" if it is not known.
func (s *sighting) ip() string {
	if !s.address.IsValid() {
		return ""
	}
	return s.address.String()
}

// sightingOf shortens a client's description of itself to the limits.
func sightingOf(client matrix.Client, at int64) sighting {
	agent := strings.ReplaceAll(client.UserAgent, "\x00", "")
	agent = strings.ToValidUTF8(agent[:min(len(agent), maxDeviceText)], "")
	return sighting{at: at, address: client.Address.Unmap().WithZone(""), userAgent: agent}
}

// lastSeen gathers sightings until they are written, as many as there is memory for.
// Other devices are seen in the next round.
type lastSeen struct {
	share int

	mu      sync.Mutex
	devices map[deviceKey]sighting
	bytes   int
}

type deviceKey struct{ userID, deviceID string }

func newLastSeen(share int) *lastSeen {
	return &lastSeen{share: cmp.Or(share, cache.UsualShare), devices: map[deviceKey]sighting{}}
}

// weigh estimates the bytes of a sighting in memory.
func (s *sighting) weigh(key deviceKey) int {
	const structs = 200
	return structs + cache.Text(key.userID, key.deviceID, s.userAgent)
}

// Seen notes that a device has made a request. It only touches memory; the
// background work writes it within a minute.
func (s *Service) Seen(session matrix.Session, client matrix.Client) {
	seen := sightingOf(client, s.nowMS())
	seen.guest = session.Guest
	s.seen.note(deviceKey{session.UserID, session.DeviceID}, seen)
}

func (l *lastSeen) stats() cache.Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return cache.Stats{Entries: len(l.devices), Bytes: l.bytes}
}

// note records a sighting unless a newer one is known.
func (l *lastSeen) note(key deviceKey, seen sighting) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, ok := l.devices[key]
	more := seen.weigh(key)
	if ok {
		more -= known.weigh(key)
	}
	if ok && known.at > seen.at || l.bytes+more > l.share {
		return
	}
	l.devices[key] = seen
	l.bytes += more
}

// take returns the gathered sightings, and begins anew.
func (l *lastSeen) take() map[deviceKey]sighting {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.devices
	l.devices, l.bytes = map[deviceKey]sighting{}, 0
	return taken
}

// WriteSeen writes the gathered sightings. If that fails, they are gathered again.
func (s *Service) WriteSeen(ctx context.Context) error {
	taken := s.seen.take()
	if len(taken) == 0 {
		return nil
	}
	for key, seen := range taken {
		if s.o.OnSeen != nil && !seen.guest { // anybody gets that without a password
			s.o.OnSeen(key.userID, seen.ip())
		}
	}
	err := storeSightings(ctx, s.o.Pool, taken)
	if err != nil {
		for key, seen := range taken {
			s.seen.note(key, seen)
		}
	}
	return err
}
