package server

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"homeserver/internal/server/config"
)

// contextFor returns a context for what happens after a test's own context has ended.
func contextFor(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

// hasIPv6 reports whether this machine has the address ::1.
func hasIPv6(t *testing.T) bool {
	t.Helper()
	socket, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "[::1]:0")
	if err != nil {
		return false
	}
	return socket.Close() == nil
}

func connects(t *testing.T, address string) error {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// listening returns a server that has opened its sockets and does not answer.
func listening(t *testing.T, addresses ...string) (*Server, error) {
	t.Helper()
	cfg := config.Default()
	cfg.Listen = nil
	for _, a := range addresses {
		cfg.Listen = append(cfg.Listen, config.Listener{Address: a})
	}
	s := &Server{cfg: cfg}
	t.Cleanup(func() { shutDown(t, s) })
	_, err := s.listen(t.Context())
	return s, err
}

func TestLocalhostIsEveryLoopbackAddressOnOnePort(t *testing.T) {
	t.Parallel()
	s, err := listening(t, "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(s.Addresses()[0].Address)
	if err != nil || host != "localhost" || port == "0" {
		t.Fatalf("the address is %v, %v", s.Addresses(), err)
	}
	if err := connects(t, "127.0.0.1:"+port); err != nil {
		t.Error(err)
	}
	if hasIPv6(t) {
		if err := connects(t, "[::1]:"+port); err != nil {
			t.Error(err)
		}
	}
}

func TestAddressesKeepTheirOrderAndGetTheirPorts(t *testing.T) {
	t.Parallel()
	s, err := listening(t, "127.0.0.1:0", "localhost:0", ":0")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"127.0.0.1", "localhost", ""} {
		host, port, err := net.SplitHostPort(s.Addresses()[i].Address)
		if err != nil || host != want || port == "0" {
			t.Errorf("%d: got %s, want %s and a port", i, s.Addresses()[i], want)
		}
	}
}

func TestAddressInUseIsAnErrorThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for _, held := range []string{"127.0.0.1:0", "[::1]:0"} {
		other, err := new(net.ListenConfig).Listen(t.Context(), "tcp", held)
		if err != nil {
			continue // a machine without IPv6
		}
		_, port, err := net.SplitHostPort(other.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		s, err := listening(t, "localhost:0", "localhost:"+port)
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "--listen") {
			t.Errorf("%s: got %v", held, err)
		}
		free := s.Addresses()[0].Address
		shutDown(t, s)
		if err := connects(t, free); err == nil {
			t.Errorf("%s is held after a start that failed", free)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAddressOfAnotherMachineIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := listening(t, "192.0.2.1:0"); err == nil || !strings.Contains(err.Error(), "listen on 192.0.2.1:0") {
		t.Errorf("got %v", err)
	}
}
