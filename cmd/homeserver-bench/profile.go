package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
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
	url := fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", strings.TrimSuffix(h.server.metrics, "/metrics"), profileSeconds)
	file := filepath.Join(h.o.Profile, strings.NewReplacer("/", "-", " ", "-", ",", "").Replace(name)+".pprof")
	go func() { ended <- fetch(ctx, url, file) }()
	return func() error {
		if err := <-ended; err != nil {
			return fmt.Errorf("take a profile of the server: %w", err)
		}
		return nil
	}
}

// fetch writes what a URL gives into a file.
func fetch(ctx context.Context, url, file string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // nothing secret
		return err
	}
	return os.WriteFile(file, content, 0o644) //nolint:gosec // the same
}
