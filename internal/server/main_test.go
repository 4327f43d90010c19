package server

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
	"time"

	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/server/config"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// testConfig returns the configuration of a server on free ports of loopback, with a data folder and a
// database of its own.
func testConfig(t testing.TB) *config.Config {
	t.Helper()
	cfg := config.Default()
	cfg.DataDir = t.TempDir()
	cfg.Database.URL = config.Secret(postgrestest.URL(t))
	cfg.Listen = []config.Listener{{Address: "localhost:0"}, {Address: "localhost:0", TLS: true}}
	cfg.RateLimits.Enabled = false
	return cfg
}

// mustStart starts a server that is shut down when the test ends, unless the test does it.
func mustStart(t *testing.T, cfg *config.Config) *Server {
	t.Helper()
	s, err := Start(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutDown(t, s) })
	return s
}

func shutDown(t testing.TB, s *Server) {
	t.Helper()
	ctx, cancel := contextFor(time.Minute)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("shut down: %v", err)
	}
}

// syncBuffer is a buffer that several goroutines may write to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
