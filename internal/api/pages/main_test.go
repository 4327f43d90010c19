package pages_test

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/server"
	"homeserver/internal/server/config"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// startServer runs a whole server for the time of the test, and returns a client for
// it whose paths begin at the root. The functions change its configuration.
func startServer(t *testing.T, configure ...func(*config.Config)) *matrixtest.Client {
	t.Helper()
	cfg := config.Default()
	for _, change := range configure {
		change(cfg)
	}
	cfg.DataDir = t.TempDir()
	cfg.Database.URL = config.Secret(postgrestest.URL(t))
	cfg.Listen = []config.Listener{{Address: "localhost:0"}}
	cfg.RateLimits.Enabled = false
	s, err := server.Start(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
		}
	})
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c := matrixtest.At(t, s.Addresses()[0].URL(), &http.Client{Transport: transport})
	c.Prefix = ""
	return c
}

// register makes an account with the password "wordpass".
func register(c *matrixtest.Client, name string) *matrixtest.Client {
	c.T.Helper()
	in := *c
	in.Prefix = "/_matrix/client/v3"
	return in.Register(name, "wordpass")
}
