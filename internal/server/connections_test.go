package server

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"homeserver/internal/server/config"
)

// dial connects to the server, which the end of the test undoes.
func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // the test may have closed it
	return conn
}

// ask sends a request on a connection and returns status and headers of the answer.
func ask(t *testing.T, conn net.Conn) (int, http.Header) {
	t.Helper()
	if _, err := io.WriteString(conn, "GET /_matrix/client/versions HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header
}

func TestTooManyConnectionsAreRefused(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Limits.Connections = 3
	s := mustStart(t, cfg)
	address := s.Addresses()[0].Address
	var open []net.Conn
	for range 3 {
		open = append(open, dial(t, address))
		if got, _ := ask(t, open[len(open)-1]); got != http.StatusOK {
			t.Fatalf("got %d", got)
		}
	}
	status, header := ask(t, dial(t, address))
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") != "5" {
		t.Errorf("got %d, Retry-After %q", status, header.Get("Retry-After"))
	}
	if got, _ := ask(t, open[0]); got != http.StatusOK {
		t.Errorf("one who was there before got %d", got)
	}
	if err := open[1].Close(); err != nil {
		t.Fatal(err)
	}
	for s.connections.count() == 3 {
		if t.Context().Err() != nil {
			t.Fatal("a closed connection still counts")
		}
	}
	if got, _ := ask(t, dial(t, address)); got != http.StatusOK {
		t.Errorf("one who came into the free place got %d", got)
	}
}

// addressed is a connection from anywhere.
type addressed struct {
	net.Conn
	from string
}

func (a addressed) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(a.from))
}

func TestConnectionsOfOneAddress(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Limits.ConnectionsPerAddress = 2
	cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	c := newConnections(cfg, slog.New(slog.DiscardHandler))
	leave := c.take(addressed{from: "192.0.2.1:1"})
	for _, test := range []struct {
		from string
		want bool
	}{
		{"192.0.2.1:2", true},
		{"192.0.2.1:3", false},
		{"[::ffff:192.0.2.1]:3", false},
		{"192.0.2.2:1", true},
		{"[2001:db8::1]:1", true},
		{"[2001:db8::2]:1", true},
		{"[2001:db8::3]:1", false},
		{"[2001:db8:0:1::1]:1", true},
		{"127.0.0.1:1", true}, {"127.0.0.1:2", true}, {"127.0.0.1:3", true},
		{"10.1.2.3:1", true}, {"10.1.2.3:2", true}, {"10.1.2.3:3", true},
	} {
		if got := c.take(addressed{from: test.from}) != nil; got != test.want {
			t.Errorf("%s is let in: %v, want %v", test.from, got, test.want)
		}
	}
	leave()
	leave()
	if c.take(addressed{from: "192.0.2.1:4"}) == nil || c.take(addressed{from: "192.0.2.1:5"}) != nil {
		t.Error("a connection that ends makes room for exactly one")
	}
}

func TestRefusedTLSConnectionIsClosed(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Limits.Connections = 1
	inner, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &countingListener{Listener: inner, connections: newConnections(cfg, slog.New(slog.DiscardHandler))}
	accepted := make(chan net.Conn, 2)
	go func() {
		defer close(accepted)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	address := inner.Addr().String()
	dial(t, address)
	first := <-accepted
	if _, err := dial(t, address).Read(make([]byte, 1)); err == nil {
		t.Error("the second connection stays open")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	dial(t, address)
	if conn := <-accepted; conn == nil {
		t.Error("no connection is accepted any more")
	}
	if err := inner.Close(); err != nil {
		t.Fatal(err)
	}
	<-accepted
}
