package main

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"homeserver/internal/matrixtest"
)

// fillState sets so many entries of a room's state, of 60 KB each.
func fillState(t *testing.T, c *matrixtest.Client, room string, entries int) {
	t.Helper()
	blob := strings.Repeat("x", 60_000)
	var filling errgroup.Group
	filling.SetLimit(8)
	for n := range entries {
		filling.Go(func() error {
			c.Do(http.MethodPut, matrixtest.Path("rooms", room, "state", "org.example.large", strconv.Itoa(n)), map[string]any{"blob": blob}).OK()
			return nil
		})
	}
	if err := filling.Wait(); err != nil {
		t.Fatal(err)
	}
}

// read gets an answer without keeping it, and counts the entries of the state in it.
func (d *daemon) read(t *testing.T, c *matrixtest.Client, path string) (status, entries int) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.http+"/_matrix/client"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+c.Token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Error(err)
		return 0, 0
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	body := bufio.NewReaderSize(answer.Body, 1<<20)
	for {
		_, err := body.ReadSlice('"')
		if errors.Is(err, io.EOF) {
			return answer.StatusCode, entries
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			t.Errorf("%s: the answer broke off: %v", path, err)
			return answer.StatusCode, entries
		}
		if next, _ := body.Peek(len(`org.example.large"`)); string(next) == `org.example.large"` {
			entries++
		}
	}
}

// TestManyReadersOfALargeRoomTookMemoryWithoutBound asks for all of a large room from
// many connections at once, in all ways. Who is not refused for the moment gets all.
func TestManyReadersOfALargeRoomTookMemoryWithoutBound(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	const entries, readers = 250, 20
	d := serveFrom(t, dataFolder(t), "HOMESERVER_RATE_LIMITS_ENABLED=false", "HOMESERVER_LOG_LEVEL=error", "HOMESERVER_MEMORY_LIMIT=192MiB")
	alice := d.client(t).Register("alice", "wordpass")
	room := alice.CreateRoom(map[string]any{"preset": "public_chat"})
	fillState(t, alice, room, entries)
	before := d.mostResident(t)
	for path, whole := range map[string]int{
		"/v3/rooms/" + room + "/state":                     entries,
		"/v3/rooms/" + room + "/members":                   0,
		"/v3/rooms/" + room + "/messages?dir=b&limit=1000": 0,
		"/v3/sync?full_state=true":                         entries,
		"/api/v1/initialSync":                              entries,
		"/api/v1/rooms/" + room + "/initialSync":           entries,
	} {
		var reading errgroup.Group
		for range readers {
			reading.Go(func() error {
				status, got := d.read(t, alice, path)
				if status != http.StatusOK && status != http.StatusServiceUnavailable {
					t.Errorf("%s: status %d", path, status)
				}
				if status == http.StatusOK && got < whole {
					t.Errorf("%s: %d of %d entries", path, got, whole)
				}
				return nil
			})
		}
		_ = reading.Wait() // what goes wrong is told
		if status, _ := d.read(t, alice, path); status != http.StatusOK {
			t.Errorf("%s: after all others status %d", path, status)
		}
	}
	grown := d.mostResident(t) - before
	t.Logf("%d MiB before, and %d MiB more at most", before>>20, grown>>20)
	if grown > 100<<20 {
		t.Errorf("the server has grown by %d MiB", grown>>20)
	}
}
