package server

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/server/config"
)

// around has f called before and after one of the stops, counted from the last, which is the first to run.
func (s *Server) around(i int, before, after func()) {
	stop := &s.stops[len(s.stops)-1-i]
	inner := *stop
	*stop = func(ctx context.Context) error {
		before()
		defer after()
		return inner(ctx)
	}
}

func TestShutdownGoesInOrder(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Metrics.Listen = "localhost:0"
	s := mustStart(t, cfg)
	alice := clientAt(t, s, 0).Register("alice", "wordpass")
	room := alice.CreateRoom(nil)
	since := alice.Sync("").NextBatch()
	answered := make(chan *matrixtest.Response, 1)
	go func() { answered <- alice.Do(http.MethodGet, matrixtest.SyncPath(since, "timeout", "600000"), nil) }()
	waitForRequest(t, s)

	operator := config.Listener{Address: s.MetricsAddress()}.URL()
	says := func(when, page string, want int) {
		t.Helper()
		if code, body := get(t, operator+page); code != want {
			t.Errorf("%s, %s says %d %s, want %d", when, page, code, body, want)
		}
	}
	takesWrites := func() bool {
		err := s.services.journal.CatchUp(t.Context(), journal.Position(1)<<60)
		refusal, ok := errors.AsType[*matrix.Error](err)
		return ok && refusal.Code == matrix.InvalidParam // and not that it is stopping
	}
	const stepBack, drained, services, database, metrics = 0, 1, 2, 3, 4
	s.around(stepBack, func() { says("before the end", "/ready", http.StatusOK) }, func() {
		says("once it stops", "/ready", http.StatusServiceUnavailable)
		says("once it stops", "/health", http.StatusOK)
		if code, _ := get(t, s.Addresses()[0].URL()+"/ready"); code != http.StatusServiceUnavailable {
			t.Errorf("clients' listener: /ready says %d", code)
		}
		last := alice.SendText(room, "the last word") // requests are still taken
		if got := (<-answered).OK(); !matrixtest.Shows(room, last)(got) {
			t.Errorf("the poll did not hear of it: %s", got.Body)
		}
		since = alice.Sync(since).NextBatch()
		go func() { answered <- alice.Do(http.MethodGet, matrixtest.SyncPath(since, "timeout", "600000"), nil) }()
		waitForRequest(t, s)
	})
	s.around(drained, func() {}, func() {
		if got := (<-answered).OK().NextBatch(); got != since {
			t.Errorf("the waiting poll ends at %s, want %s", got, since)
		}
		if connects(t, s.Addresses()[0].Address) == nil {
			t.Error("clients can still connect")
		}
		if !takesWrites() {
			t.Error("the journal stops before the requests are answered")
		}
	})
	s.around(services, func() {}, func() {
		if takesWrites() {
			t.Error("the journal goes on")
		}
		says("after the journal", "/health", http.StatusOK) // the database is there for its last writes
	})
	s.around(database, func() {}, func() {
		says("without the database", "/health", http.StatusServiceUnavailable)
		says("without the database", "/ready", http.StatusServiceUnavailable)
	})
	s.around(metrics, func() {}, func() {
		if connects(t, s.MetricsAddress()) == nil {
			t.Error("the operator's listener is open")
		}
	})
	shutDown(t, s)
}

// A load balancer has time to notice, until the caller's context ends at the latest.
func TestShutdownDelay(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.ShutdownDelay = 300
	s := mustStart(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(ctx) }()
	for page := s.Addresses()[0].URL() + "/ready"; ; {
		if code, _ := get(t, page); code == http.StatusServiceUnavailable {
			break
		}
	}
	clientAt(t, s, 0).Register("alice", "wordpass")
	select {
	case err := <-down:
		t.Fatalf("down before its time: %v", err)
	default:
	}
	cancel()
	if err := <-down; err != nil {
		t.Logf("broken off: %v", err) // which it was
	}
	if connects(t, s.Addresses()[0].Address) == nil {
		t.Error("still listens")
	}
}
