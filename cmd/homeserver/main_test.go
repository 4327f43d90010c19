package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"homeserver/internal/postgres/postgrestest"
)

// actAsProgram makes the test binary the program itself, for tests that need a process of its own.
const actAsProgram = "HOMESERVER_TEST_ACT_AS_PROGRAM"

func TestMain(m *testing.M) {
	// Nothing that this machine has configured may disturb the tests.
	configFile = ""
	if os.Getenv(actAsProgram) != "" {
		main()
	}
	postgrestest.Main(m)
}

// result is how a run of the program ended.
type result struct {
	code           int
	stdout, stderr string
}

// runWith runs the program inside the test.
func runWith(t *testing.T, stdin io.Reader, environ []string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{environ: environ, stdin: stdin, stdout: &stdout, stderr: &stderr}
	code := a.run(t.Context(), args)
	return result{code, stdout.String(), stderr.String()}
}

func runArgs(t *testing.T, args ...string) result {
	t.Helper()
	return runWith(t, strings.NewReader(""), nil, args...)
}

// running is a server that was started by the command line, inside the test.
type running struct {
	stdout, stderr *watched
	stop           context.CancelFunc
	done           chan int
}

// start runs a command that serves, and returns once it has announced where. It is stopped when the test
// ends, if not before.
func start(t *testing.T, environ []string, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{stdout: newWatched(), stderr: newWatched(), stop: cancel, done: make(chan int, 1)}
	a := &app{environ: environ, stdin: strings.NewReader(""), stdout: r.stdout, stderr: r.stderr}
	go func() {
		r.done <- a.run(ctx, args)
		r.stdout.close()
		r.stderr.close()
	}()
	t.Cleanup(func() { r.end(t) })
	if !r.stdout.waitFor(" is ready:") {
		t.Fatalf("did not start: %s", r.stderr)
	}
	return r
}

// end stops the server and returns the exit code.
func (r *running) end(t *testing.T) int {
	t.Helper()
	r.stop()
	code := <-r.done
	r.done <- code
	return code
}

// url returns the first address with the scheme in what was announced.
func (r *running) url(t *testing.T, scheme string) string {
	t.Helper()
	for line := range strings.Lines(r.stdout.String()) {
		if url := strings.TrimSpace(line); strings.HasPrefix(url, scheme+"://") {
			return url
		}
	}
	t.Fatalf("no %s in %s", scheme, r.stdout)
	return ""
}

// watched is output that a test can wait for.
type watched struct {
	mu     sync.Mutex
	text   bytes.Buffer
	closed bool
	more   chan struct{} // closed and replaced at each write
}

func newWatched() *watched { return &watched{more: make(chan struct{})} }

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.more)
	w.more = make(chan struct{})
	return w.text.Write(p)
}

func (w *watched) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	close(w.more)
	w.more = make(chan struct{})
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// waitFor waits for the text, and returns false if the program ended without it.
func (w *watched) waitFor(text string) bool {
	for {
		w.mu.Lock()
		found, closed, more := strings.Contains(w.text.String(), text), w.closed, w.more
		w.mu.Unlock()
		if found || closed {
			return found
		}
		<-more
	}
}
