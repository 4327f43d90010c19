package session

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"homeserver/internal/matrix"
)

func TestSeenNeverGoesBack(t *testing.T) {
	t.Parallel()
	s, got := newService(t)
	key := deviceKey{got.UserID, got.DeviceID}

	s.seen.note(key, sighting{at: s.o.Now().UnixMilli() - 1, address: netip.MustParseAddr("192.0.2.99")})
	ok(t, s.WriteSeen(t.Context()))
	s.seen.note(key, sighting{at: s.o.Now().UnixMilli() + 2, address: netip.MustParseAddr("192.0.2.2")})
	s.seen.note(key, sighting{at: s.o.Now().UnixMilli() + 1, address: netip.MustParseAddr("192.0.2.1")})
	ok(t, s.WriteSeen(t.Context()))

	device, err := s.Device(t.Context(), got.UserID, got.DeviceID)
	ok(t, err)
	if device.LastSeenIP != "192.0.2.2" {
		t.Errorf("got %+v, want the newest sighting", device)
	}
}

func TestSeenIsBounded(t *testing.T) {
	t.Parallel()
	const share, devices = 1 << 20, 10_000
	l := newLastSeen(share)
	long := sighting{at: 1, userAgent: strings.Repeat("x", maxDeviceText)}
	for i := range devices {
		l.note(deviceKey{"@a:b", strconv.Itoa(i)}, long)
	}
	long.at = 2
	l.note(deviceKey{"@a:b", "0"}, long)

	taken := l.take()
	if n := len(taken); n < share/1000 || n > share/400 || taken[deviceKey{"@a:b", "0"}].at != 2 {
		t.Errorf("got %d sightings, and the known device at %d", n, taken[deviceKey{"@a:b", "0"}].at)
	}
	if len(l.take()) != 0 {
		t.Error("taken twice")
	}
}

func TestSightingsAreCutDownToSize(t *testing.T) {
	t.Parallel()
	for _, agent := range []string{strings.Repeat("ä", 500), "a\x00b\xff", strings.Repeat("\x00", 300)} {
		got := sightingOf(matrix.Client{UserAgent: agent}, 1)
		if len(got.userAgent) > maxDeviceText || !utf8.ValidString(got.userAgent) || strings.ContainsRune(got.userAgent, 0) {
			t.Errorf("%q: got %q", agent, got.userAgent)
		}
		if got.ip() != "" {
			t.Errorf("got the address %q of nobody", got.ip())
		}
	}
}
