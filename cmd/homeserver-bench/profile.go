package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// profileSeconds is how long the server is looked at in each case.
const profileSeconds = 5

// profile begins to take a processor profile of the server, if that is wanted, and
// returns what waits for its end.
func (h *house) profile(ctx context.Context, name string) (finish func() error) {
	if h.o.Profile == "" || h.server == nil {
		return func() error { return nil }
	}
	ended := make(chan error, 1)
	url := fmt.Sprintf("%sprofile?seconds=%d", h.server.profiles(), profileSeconds)
	file := filepath.Join(h.o.Profile, strings.NewReplacer("/", "-", " ", "-", ",", "").Replace(name)+".pprof")
	go func() { ended <- fetch(ctx, url, file) }()
	return func() error {
		if err := <-ended; err != nil {
			return fmt.Errorf("take a profile of the server: %w", err)
		}
		return nil
	}
}

// fetch downloads a URL into a file.
func fetch(ctx context.Context, url, file string) error {
	content, err := get(ctx, url)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // nothing secret
		return err
	}
	return os.WriteFile(file, content, 0o644) //nolint:gosec // the same
}
