package auth

import (
	"context"
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/cache"
)

func TestMetricsTellOfPasswords(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(s.Collectors()...)
	gauges := func() map[string]float64 {
		families, err := registry.Gather()
		must(t, err)
		got := map[string]float64{}
		for _, f := range families {
			got[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
		}
		return got
	}
	leaves := make([]func(), hashersAtOnce)
	for i := range leaves {
		leave, err := s.hasher.enter(by(t, ""))
		must(t, err)
		leaves[i] = leave
	}
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan error, 1)
	go func() {
		_, err := s.hasher.hash(ctx, "secret")
		given <- err
	}()
	for gauges()["homeserver_password_hashes_waiting"] != 1 {
	}
	if got := gauges()["homeserver_password_hashes_running"]; got != hashersAtOnce {
		t.Errorf("%v are running", got)
	}
	cancel()
	if err := <-given; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for _, leave := range leaves {
		leave()
	}
	if got := gauges(); got["homeserver_password_hashes_waiting"] != 0 || got["homeserver_password_hashes_running"] != 0 {
		t.Errorf("in the end: %v", got)
	}
}

func TestTokenCacheTellsHowItIsUsed(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	own := mustRegister(t, s, "example")
	mustAuthenticate(t, s, own.AccessToken)
	mustAuthenticate(t, s, own.AccessToken)
	bytes := s.Caches()["access_tokens"]().Bytes
	if got, want := s.Caches()["access_tokens"](), (cache.Stats{Entries: 1, Bytes: bytes, Hits: 1, Misses: 1}); got != want || bytes == 0 {
		t.Errorf("got %+v, want %+v", got, want)
	}
	c.Pass(cacheLifetime)
	mustAuthenticate(t, s, own.AccessToken)
	if got, want := s.Caches()["access_tokens"](), (cache.Stats{Entries: 1, Bytes: bytes, Hits: 1, Misses: 2}); got != want {
		t.Errorf("once it is old: got %+v, want %+v", got, want)
	}
}
