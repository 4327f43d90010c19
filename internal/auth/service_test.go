package auth

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestStopWritesWhatWasSeen(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	got := mustRegister(t, s, "example")
	s.Start(t.Context())
	c.Pass(time.Second)
	s.Sessions.Seen(mustAuthenticate(t, s, got.AccessToken), testClient)

	s.Stop()

	device, err := s.Sessions.Device(t.Context(), got.UserID, got.DeviceID)
	must(t, err)
	if device.LastSeenTS != c.Now().UnixMilli() {
		t.Errorf("got %+v, want it seen a second later", device)
	}
	s.Stop()
}

func TestStopWithoutStart(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	s.Stop()
}

func TestBackgroundFailuresAreLoggedWithoutSecrets(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s, _ := newTestService(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	got := mustRegister(t, s, "example")
	s.Sessions.Seen(mustAuthenticate(t, s, got.AccessToken), testClient)
	_, err := s.pool.Exec(t.Context(), `ALTER TABLE devices RENAME TO elsewhere`)
	must(t, err)

	s.logFailure(s.tidy(t.Context()))
	s.logFailure(context.Canceled)

	if text := log.String(); strings.Count(text, "level=ERROR") != 1 || strings.Contains(text, got.AccessToken) {
		t.Errorf("got the log %q, want one error", text)
	}
}

func TestOptionsHaveDefaults(t *testing.T) {
	t.Parallel()
	s := New(nil, Options{ServerName: testServer})

	if s.o.Now == nil || s.o.Logger == nil {
		t.Errorf("got %+v", s.o)
	}
	if s.hasher.params != DefaultArgonParams() {
		t.Error("hashes have no defaults")
	}
}
