package server

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
	"homeserver/internal/server/config"
)

const (
	// ownFiles is how many of its open files the server needs for itself: the database,
	// media, the log.
	ownFiles = 256
	// refusalsAtOnce bounds the closed connections that get an answer; others are
	// closed at once.
	refusalsAtOnce = 64
	// refusalTimeout bounds the sending of that answer.
	refusalTimeout = 2 * time.Second
)

// refusal is the answer to any request on a connection that is one too many.
var refusal = wireError(http.StatusServiceUnavailable, matrix.Unknown, "The server has too many clients",
	http.Header{"Retry-After": {"5"}})

// connections counts the connections of clients to all listeners, in total and for each address.
type connections struct {
	total, each int
	// uncounted are the addresses that many clients come from, such as proxies': only the total counts there.
	uncounted func(netip.Addr) bool
	refusing  chan struct{}

	mu      sync.Mutex
	open    int
	callers map[string]int

	gauge   prometheus.GaugeFunc
	refused prometheus.Counter
}

// newConnections makes the count. The total is no more than the process may open files.
func newConnections(cfg *config.Config, log *slog.Logger) *connections {
	c := &connections{
		total: cfg.Limits.Connections, each: cfg.Limits.ConnectionsPerAddress,
		refusing: make(chan struct{}, refusalsAtOnce), callers: map[string]int{},
		uncounted: func(address netip.Addr) bool {
			for _, proxy := range cfg.TrustedProxies {
				if proxy.Contains(address) {
					return true
				}
			}
			return address.IsLoopback()
		},
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil && uint64(c.total)+ownFiles > files.Cur {
		c.total = max(1, int(files.Cur)-ownFiles)
		log.LogAttrs(context.Background(), slog.LevelInfo, "the process may open fewer files than limits.connections",
			slog.Uint64("open_files", files.Cur), slog.Int("connections", c.total))
	}
	c.gauge = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "homeserver_connections", Help: "Open connections of clients.",
	}, c.count)
	c.refused = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "homeserver_connections_refused_total",
		Help: "Connections of clients that were one too many (limits.connections and limits.connections_per_address).",
	})
	return c
}

func (c *connections) count() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return float64(c.open)
}

// Collectors returns the metrics.
func (c *connections) Collectors() []prometheus.Collector {
	return []prometheus.Collector{c.gauge, c.refused}
}

// take counts a connection and returns the function that ends that, once; nil: it is
// one too many.
func (c *connections) take(conn net.Conn) func() {
	key := ""
	if peer, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil && !c.uncounted(peer.Addr().Unmap()) {
		key = ratelimit.AddressKey(peer.Addr())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open >= c.total || key != "" && c.callers[key] >= c.each {
		c.refused.Inc()
		return nil
	}
	c.open++
	if key != "" {
		c.callers[key]++
	}
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.open--
		if key == "" {
			return
		}
		if c.callers[key]--; c.callers[key] == 0 {
			delete(c.callers, key)
		}
	})
}

// countingListener is a listener whose connections are counted.
type countingListener struct {
	net.Listener
	*connections
	// plain is true if clients speak HTTP without TLS, so that a refusal can be
	// answered.
	plain bool
}

// Accept returns the next connection that is not one too many.
func (l *countingListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if leave := l.take(conn); leave != nil {
			counted := &countedConn{Conn: conn, leave: leave}
			if l.plain {
				return &plainConn{Conn: counted}, nil
			}
			return counted, nil
		}
		l.refuse(conn)
	}
}

// refuse closes a connection, after a word where that costs little.
func (l *countingListener) refuse(conn net.Conn) {
	tell := func() {}
	if l.plain {
		tell = func() { sendRefusal(conn) }
	}
	select {
	case l.refusing <- struct{}{}:
		go func() {
			defer func() { <-l.refusing }()
			tell()
			_ = conn.Close() // there is nothing left to lose
		}()
	default:
		_ = conn.Close()
	}
}

// sendRefusal waits for the beginning of the request, since an answer before it would be lost.
func sendRefusal(conn net.Conn) {
	if err := conn.SetDeadline(time.Now().Add(refusalTimeout)); err != nil {
		return
	}
	if _, err := conn.Read(make([]byte, 8<<10)); err != nil {
		return
	}
	// An error means that the client does not read the answer.
	_, _ = conn.Write(refusal)
}

// countedConn is a connection that counts until it is closed.
type countedConn struct {
	net.Conn
	leave func()
}

// Close closes the connection, which then counts no more.
func (c *countedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
