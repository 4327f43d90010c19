package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/cluster"
)

// dataFolder returns a data folder in which a server can have a private cluster, even if the tests run
// as root: PostgreSQL's user must be able to enter it.
func dataFolder(t *testing.T) string {
	t.Helper()
	dir, err := cluster.MakeThrowawayDir("homeserver-test-data-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the data: %v", err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // see above
		t.Fatal(err)
	}
	return dir
}

// daemon is the program in a process of its own, which the test may kill.
type daemon struct {
	*process
	dataDir string
	http    string // the base URLs that it has announced
	https   string
}

// launch starts the program on a data folder, with a private cluster unless the variables say otherwise,
// and returns at once.
func launch(t *testing.T, dataDir string, environ ...string) *process {
	t.Helper()
	return launchCommand(t, append([]string{"HOMESERVER_DATA_DIR=" + dataDir}, environ...))
}

// launchCommand starts a command of the program that serves on free ports, and returns at once.
func launchCommand(t *testing.T, environ []string, args ...string) *process {
	t.Helper()
	// Not bound to the test's context, which would kill it before it could stop its PostgreSQL.
	p := &process{exec.Command(os.Args[0], args...), newWatched(), newWatched()} //nolint:gosec,noctx // this very binary; see above
	p.Env = append([]string{
		actAsProgram + "=1", "PATH=" + os.Getenv("PATH"), "HOMESERVER_LISTEN=localhost:0,tls://localhost:0",
	}, environ...)
	p.Stdout, p.Stderr = p.stdout, p.stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.Wait() // the test looks at ProcessState
		p.stdout.close()
		p.stderr.close()
	}()
	t.Cleanup(func() { p.end(syscall.SIGTERM) })
	return p
}

// end signals the process, if it still runs, and returns the exit code; -1 if a signal ended it.
func (p *process) end(sig syscall.Signal) int {
	_ = p.Process.Signal(sig) // it may have ended
	p.stdout.waitFor("the end of output")
	return p.ProcessState.ExitCode()
}

// serveFrom does what launch does, and returns once the server is ready.
func serveFrom(t *testing.T, dataDir string, environ ...string) *daemon {
	t.Helper()
	d := &daemon{process: launch(t, dataDir, environ...), dataDir: dataDir}
	if !d.stdout.waitFor(" is ready:") {
		t.Fatalf("did not start: %s", d.stderr)
	}
	// The announcement is written at once, so that what follows is there, too.
	d.http = regexp.MustCompile(`http://localhost:\d+`).FindString(d.stdout.String())
	d.https = regexp.MustCompile(`https://localhost:\d+`).FindString(d.stdout.String())
	return d
}

// client returns a client of the server that is not logged in.
func (d *daemon) client(t *testing.T) *matrixtest.Client {
	t.Helper()
	return matrixtest.At(t, d.http, &http.Client{Timeout: time.Minute, Transport: &http.Transport{}})
}

// clusterData returns where the server's PostgreSQL has its data.
func (d *daemon) clusterData() string { return filepath.Join(d.dataDir, "postgres/data") }

// postmaster returns the process number of the server's PostgreSQL.
func (d *daemon) postmaster(t *testing.T) int { return postmasterOf(t, d.clusterData()) }

// postmasterOf returns the process number of the PostgreSQL with the data.
func postmasterOf(t *testing.T, data string) int {
	t.Helper()
	var pid int
	// One that starts again makes the file anew.
	matrixtest.Until(t, "PostgreSQL says which process it is", func() bool {
		content, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
		if err == nil {
			first, _, _ := strings.Cut(string(content), "\n")
			pid, err = strconv.Atoi(first)
		}
		return err == nil
	})
	return pid
}

// anySession returns the process number of one of the server's sessions in PostgreSQL. That may still be
// recovering from what the test did before, however healthy the server was a moment ago.
func (d *daemon) anySession(t *testing.T) (pid int) {
	t.Helper()
	var err error
	matrixtest.Until(t, "PostgreSQL lists its sessions", func() bool {
		pid, err = d.askSession(t.Context())
		return err == nil
	})
	return pid
}

func (d *daemon) askSession(ctx context.Context) (pid int, err error) {
	url, err := cluster.RunningURL(filepath.Join(d.dataDir, "postgres"), "homeserver")
	if err != nil {
		return 0, err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	err = conn.QueryRow(ctx, `
		SELECT pid FROM pg_stat_activity WHERE application_name = 'homeserver' ORDER BY random() LIMIT 1`).Scan(&pid)
	return pid, err
}

// signalProcess sends a signal to a process that is there.
func signalProcess(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatalf("signal process %d: %v", pid, err)
	}
}

// processesOf lists the PostgreSQL with the data, and its sessions and workers.
// Where there is no /proc those are left out.
func processesOf(t *testing.T, data string) []int {
	t.Helper()
	pids := []int{postmasterOf(t, data)}
	folders, _ := filepath.Glob("/proc/[0-9]*/cwd") // the pattern is a good one
	for _, folder := range folders {
		if cwd, err := os.Readlink(folder); err == nil && cwd == data {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(folder))); err == nil && pid != pids[0] {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// killPostgres kills the server's PostgreSQL with all its processes. Where those cannot
// be listed, they end when they see that the first has.
func (d *daemon) killPostgres(t *testing.T) {
	t.Helper()
	for _, pid := range processesOf(t, d.clusterData()) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended already
	}
}

// get sends a GET request outside of the API and returns status and body.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode, string(body)
}

// untilHealthy waits until the server reaches its database.
func (d *daemon) untilHealthy(t *testing.T) {
	t.Helper()
	matrixtest.Until(t, "health", func() bool {
		status, _ := get(t, d.http+"/health")
		return status == http.StatusOK
	})
}

// untilWaiting waits until as many requests are being answered, as the server's metrics tell it.
func (d *daemon) untilWaiting(t *testing.T, requests int) {
	t.Helper()
	matrixtest.Until(t, "requests in flight", func() bool { return d.inFlight(t) == requests })
}

// inFlight returns how many requests are being answered, by the server's metrics.
func (d *daemon) inFlight(t *testing.T) int {
	t.Helper()
	_, metrics := get(t, regexp.MustCompile(`http://\S+/metrics`).FindString(d.stdout.String()))
	_, after, _ := strings.Cut(metrics, "\nhomeserver_http_requests_in_flight ")
	value, _, _ := strings.Cut(after, "\n")
	n, err := strconv.Atoi(value)
	if err != nil {
		t.Fatalf("the metrics do not tell how many requests are in flight: %q", value)
	}
	return n
}
