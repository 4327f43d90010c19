package auth

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/session"
	"homeserver/internal/matrix"
)

func TestSeenIsWrittenInTheBackground(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	got := mustRegister(t, s, "example")
	mustRegister(t, s, "another")
	session := mustAuthenticate(t, s, got.AccessToken)
	before := c.Now().UnixMilli()
	c.Pass(time.Minute)

	s.Sessions.Seen(session, matrix.Client{Address: netip.MustParseAddr("::ffff:203.0.113.9"), UserAgent: "Browser"})

	device, err := s.Sessions.Device(t.Context(), got.UserID, got.DeviceID)
	must(t, err)
	if device.LastSeenTS != before {
		t.Errorf("got %+v, want nothing written yet", device)
	}
	must(t, s.tidy(t.Context()))
	device, err = s.Sessions.Device(t.Context(), got.UserID, got.DeviceID)
	must(t, err)
	if device.LastSeenTS != c.Now().UnixMilli() || device.LastSeenIP != "203.0.113.9" {
		t.Errorf("got %+v", device)
	}
	if n := count(t, s, `SELECT count(*) FROM devices WHERE user_agent = 'Browser'`); n != 1 {
		t.Errorf("%d devices have the user agent, want 1", n)
	}
}

func TestSeenIsKeptWhenItCannotBeWritten(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	got := mustRegister(t, s, "example")
	c.Pass(time.Second)
	s.Sessions.Seen(matrix.Session{UserID: got.UserID, DeviceID: got.DeviceID}, testClient)

	if err := s.Sessions.WriteSeen(canceled(t)); err == nil {
		t.Fatal("written in a context that has ended")
	}
	must(t, s.Sessions.WriteSeen(t.Context()))

	device, err := s.Sessions.Device(t.Context(), got.UserID, got.DeviceID)
	must(t, err)
	if device.LastSeenTS != c.Now().UnixMilli() {
		t.Errorf("got %+v", device)
	}
}

func TestSeenPassesOverDevicesThatAreLockedOrGone(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	locked, free := mustRegister(t, s, "locked"), mustRegister(t, s, "free")
	c.Pass(time.Second)
	for _, each := range []session.Credentials{locked, free} {
		s.Sessions.Seen(matrix.Session{UserID: each.UserID, DeviceID: each.DeviceID}, testClient)
	}
	s.Sessions.Seen(matrix.Session{UserID: userID("nobody"), DeviceID: "x"}, testClient)

	must(t, pgx.BeginFunc(t.Context(), s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `SELECT FROM devices WHERE user_id = $1 FOR UPDATE`, locked.UserID); err != nil {
			return err
		}
		return s.Sessions.WriteSeen(t.Context())
	}))

	now := c.Now().UnixMilli()
	if n := count(t, s, `SELECT count(*) FROM devices WHERE last_seen_ts = $1 AND user_id = $2`, now, free.UserID); n != 1 {
		t.Error("the free device was not written")
	}
	if n := count(t, s, `SELECT count(*) FROM devices WHERE last_seen_ts = $1`, now); n != 1 {
		t.Errorf("%d devices were written, want 1", n)
	}
}

func TestRegisterWithAnyUserAgent(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	strange := matrix.Client{UserAgent: "\xff\x00" + strings.Repeat("€", 200)}
	_, err := s.Register(t.Context(), RegisterRequest{Auth: dummyAuth}, strange)
	must(t, err)
}
