package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres"
)

// serverEnv makes TestServerProcess, in a process of its own, run a cluster in
// the folder it names.
const serverEnv = "HOMESERVER_TEST_CLUSTER_DIR"

// TestServerProcess is not a test: it is the server that other tests kill.
func TestServerProcess(t *testing.T) {
	dir := os.Getenv(serverEnv)
	if dir == "" {
		t.Skip("runs only inside other tests")
	}
	cluster, err := Start(t.Context(), Options{Dir: dir, Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("ready %d %s\n", running(cluster).cmd.Process.Pid, cluster.URL("homeserver"))
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test that runs this ends, however that is
	if err := cluster.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// serverProcess starts a server in a process of its own.
func serverProcess(t *testing.T, dir string) (server *exec.Cmd, postmaster int, url string) {
	t.Helper()
	server = exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], "-test.run=^TestServerProcess$")
	server.Env = append(os.Environ(), serverEnv+"="+dir)
	server.Stderr = os.Stderr
	output, outErr := server.StdoutPipe()
	input, inErr := server.StdinPipe()
	if err := errors.Join(outErr, inErr); err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // it stops, unless the test has killed it
		_ = input.Close()
		_ = server.Wait()
	})
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if _, err := fmt.Sscanf(lines.Text(), "ready %d %s", &postmaster, &url); err == nil {
			return server, postmaster, url
		}
		t.Log(lines.Text())
	}
	t.Fatal("the server process ended")
	return nil, 0, ""
}

// kill ends a process without warning.
func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill process %d: %v", pid, err)
	}
}

func TestKilledServerLosesNothing(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	dir := folder(t)
	server, _, url := serverProcess(t, dir)
	execute(t, url, "CREATE TABLE kept AS SELECT 42 AS n")
	kill(t, server.Process.Pid)
	_ = server.Wait() // it was killed
	// At once, while its PostgreSQL may still be going down.
	cluster := start(t, Options{Dir: dir, Durable: true})
	if got := query[int](t, cluster.URL("homeserver"), "SELECT n FROM kept"); got != 42 {
		t.Errorf("n = %d", got)
	}
}

func TestServerAndPostgreSQLKilledTogether(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	dir := folder(t)
	server, postmaster, url := serverProcess(t, dir)
	execute(t, url, "CREATE TABLE kept AS SELECT 42 AS n")
	kill(t, server.Process.Pid)
	kill(t, postmaster)
	_ = server.Wait() // it was killed
	cluster := start(t, Options{Dir: dir, Durable: true})
	if got := query[int](t, cluster.URL("homeserver"), "SELECT n FROM kept"); got != 42 {
		t.Errorf("n = %d", got)
	}
}

// eventually waits for service to come back, as a request that is tried again
// would.
func eventually(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	matrixtest.Until(t, "service is back", func() bool {
		_, err := pool.Exec(t.Context(), "SELECT 1")
		if err != nil && !postgres.Unavailable(err) {
			t.Fatalf("service did not come back: %v", err)
		}
		return err == nil
	})
}

func TestServiceResumesWhenPostgreSQLDies(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGQUIT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			var log logBuffer
			cluster := start(t, Options{Dir: folder(t), Durable: true, Log: log.logger()})
			pool, err := postgres.Open(t.Context(), postgres.Options{URL: cluster.URL("homeserver")})
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			if _, err := pool.Exec(t.Context(), "CREATE TABLE kept AS SELECT 42 AS n"); err != nil {
				t.Fatal(err)
			}
			before := running(cluster)
			cluster.signal(signal)
			if signal == syscall.SIGTERM {
				pool.Reset() // a smart shutdown waits for the sessions to end by themselves
			}
			<-before.gone
			eventually(t, pool)
			var got int
			if err := pool.QueryRow(t.Context(), "SELECT n FROM kept").Scan(&got); err != nil || got != 42 {
				t.Errorf("n = %d, %v", got, err)
			}
			if !strings.Contains(log.String(), "PostgreSQL ended: starting it again") {
				t.Errorf("the log does not say what happened:\n%s", log.String())
			}
		})
	}
}

// A session that crashes takes all sessions with it; PostgreSQL recovers by
// itself.
func TestServiceResumesWhenASessionCrashes(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	cluster := start(t, Options{Dir: folder(t), Durable: true})
	pool, err := postgres.Open(t.Context(), postgres.Options{URL: cluster.URL("homeserver")})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var pid int
	if err := pool.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	kill(t, pid)
	eventually(t, pool)
}

// orphan runs the cluster's PostgreSQL as a server that was killed would leave
// it behind where the system has no parent-death signal.
func orphan(t *testing.T, cluster *Cluster) *exec.Cmd {
	t.Helper()
	cmd := cluster.postmasterCommand()
	logged, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(logged)
	for lines.Scan() {
		if strings.HasSuffix(lines.Text(), readyMessage) {
			return cmd
		}
	}
	t.Fatal("the orphan did not start")
	return nil
}

func TestOrphanIsTakenOver(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	var log logBuffer
	opts := Options{Dir: folder(t), Durable: true, Log: log.logger()}
	cluster := start(t, opts)
	stop(t, cluster)
	left := orphan(t, cluster)
	execute(t, cluster.URL("homeserver"), "CREATE TABLE kept AS SELECT 42 AS n")

	cluster = start(t, opts)
	if running(cluster).cmd.Process.Pid == left.Process.Pid {
		t.Error("the orphan still runs")
	}
	if err := left.Wait(); err != nil {
		t.Errorf("the orphan was not shut down cleanly: %v", err)
	}
	if got := query[int](t, cluster.URL("homeserver"), "SELECT n FROM kept"); got != 42 {
		t.Errorf("n = %d", got)
	}
	if !strings.Contains(log.String(), "left behind") {
		t.Errorf("the log does not say so:\n%s", log.String())
	}
}

// In a container process numbers are few: after a crash the number in the file
// that PostgreSQL left is soon that of somebody else.
func TestReusedProcessNumberIsNoPostmaster(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	other := start(t, Options{Dir: folder(t)})
	opts := Options{Dir: folder(t)}
	cluster := start(t, opts)
	pidFile := filepath.Join(cluster.place.data(), postmasterFile)
	content, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	stop(t, cluster)
	_, rest, _ := strings.Cut(string(content), "\n")
	for name, left := range map[string]string{
		"the number of another postmaster": fmt.Sprintf("%d\n%s", running(other).cmd.Process.Pid, rest),
		"an incomplete file":               fmt.Sprint(running(other).cmd.Process.Pid),
	} {
		if err := os.WriteFile(pidFile, []byte(left), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Lchown(pidFile, cluster.place.owner.uid, cluster.place.owner.gid); err != nil {
			t.Fatal(err)
		}
		again, err := Start(t.Context(), opts)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		stop(t, again)
	}
	if got := query[int](t, other.URL("homeserver"), "SELECT 1"); got != 1 {
		t.Error("the other cluster was disturbed")
	}
}

// What was acknowledged before PostgreSQL was killed is there afterwards, and
// nothing is there twice.
func TestAcknowledgedIsDurable(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	cluster := start(t, Options{Dir: folder(t), Durable: true})
	pool, err := postgres.Open(t.Context(), postgres.Options{URL: cluster.URL("homeserver")})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(t.Context(), "CREATE TABLE acknowledged (n int PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	acknowledged := 0
	var killed *child
	for n := range 600 {
		switch n % 200 {
		case 100:
			killed = running(cluster)
			kill(t, killed.cmd.Process.Pid)
		case 150:
			<-killed.gone // the sessions go on until they notice
		}
		_, err := pool.Exec(t.Context(), "INSERT INTO acknowledged VALUES ($1)", n)
		if err != nil && !postgres.Unavailable(err) {
			t.Fatalf("while PostgreSQL is away: %v", err)
		}
		if err != nil {
			eventually(t, pool)
			continue
		}
		acknowledged++
	}
	var kept int
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM acknowledged").Scan(&kept); err != nil {
		t.Fatal(err)
	}
	// A row whose answer was lost on the way may be there all the same.
	if kept < acknowledged || kept > 600 {
		t.Errorf("%d rows were acknowledged, %d are there", acknowledged, kept)
	}
}

// PostgreSQL that cannot start is tried again, so that service resumes when the
// cause is gone.
func TestServiceResumesWhenTheCauseIsGone(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	tried := make(chan struct{}, 100)
	log := slog.New(slog.NewTextHandler(writerFunc(func() {
		select {
		case tried <- struct{}{}:
		default:
		}
	}), &slog.HandlerOptions{Level: slog.LevelError}))
	cluster := start(t, Options{Dir: folder(t), Durable: true, Log: log})
	pool, err := postgres.Open(t.Context(), postgres.Options{URL: cluster.URL("homeserver")})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	control := filepath.Join(cluster.place.data(), "global", "pg_control")
	if err := os.Rename(control, control+".away"); err != nil {
		t.Fatal(err)
	}
	cluster.signal(syscall.SIGKILL)
	for range 4 { // it ended; it does not start; that again
		<-tried
	}
	if _, err := pool.Exec(t.Context(), "SELECT 1"); !postgres.Unavailable(err) {
		t.Errorf("while it does not start: %v", err)
	}
	if err := os.Rename(control+".away", control); err != nil {
		t.Fatal(err)
	}
	eventually(t, pool)
}

func TestStopEndsAPostgreSQLThatDoesNotStart(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	cluster := start(t, Options{Dir: folder(t)})
	before := running(cluster)
	if err := os.Remove(filepath.Join(cluster.place.data(), "global", "pg_control")); err != nil {
		t.Fatal(err)
	}
	cluster.signal(syscall.SIGKILL)
	<-before.gone
	stop(t, cluster)
}

// Ctrl-C at a terminal goes to the whole foreground process group. PostgreSQL
// must outlive it until the server has finished its work.
func TestPostgreSQLHasItsOwnProcessGroup(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	cluster := start(t, Options{Dir: folder(t)})
	group, err := syscall.Getpgid(running(cluster).cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if own := syscall.Getpgrp(); group == own {
		t.Errorf("PostgreSQL is in the process group %d of the server", own)
	}
}

// The commands of an administrator work beside the running server.
func TestRunningClusterIsReachedFromAnotherProcess(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	_, _, theirs := serverProcess(t, dir)
	url, err := RunningURL(dir, "homeserver")
	if err != nil || url != theirs {
		t.Fatalf("RunningURL = %q, %v; want %q", url, err, theirs)
	}
	if got := query[int](t, url, "SELECT 1"); got != 1 {
		t.Errorf("SELECT 1 = %d", got)
	}
}

// After a restart each connection of the pool is dead. Only who finds that out first
// must pay for it.
func TestPoolLetsGoOfConnectionsThatDiedWithPostgreSQL(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	const most = 8
	cluster := start(t, Options{Dir: folder(t), Durable: true})
	pool, err := postgres.Open(t.Context(), postgres.Options{URL: cluster.URL("homeserver"), MaxConns: most})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	fill := func() {
		var held []*pgxpool.Conn
		for range most {
			conn, err := pool.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, conn)
		}
		for _, conn := range held {
			conn.Release()
		}
	}
	fill()
	before := running(cluster)
	cluster.signal(immediateShutdown)
	<-before.gone
	probe := eventualConn(t, cluster.URL("homeserver"))
	if err := probe.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for range most {
		if _, err := pool.Exec(t.Context(), "SELECT 1"); err != nil {
			failed++
		}
	}
	if failed > 1 {
		t.Errorf("%d of %d statements failed after PostgreSQL was there again", failed, most)
	}
}

// eventualConn connects as soon as PostgreSQL accepts connections.
func eventualConn(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, url)
		if err == nil {
			return conn
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}
