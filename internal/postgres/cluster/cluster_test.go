package cluster

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres"
)

// folder returns a temporary folder that PostgreSQL's user can enter, which that
// of t.TempDir is not when the tests run as root.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := MakeThrowawayDir("homeserver-cluster-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the cluster: %v", err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// start starts a cluster that is stopped, if it still runs, when the test ends.
func start(t *testing.T, opts Options) *Cluster {
	t.Helper()
	cluster, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatalf("start the cluster: %v", err)
	}
	t.Cleanup(func() { stop(t, cluster) })
	return cluster
}

func stop(t *testing.T, cluster *Cluster) {
	t.Helper()
	if err := cluster.Stop(context.Background()); err != nil {
		t.Errorf("stop the cluster: %v", err)
	}
}

// running returns the postmaster that runs, or ran last.
func running(cluster *Cluster) *child {
	cluster.mu.Lock()
	defer cluster.mu.Unlock()
	return cluster.child
}

// query runs a statement on a connection of its own and returns its only value.
func query[T any](t *testing.T, url, sql string) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	rows, err := conn.Query(t.Context(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	value, err := pgx.CollectOneRow(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// execute runs statements on a connection of their own.
func execute(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

func TestClusterKeepsItsDataOverRestarts(t *testing.T) {
	t.Parallel()
	opts := Options{Dir: filepath.Join(folder(t), "postgres"), Durable: true}
	cluster := start(t, opts)
	execute(t, cluster.URL("homeserver"), "CREATE TABLE kept AS SELECT 42 AS n")
	stop(t, cluster)
	if _, err := pgx.Connect(t.Context(), cluster.URL("homeserver")); !postgres.Unavailable(err) {
		t.Errorf("after Stop, Unavailable(%v) = false", err)
	}
	stop(t, cluster) // again: nothing happens

	cluster = start(t, opts)
	if got := query[int](t, cluster.URL("homeserver"), "SELECT n FROM kept"); got != 42 {
		t.Errorf("n = %d", got)
	}
}

func TestClusterIsFitForTheServer(t *testing.T) {
	t.Parallel()
	cluster := start(t, Options{Dir: folder(t), Durable: true})
	url := cluster.URL("homeserver")
	for setting, want := range map[string]string{
		"listen_addresses": "", "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
		"data_checksums": "on", "jit": "off", "server_encoding": "UTF8", "max_connections": "50",
	} {
		if got := query[string](t, url, "SELECT current_setting('"+setting+"')"); got != want {
			t.Errorf("%s = %q, want %q", setting, got, want)
		}
	}
	if query[bool](t, url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") {
		t.Error("the server is a superuser of its database")
	}
	pool, err := postgres.Open(t.Context(), postgres.Options{URL: url})
	if err != nil {
		t.Fatalf("open its database: %v", err)
	}
	pool.Close()
}

func TestThrowawayClusterDoesNotWaitForTheDisk(t *testing.T) {
	t.Parallel()
	cluster := start(t, Options{Dir: folder(t)})
	for _, setting := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		if got := query[string](t, cluster.URL("homeserver"), "SHOW "+setting); got != "off" {
			t.Errorf("%s = %q", setting, got)
		}
	}
}

// The settings in files can be changed for good by an administrator; what the
// server depends on cannot.
func TestAdministratorCanTuneTheCluster(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	opts := Options{Dir: folder(t)}
	cluster := start(t, opts)
	admin := socketURL(cluster.place.socketDir, superuser, "postgres")
	for _, statement := range []string{
		"ALTER SYSTEM SET work_mem = '13MB'", "ALTER SYSTEM SET max_connections = 30",
		"ALTER SYSTEM SET listen_addresses = '*'", "ALTER SYSTEM SET log_min_messages = 'panic'",
	} {
		execute(t, admin, statement)
	}
	stop(t, cluster)
	cluster = start(t, opts)
	for setting, want := range map[string]string{"work_mem": "13MB", "max_connections": "30", "listen_addresses": ""} {
		if got := query[string](t, cluster.URL("homeserver"), "SHOW "+setting); got != want {
			t.Errorf("%s = %q, want %q", setting, got, want)
		}
	}
}

func TestClusterBelongsToOneServer(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	dir := folder(t)
	if _, err := RunningURL(dir, "homeserver"); err == nil {
		t.Error("RunningURL found a server where none is")
	}
	cluster := start(t, Options{Dir: dir})
	_, err := Start(t.Context(), Options{Dir: dir})
	if !errors.Is(err, ErrInUse) {
		t.Fatalf("the second owner got %v", err)
	}
	if pid := strconv.Itoa(os.Getpid()); !strings.Contains(err.Error(), pid) {
		t.Errorf("the error does not name the process %s: %v", pid, err)
	}
	url, err := RunningURL(dir, "homeserver")
	if err != nil || url != cluster.URL("homeserver") {
		t.Errorf("RunningURL = %q, %v; want %q", url, err, cluster.URL("homeserver"))
	}
	stop(t, cluster)
	if url, err := RunningURL(dir, "homeserver"); err == nil {
		t.Errorf("after Stop, RunningURL = %q", url)
	}
}

func TestOpenSessionsDoNotHoldUpStop(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	cluster := start(t, Options{Dir: folder(t)})
	pool, err := postgres.Open(t.Context(), postgres.Options{URL: cluster.URL("homeserver")})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stop(t, cluster)
	if _, err := tx.Exec(t.Context(), "SELECT 1"); !postgres.Unavailable(err) {
		t.Errorf("the open transaction got %v", err)
	}
	if _, err := pool.Exec(t.Context(), "SELECT 1"); !postgres.Unavailable(err) {
		t.Errorf("the pool got %v", err)
	}
	_ = tx.Rollback(t.Context()) // returns the dead connection to the pool
}

func TestOpenWaitsForTheCluster(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	opts := Options{Dir: folder(t)}
	cluster := start(t, opts)
	stop(t, cluster)

	waiting := make(chan struct{})
	log := slog.New(slog.NewTextHandler(writerFunc(sync.OnceFunc(func() { close(waiting) })), nil))
	opened := make(chan error, 1)
	go func() {
		pool, err := postgres.Open(t.Context(), postgres.Options{URL: cluster.URL("homeserver"), Log: log})
		if err == nil {
			pool.Close()
		}
		opened <- err
	}()
	<-waiting
	start(t, opts)
	if err := <-opened; err != nil {
		t.Errorf("Open: %v", err)
	}
}

// writerFunc is called for each line of a log.
type writerFunc func()

func (f writerFunc) Write(p []byte) (int, error) { f(); return len(p), nil }

func TestStopDoesNotWaitForEver(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	opts := Options{Dir: folder(t), Durable: true}
	cluster := start(t, opts)
	execute(t, cluster.URL("homeserver"), "CREATE TABLE kept AS SELECT 42 AS n")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := cluster.Stop(cancelled); err != nil {
		t.Fatal(err)
	}
	cluster = start(t, opts)
	if got := query[int](t, cluster.URL("homeserver"), "SELECT n FROM kept"); got != 42 {
		t.Errorf("n = %d", got)
	}
}

func TestInterruptedStartLeavesTheFolderFree(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	opts := Options{Dir: folder(t)}
	for _, patience := range []time.Duration{0, 100 * time.Millisecond, 500 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		cluster, err := Start(ctx, opts)
		cancel()
		if err == nil {
			stop(t, cluster)
		}
	}
	cluster := start(t, opts)
	if cluster.place.base != opts.Dir {
		t.Errorf("the cluster has moved to %s", cluster.place.base)
	}
}

func TestLongPathGetsAShortSocket(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	dir := filepath.Join(folder(t), strings.Repeat("long/", 30))
	cluster := start(t, Options{Dir: dir})
	t.Cleanup(func() { _ = os.RemoveAll(cluster.place.socketDir) })
	if strings.HasPrefix(cluster.place.socketDir, dir) {
		t.Errorf("the socket is in %s", cluster.place.socketDir)
	}
	if got := query[int](t, cluster.URL("homeserver"), "SELECT 1"); got != 1 {
		t.Errorf("SELECT 1 = %d", got)
	}
	info, err := os.Stat(cluster.place.socketDir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder of the socket: %v, %v", info.Mode(), err)
	}
	if url, err := RunningURL(dir, "homeserver"); err != nil || url != cluster.URL("homeserver") {
		t.Errorf("RunningURL = %q, %v", url, err)
	}
}

func TestUnusableDataIsToldInOneLine(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	var log logBuffer
	opts := Options{Dir: folder(t), Log: log.logger()}
	cluster := start(t, opts)
	stop(t, cluster)
	if err := os.Remove(filepath.Join(cluster.place.data(), "global", "pg_control")); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), opts)
	if err == nil {
		t.Fatal("a cluster without its control file started")
	}
	if !strings.Contains(err.Error(), "could not find the database system") || strings.Contains(err.Error(), "\n") {
		t.Errorf("the error is %q", err)
	}
	_, err = Start(t.Context(), opts)
	if errors.Is(err, ErrInUse) {
		t.Errorf("the failed start kept the folder: %v", err)
	}
}

func TestUnfinishedClusterIsMadeAgain(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	dir := folder(t)
	unfinished := filepath.Join(dir, dataFolder+".new", "base")
	if err := os.MkdirAll(unfinished, 0o700); err != nil {
		t.Fatal(err)
	}
	start(t, Options{Dir: dir})
	if _, err := os.Stat(unfinished); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was unfinished is still there: %v", err)
	}
}
