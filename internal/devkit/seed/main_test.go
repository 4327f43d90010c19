package seed_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"homeserver/internal/devkit/seed"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/server"
	"homeserver/internal/server/config"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// seeded is a server that was filled before it answered.
type seeded struct {
	*matrixtest.Client
	loaded *seed.Loaded
}

// start runs a whole server that is filled with a seed.
func start(t *testing.T, s *seed.Seed) *seeded {
	t.Helper()
	got, err := tryStart(t, s)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func tryStart(t *testing.T, s *seed.Seed) (*seeded, error) {
	t.Helper()
	cfg := config.Default()
	cfg.DataDir = t.TempDir()
	cfg.Database.URL = config.Secret(postgrestest.URL(t))
	cfg.Listen = []config.Listener{{Address: "localhost:0"}}
	cfg.RateLimits.Enabled = false
	got := &seeded{}
	running, err := server.Start(t.Context(), cfg, slog.New(slog.DiscardHandler), server.Prepare(func(ctx context.Context, on *server.Services) (err error) {
		got.loaded, err = seed.Load(ctx, (*seed.Services)(on), s, io.Discard)
		return err
	}))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := running.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
		}
	})
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	got.Client = matrixtest.At(t, running.Addresses()[0].URL(), &http.Client{Transport: transport})
	return got, nil
}

// as returns a client for a user of the seed, on the first device.
func (s *seeded) as(userID string) *matrixtest.Client {
	s.T.Helper()
	for _, u := range s.loaded.Users {
		if u.UserID == userID {
			in := *s.Client
			in.UserID, in.DeviceID, in.Token = u.UserID, u.DeviceID, u.AccessToken
			return &in
		}
	}
	s.T.Fatalf("there is no user %s among %+v", userID, s.loaded.Users)
	return nil
}

// room returns the ID of a room by its name in the seed.
func (s *seeded) room(id string) string {
	s.T.Helper()
	for _, r := range s.loaded.Rooms {
		if r.ID == id {
			return r.RoomID
		}
	}
	s.T.Fatalf("there is no room %s among %+v", id, s.loaded.Rooms)
	return ""
}

// write writes a seed file.
func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "seed.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// read reads a seed that has no mistakes.
func read(t *testing.T, content string) *seed.Seed {
	t.Helper()
	s, err := seed.Read(write(t, content), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	return s
}
