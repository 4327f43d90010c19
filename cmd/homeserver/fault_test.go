package main

import (
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/cluster"
)

// startDatabase starts a PostgreSQL in a folder, for a server that is given one.
func startDatabase(t *testing.T, dir string) *cluster.Cluster {
	t.Helper()
	cluster, err := cluster.Start(t.Context(), cluster.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return cluster
}

func stopDatabase(t *testing.T, cluster *cluster.Cluster) {
	t.Helper()
	if err := cluster.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// poll asks for what is new in the background, and waits for it.
func poll(c *matrixtest.Client, since string) <-chan *matrixtest.Response {
	answered := make(chan *matrixtest.Response, 1)
	go func() { answered <- c.Do(http.MethodGet, matrixtest.SyncPath(since, "timeout", "60000"), nil) }()
	return answered
}

func TestDatabaseThatGoesAwayComesBack(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	folder := dataFolder(t)
	database := startDatabase(t, folder)
	defer func() { stopDatabase(t, database) }()
	d := serveFrom(t, t.TempDir(), "HOMESERVER_DATABASE_URL="+database.URL("homeserver"), "HOMESERVER_METRICS_LISTEN=localhost:0")
	defer d.end(syscall.SIGTERM)
	alice := d.client(t).Register("alice", "wordpass")
	room := alice.CreateRoom(nil)
	since := alice.Sync("").NextBatch()
	waiting := poll(alice, since)
	d.untilWaiting(t, 1)

	stopDatabase(t, database)
	send := matrixtest.Path("rooms", room, "send", "m.room.message", "1")
	message := map[string]any{"msgtype": "m.text", "body": "hello"}
	top := alice.As(t)
	top.Prefix = ""
	for _, refused := range []*matrixtest.Response{
		alice.Do(http.MethodPut, send, message),
		alice.Do(http.MethodGet, matrixtest.Path("rooms", room, "messages")+"?dir=b", nil),
		top.Do(http.MethodGet, "/health", nil),
	} {
		refused.Refused(http.StatusServiceUnavailable, "M_UNKNOWN")
		if wait, err := strconv.Atoi(refused.Header.Get("Retry-After")); err != nil || wait < 1 {
			t.Errorf("Retry-After: %q", refused.Header.Get("Retry-After"))
		}
	}
	select {
	case answer := <-waiting:
		t.Fatalf("the waiting poll was answered although nothing has happened: %d %s", answer.Status, answer.Body)
	default:
	}

	database = startDatabase(t, folder)
	d.untilHealthy(t)
	sent := alice.Do(http.MethodPut, send, message).OK().String("event_id")
	if answer := (<-waiting).OK(); !matrixtest.Shows(room, sent)(answer) {
		t.Errorf("the poll that has waited all the time does not show the message: %s", answer.Body)
	}
	if again := alice.Do(http.MethodPut, send, message).OK().String("event_id"); again != sent {
		t.Errorf("sent twice, as %s and %s", sent, again)
	}
}

func TestEndIsOrderlyAndTheNextStartGoesOn(t *testing.T) {
	t.Parallel()
	dir := dataFolder(t)
	d := serveFrom(t, dir, "HOMESERVER_METRICS_LISTEN=localhost:0")
	alice := d.client(t).Register("alice", "wordpass")
	room := alice.CreateRoom(nil)
	sent := alice.SendText(room, "hello")
	since := alice.Sync("").NextBatch()
	waiting := poll(alice, since)
	d.untilWaiting(t, 1)
	if code := d.end(syscall.SIGTERM); code != exitOK {
		t.Errorf("code %d: %s", code, d.stderr)
	}
	if got := (<-waiting).OK().NextBatch(); got != since {
		t.Errorf("the poll that was waiting ends at %s, want %s", got, since)
	}

	again := serveFrom(t, dir)
	alice.BaseURL = again.http
	if events := history(alice, room); len(events) != 1 || events[0].ID != sent {
		t.Errorf("the room holds %v, want only %s", events, sent)
	}
	next := alice.SendText(room, "still here")
	alice.SyncUntil(since, matrixtest.Shows(room, next))
	if code := again.end(syscall.SIGTERM); code != exitOK {
		t.Errorf("code %d: %s", code, again.stderr)
	}
}

func TestSecondServerOnTheSameDataIsRefused(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	dir := dataFolder(t)
	d := serveFrom(t, dir)
	second := launch(t, dir)
	second.stdout.waitFor("the end of output")
	complaint := second.stderr.String()
	if code := second.ProcessState.ExitCode(); code != exitFailure || strings.Count(complaint, "homeserver: ") != 1 ||
		!strings.Contains(complaint, "in use by another homeserver") || !strings.Contains(complaint, strconv.Itoa(d.Process.Pid)) {
		t.Errorf("code %d: %q", code, complaint)
	}
	if second.stdout.String() != "" {
		t.Errorf("it has announced itself: %s", second.stdout)
	}
	d.untilHealthy(t)
	d.end(syscall.SIGTERM)
}
