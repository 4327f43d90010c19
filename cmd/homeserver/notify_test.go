package main

import (
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// listenForStates listens like a service manager.
func listenForStates(t *testing.T, address string) *net.UnixConn {
	t.Helper()
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = manager.Close() })
	return manager
}

// next returns the next state that the service manager is told.
func next(t *testing.T, manager *net.UnixConn) string {
	t.Helper()
	buffer := make([]byte, 256)
	n, err := manager.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	return string(buffer[:n])
}

func TestServiceManagerIsTold(t *testing.T) {
	t.Parallel()
	address := filepath.Join(t.TempDir(), "notify")
	manager := listenForStates(t, address)
	p := spawn(t, environment(t, "NOTIFY_SOCKET="+address))
	if got := next(t, manager); got != "READY=1" {
		t.Errorf("got %q", got)
	}
	p.signal(t, syscall.SIGTERM)
	if got := next(t, manager); got != "STOPPING=1" {
		t.Errorf("got %q", got)
	}
	p.stdout.waitFor("the end of output")
	if code := p.ProcessState.ExitCode(); code != exitOK {
		t.Errorf("code %d: %s", code, p.stderr)
	}
}

func TestServiceManagerThatIsAway(t *testing.T) {
	t.Parallel()
	r := start(t, environment(t, "NOTIFY_SOCKET="+filepath.Join(t.TempDir(), "nobody")))
	if !r.stderr.waitFor("tell the service manager") || !strings.Contains(r.stderr.String(), "READY=1") {
		t.Errorf("it is not logged: %s", r.stderr)
	}
	if code := r.end(t); code != exitOK {
		t.Errorf("code %d: %s", code, r.stderr)
	}
}
