package auth

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/matrix"
)

func TestSeenIsWrittenInTheBackground(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	got := mustRegister(t, s, "example")
	mustRegister(t, s, "another")
	session := mustAuthenticate(t, s, got.AccessToken)
	before := c.Now().UnixMilli()
	c.advance(time.Minute)

	s.Seen(session, matrix.Client{Address: netip.MustParseAddr("::ffff:203.0.113.9"), UserAgent: "Browser"})

	device, err := s.Device(t.Context(), got.UserID, got.DeviceID)
	must(t, err)
	if device.LastSeenTS != before {
		t.Errorf("got %+v, want nothing written yet", device)
	}
	must(t, s.tidy(t.Context()))
	device, err = s.Device(t.Context(), got.UserID, got.DeviceID)
	must(t, err)
	if device.LastSeenTS != c.Now().UnixMilli() || device.LastSeenIP != "203.0.113.9" {
		t.Errorf("got %+v", device)
	}
	if n := count(t, s, `SELECT count(*) FROM devices WHERE user_agent = 'Browser'`); n != 1 {
		t.Errorf("%d devices have the user agent, want 1", n)
	}
}

func TestSeenNeverGoesBack(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	got := mustRegister(t, s, "example")
	key := deviceKey{got.UserID, got.DeviceID}

	s.seen.note(key, sighting{at: c.Now().UnixMilli() - 1, ip: "192.0.2.99"})
	must(t, s.flushSeen(t.Context()))
	s.seen.note(key, sighting{at: c.Now().UnixMilli() + 2, ip: "192.0.2.2"})
	s.seen.note(key, sighting{at: c.Now().UnixMilli() + 1, ip: "192.0.2.1"})
	must(t, s.flushSeen(t.Context()))

	device, err := s.Device(t.Context(), got.UserID, got.DeviceID)
	must(t, err)
	if device.LastSeenIP != "192.0.2.2" {
		t.Errorf("got %+v, want the newest sighting", device)
	}
}

func TestSeenIsKeptWhenItCannotBeWritten(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	got := mustRegister(t, s, "example")
	c.advance(time.Second)
	s.Seen(matrix.Session{UserID: got.UserID, DeviceID: got.DeviceID}, testClient)

	if err := s.flushSeen(canceled(t)); err == nil {
		t.Fatal("written in a context that has ended")
	}
	must(t, s.flushSeen(t.Context()))

	device, err := s.Device(t.Context(), got.UserID, got.DeviceID)
	must(t, err)
	if device.LastSeenTS != c.Now().UnixMilli() {
		t.Errorf("got %+v", device)
	}
}

func TestSeenPassesOverDevicesThatAreLockedOrGone(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	locked, free := mustRegister(t, s, "locked"), mustRegister(t, s, "free")
	c.advance(time.Second)
	for _, each := range []Credentials{locked, free} {
		s.Seen(matrix.Session{UserID: each.UserID, DeviceID: each.DeviceID}, testClient)
	}
	s.Seen(matrix.Session{UserID: userID("nobody"), DeviceID: "x"}, testClient)

	must(t, pgx.BeginFunc(t.Context(), s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `SELECT FROM devices WHERE user_id = $1 FOR UPDATE`, locked.UserID); err != nil {
			return err
		}
		return s.flushSeen(t.Context())
	}))

	now := c.Now().UnixMilli()
	if n := count(t, s, `SELECT count(*) FROM devices WHERE last_seen_ts = $1 AND user_id = $2`, now, free.UserID); n != 1 {
		t.Error("the free device was not written")
	}
	if n := count(t, s, `SELECT count(*) FROM devices WHERE last_seen_ts = $1`, now); n != 1 {
		t.Errorf("%d devices were written, want 1", n)
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
		if got.ip != "" {
			t.Errorf("got the address %q of nobody", got.ip)
		}
	}
}

func TestRegisterWithAnyUserAgent(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	strange := matrix.Client{UserAgent: "\xff\x00" + strings.Repeat("€", 200)}
	_, err := s.Register(t.Context(), RegisterRequest{Auth: dummyAuth}, strange)
	must(t, err)
}
