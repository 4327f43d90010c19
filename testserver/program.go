package testserver

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// How long a server may take. A start compiles the server, where a test belongs to its source tree.
const (
	startTimeout = 5 * time.Minute
	stopTimeout  = 30 * time.Second
)

// environmentPrefix begins the variables that configure a server.
const environmentPrefix = "HOMESERVER_"

// start runs a server until the end of the test, and reads where it is.
func start(t testing.TB, s *settings, server *Server) {
	t.Helper()
	command := s.command(t)
	if command == nil {
		missing(t, "the program homeserver was not found: put it in PATH, or name it with HOMESERVER_BIN")
	}
	command = append(command, "dev", "--json", "--exit-at-eof", "--listen", "127.0.0.1:0", "--listen", "tls://localhost:0")
	cmd := exec.Command(command[0], append(command[1:], s.flags...)...) //nolint:gosec,noctx // what the test names; the pipe below ends it
	// A server of tests is as its flags say, whatever else this machine has configured.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, environmentPrefix) })
	log := &tail{}
	cmd.Stderr = log
	// The server ends when this pipe is closed, which the end of this process does as well.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatalf("testserver: %v", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("testserver: %v", err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("testserver: start the server: %v", err)
	}
	watch := time.AfterFunc(startTimeout, func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	watch.Stop()
	if err != nil {
		_ = cmd.Wait() // its log says why
		refused(t, log.String())
	}
	t.Cleanup(func() {
		watch := time.AfterFunc(stopTimeout, func() { _ = cmd.Process.Kill() })
		defer watch.Stop()
		if err := errors.Join(stdin.Close(), cmd.Wait()); err != nil {
			t.Errorf("testserver: the server did not end in an orderly way: %v\n%s", err, log)
		} else if t.Failed() {
			t.Logf("testserver: the log of the server:\n%s", log)
		}
	})
	if err := json.Unmarshal(line, server); err != nil {
		t.Fatalf("testserver: the server says where it is by %q: %v", line, err)
	}
}

// refused ends a test whose server did not start.
func refused(t testing.TB, log string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(log), "\n")
	if last := lines[len(lines)-1]; strings.Contains(last, "no PostgreSQL") {
		missing(t, last)
	}
	t.Fatalf("testserver: the server did not start:\n%s", log)
}

// missing skips a test that this machine cannot run. A build server is there to run it.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("testserver: %s", what)
	}
	t.Skipf("testserver: %s", what)
}

// command returns the words that run the program; nil: it is nowhere.
func (s *settings) command(t testing.TB) []string {
	t.Helper()
	for _, named := range []string{s.program, os.Getenv(environmentPrefix + "BIN")} {
		if named == "" {
			continue
		}
		if _, err := exec.LookPath(named); err != nil {
			t.Fatalf("testserver: the program homeserver: %v", err)
		}
		return []string{named}
	}
	if root := sourceTree(); root != "" {
		return []string{"go", "run", "-C", root, "./cmd/homeserver"}
	}
	if found, err := exec.LookPath("homeserver"); err == nil {
		return []string{found}
	}
	return nil
}

// sourceTree returns the folder of the server's own sources, if the test belongs to them; else "".
func sourceTree() string {
	dir, err := os.Getwd() // a test runs in the folder of its package
	if err != nil {
		return ""
	}
	for ; ; dir = filepath.Dir(dir) {
		content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		switch {
		case err == nil && strings.HasPrefix(string(content), "module homeserver\n"):
			return dir
		case err == nil || dir == filepath.Dir(dir): // of another module, or none
			return ""
		}
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// maxTail is how much is kept.
const maxTail = 64 << 10

// Write implements io.Writer.
func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if over := len(l.text) - maxTail; over > 0 {
		l.text = append(l.text[:0], l.text[over:]...)
	}
	return len(p), nil
}

// String returns what is kept.
func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}
