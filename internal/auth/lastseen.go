package auth

import (
	"context"
	"strings"
	"sync"
)

// maxSightings bounds what is remembered between two writes. Devices beyond it are
// seen in the next round.
const maxSightings = 10_000

// sighting is when, and from where, a device was seen.
type sighting struct {
	at            int64 // milliseconds since the epoch
	ip, userAgent string
}

// sightingOf cuts down to size what a client says of itself.
func sightingOf(client Client, at int64) sighting {
	agent := strings.ReplaceAll(client.UserAgent, "\x00", "")
	agent = strings.ToValidUTF8(agent[:min(len(agent), maxDeviceText)], "")
	seen := sighting{at: at, userAgent: agent}
	if client.Address.IsValid() {
		seen.ip = client.Address.Unmap().WithZone("").String()
	}
	return seen
}

// lastSeen gathers sightings until they are written.
type lastSeen struct {
	mu      sync.Mutex
	devices map[deviceKey]sighting
}

type deviceKey struct{ userID, deviceID string }

func newLastSeen() *lastSeen { return &lastSeen{devices: map[deviceKey]sighting{}} }

// Seen notes that a device has made a request. It only touches memory; the
// background work writes it within a minute.
func (s *Service) Seen(session Session, client Client) {
	s.seen.note(deviceKey{session.UserID, session.DeviceID}, sightingOf(client, s.nowMS()))
}

// note keeps a sighting unless a newer one is known.
func (l *lastSeen) note(key deviceKey, seen sighting) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, ok := l.devices[key]
	if ok && known.at > seen.at || !ok && len(l.devices) >= maxSightings {
		return
	}
	l.devices[key] = seen
}

// take returns what has been gathered, and starts afresh.
func (l *lastSeen) take() map[deviceKey]sighting {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.devices
	l.devices = map[deviceKey]sighting{}
	return taken
}

// flushSeen writes what has been gathered. If that fails, it is gathered again.
func (s *Service) flushSeen(ctx context.Context) error {
	taken := s.seen.take()
	if len(taken) == 0 {
		return nil
	}
	for key, seen := range taken {
		s.hasher.familiar.addSeen(key.userID, seen.ip)
	}
	err := storeSightings(ctx, s.pool, taken)
	if err != nil {
		for key, seen := range taken {
			s.seen.note(key, seen)
		}
	}
	return err
}
