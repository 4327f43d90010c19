package main

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

// environment returns that of a server with a database and a data folder of its own, on free ports.
func environment(t *testing.T, more ...string) []string {
	t.Helper()
	return append([]string{
		"HOMESERVER_DATABASE_URL=" + postgrestest.URL(t),
		"HOMESERVER_DATA_DIR=" + t.TempDir(),
		"HOMESERVER_LISTEN=localhost:0,tls://localhost:0",
	}, more...)
}

// served returns the environment of a server that has been started once, and is down.
func served(t *testing.T) []string {
	t.Helper()
	environ := environment(t)
	start(t, environ).end(t)
	return environ
}

func TestServeAnnouncesACommandThatWorks(t *testing.T) {
	t.Parallel()
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("needs curl")
	}
	r := start(t, environment(t))
	line := regexp.MustCompile(`(?m)^  curl (-d .*)$`).FindStringSubmatch(r.stdout.String())
	if line == nil {
		t.Fatalf("no command in %s", r.stdout)
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", curl+" -sS --noproxy '*' "+line[1]).CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"user_id":"@example:localhost"`) {
		t.Errorf("%s: %s (%v)", line[0], out, err)
	}
	authority := regexp.MustCompile(`--cacert (\S+)`).FindStringSubmatch(r.stdout.String())
	if authority == nil {
		t.Fatalf("no authority in %s", r.stdout)
	}
	out, err = exec.CommandContext(t.Context(), curl, "-sS", "--noproxy", "*", "--cacert", authority[1], r.url(t, "https")+"/_matrix/client/versions").CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"versions"`) {
		t.Errorf("%s (%v)", out, err)
	}
	if code := r.end(t); code != exitOK {
		t.Errorf("code %d: %s", code, r.stderr)
	}
}

func TestServeWithClosedRegistrationTellsHowToMakeAccounts(t *testing.T) {
	t.Parallel()
	r := start(t, environment(t, "HOMESERVER_SERVER_NAME=example.org"), "serve", "--listen", "tls://127.0.0.1:0")
	for _, want := range []string{"homeserver example.org is ready", "homeserver user create NAME", "--cacert", "/_matrix/client/versions"} {
		if !strings.Contains(r.stdout.String(), want) {
			t.Errorf("%q is missing in %s", want, r.stdout)
		}
	}
	if strings.Contains(r.stdout.String(), "/register") {
		t.Errorf("a command that is refused is recommended: %s", r.stdout)
	}
}

func TestServeAnnouncesMetrics(t *testing.T) {
	t.Parallel()
	r := start(t, environment(t, "HOMESERVER_METRICS_LISTEN=127.0.0.1:0"))
	page := regexp.MustCompile(`http://127\.0\.0\.1:\d+/metrics`).FindString(r.stdout.String())
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, page, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("got %s", response.Status)
	}
}

func TestServeThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	got := runWith(t, nil, environment(t, "HOMESERVER_TLS_CERTIFICATE=/does/not/exist", "HOMESERVER_TLS_KEY=/does/not/exist"))
	if got.code != exitFailure || !strings.Contains(got.stderr, "/does/not/exist") || got.stdout != "" {
		t.Errorf("got %+v", got)
	}
}

func TestServeStoppedWhileItStarts(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stderr strings.Builder
	a := &app{environ: environment(t), stdout: &stderr, stderr: &stderr}
	if code := a.run(ctx, nil); code != exitFailure || !strings.Contains(stderr.String(), "stopped before it was ready") {
		t.Errorf("code %d: %s", code, stderr.String())
	}
}

func TestHealthFindsTheServerByItsConfiguration(t *testing.T) {
	t.Parallel()
	r := start(t, environment(t))
	plain := strings.TrimPrefix(r.url(t, "http"), "http://")
	secure := "tls://" + strings.TrimPrefix(r.url(t, "https"), "https://")
	for _, listen := range []string{plain, secure, secure + "," + plain, strings.Replace(plain, "localhost", "", 1)} {
		if got := runWith(t, nil, []string{"HOMESERVER_LISTEN=" + listen}, "health"); got.code != exitOK || got.stdout != "ok\n" {
			t.Errorf("%s: got %+v", listen, got)
		}
	}
	r.end(t)
	if got := runArgs(t, "health", "--listen", plain); got.code != exitFailure || !strings.Contains(got.stderr, "does not answer") {
		t.Errorf("after the end: got %+v", got)
	}
}

func TestHealthOfASickServer(t *testing.T) {
	t.Parallel()
	sick := matrixtest.New(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no database", http.StatusServiceUnavailable)
	}))
	got := runArgs(t, "health", "--listen", strings.TrimPrefix(sick.BaseURL, "http://"))
	if got.code != exitFailure || !strings.Contains(got.stderr, "503") || !strings.Contains(got.stderr, "no database") {
		t.Errorf("got %+v", got)
	}
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	got := runWith(t, nil, environment(t), "migrate")
	if got.code != exitOK || !strings.Contains(got.stdout, "already") {
		t.Errorf("got %+v", got)
	}
}

// process is the program in a process of its own.
type process struct {
	*exec.Cmd
	stdout, stderr *watched
}

// spawn starts the program and returns once it has announced itself.
func spawn(t *testing.T, environ []string) *process {
	t.Helper()
	p := &process{exec.CommandContext(t.Context(), os.Args[0]), newWatched(), newWatched()}
	p.Env = append(environ, actAsProgram+"=1", "PATH="+os.Getenv("PATH"))
	p.Stdout, p.Stderr = p.stdout, p.stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		// The test looks at ProcessState.
		_ = p.Wait()
		p.stdout.close()
		p.stderr.close()
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-exited
	})
	if !p.stdout.waitFor(" is ready:") {
		t.Fatalf("did not start: %s", p.stderr)
	}
	return p
}

func (p *process) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := p.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

func TestSignalsEndTheProcessInAnOrderlyWay(t *testing.T) {
	t.Parallel()
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		p := spawn(t, environment(t))
		p.signal(t, sig)
		if !p.stderr.waitFor("msg=stopped") {
			t.Errorf("%v: not stopped: %s", sig, p.stderr)
		}
		p.stdout.waitFor("the end of output")
		if code := p.ProcessState.ExitCode(); code != exitOK {
			t.Errorf("%v: code %d: %s", sig, code, p.stderr)
		}
	}
}

func TestSecondSignalEndsTheProcessAtOnce(t *testing.T) {
	t.Parallel()
	p := spawn(t, environment(t))
	// A request whose body never comes holds up an orderly end for 15 seconds.
	hold := holdRequest(t, regexp.MustCompile(`http://(\S+)`).FindStringSubmatch(p.stdout.String())[1])
	defer func() { _ = hold.Close() }()
	p.signal(t, os.Interrupt)
	if !p.stderr.waitFor("shutting down") {
		t.Fatalf("the signal was not heard: %s", p.stderr)
	}
	if code, took := p.endByMore(t, os.Interrupt); code != exitFailure || took > 14*time.Second {
		t.Errorf("code %d after %v: %s", code, took, p.stderr)
	}
}

// endByMore signals a process, which has been signalled before, until it ends. It returns the exit code, and how
// long that took.
func (p *process) endByMore(t *testing.T, sig os.Signal) (code int, took time.Duration) {
	t.Helper()
	started := time.Now()
	matrixtest.Until(t, "the process ends", func() bool { return p.Process.Signal(sig) != nil })
	p.stdout.waitFor("the end of output")
	return p.ProcessState.ExitCode(), time.Since(started)
}

// make once passed on a SIGTERM that the server had been sent too, which ended it like a second one: without a word, and
// without the last lines of the log.
func TestSignalThatComesTwiceIsOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal, 2)
		started := time.Now()
		var stopped, gone time.Duration
		go func() {
			awaitSignals(signals, func() { stopped = time.Since(started) })
			gone = time.Since(started)
		}()
		for _, at := range []time.Duration{time.Second, time.Second, time.Second + signalEcho/2, 5 * time.Second} {
			<-time.After(at - time.Since(started))
			if signals <- syscall.SIGTERM; gone != 0 {
				t.Errorf("gone before the signal at %v", at)
			}
			synctest.Wait()
		}
		if stopped != time.Second || gone != 5*time.Second {
			t.Errorf("stops at %v, gone at %v", stopped, gone)
		}
	})
}

func TestHangUpReloadsTheCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "cert.pem")
	// The certificate of a server's own authority is one like any other.
	own := start(t, environment(t))
	pair, err := os.ReadFile(strings.Replace(regexp.MustCompile(`--cacert (\S+)`).FindStringSubmatch(own.stdout.String())[1], "ca.pem", "server.pem", 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pair, 0o600); err != nil {
		t.Fatal(err)
	}
	p := spawn(t, environment(t, "HOMESERVER_TLS_CERTIFICATE="+file, "HOMESERVER_TLS_KEY="+file))
	p.signal(t, syscall.SIGHUP)
	if !p.stderr.waitFor("SIGHUP: the TLS certificate has not changed") {
		t.Errorf("the signal ended the process: %s", p.stderr)
	}
	// The same with another end is another file.
	if err := os.WriteFile(file, append(pair, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(t, syscall.SIGHUP)
	if !p.stderr.waitFor("SIGHUP: took up a new TLS certificate") || !strings.Contains(p.stderr.String(), "from="+file+" expires=") {
		t.Errorf("does not say what it did: %s", p.stderr)
	}
	if err := os.WriteFile(file, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(t, syscall.SIGHUP)
	if !p.stderr.waitFor("SIGHUP: the TLS certificate cannot be read again") {
		t.Errorf("does not say what is wrong: %s", p.stderr)
	}
}

// A program that reads what the server prints, and ends, must not end the server.
func TestServerDiesOfAClosedPipe(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{exec.CommandContext(t.Context(), os.Args[0]), newWatched(), newWatched()} //nolint:gosec // this very binary
	p.Env = append(environment(t), actAsProgram+"=1", "PATH="+os.Getenv("PATH"))
	p.Stdout, p.Stderr = writer, writer
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close() // the process has its own
	lines := bufio.NewScanner(reader)
	base := ""
	for base == "" && lines.Scan() {
		base = regexp.MustCompile(`^  (http://\S+)$`).ReplaceAllString(lines.Text(), "$1")
		if !strings.HasPrefix(base, "http://") {
			base = ""
		}
	}
	_ = reader.Close()
	// Each request is a line of the log, which nobody reads any more.
	for range 3 {
		matrixtest.At(t, base, http.DefaultClient).Do(http.MethodGet, "/_matrix/client/versions", nil).OK()
	}
	p.signal(t, os.Interrupt)
	if err := p.Wait(); err != nil {
		t.Errorf("the server has ended with %v", err)
	}
}
