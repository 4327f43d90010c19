package server

import (
	"bytes"
	"context"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"
)

const (
	// readHeaderTimeout is for clients that open a connection and say little. Bodies and answers have
	// deadlines of their own, which the API sets for each request: one for all would end long polls.
	readHeaderTimeout = 10 * time.Second
	// idleTimeout is how long a client may keep its connection between two polls.
	idleTimeout = 3 * time.Minute
	// maxHeaderBytes has room for the longest URLs that are of use, filters as parameters included.
	maxHeaderBytes = 128 << 10
	// drainTimeout is how long requests may go on once the server shuts down.
	drainTimeout = 15 * time.Second
)

// serve answers clients on all their listeners until Shutdown.
func (s *Server) serve(on *listeners) {
	clients := http.HandlerFunc(s.serveClient)
	plain := s.newHTTPServer(s.certs.HTTPHandler(clients))
	refuseInJSON(plain)
	secure := s.newHTTPServer(clients)
	for _, server := range []*http.Server{plain, secure} {
		server.RegisterOnShutdown(s.release)
	}

	var running sync.WaitGroup
	run := func(server *http.Server, socket net.Listener) {
		running.Go(func() {
			if err := server.Serve(socket); !errors.Is(err, http.ErrServerClosed) {
				s.fail(err)
			}
		})
	}
	for _, l := range on.clients {
		for _, socket := range l.sockets {
			if l.TLS {
				run(secure, socket)
			} else {
				run(plain, socket)
			}
		}
	}
	s.onStop(func(ctx context.Context) error {
		err := drain(ctx, plain, secure)
		running.Wait()
		return err
	})
}

// drain closes the listeners at once, waits for the requests, and breaks off those that
// don't end in time.
func drain(ctx context.Context, servers ...*http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	errs := make([]error, len(servers))
	var draining sync.WaitGroup
	for i, server := range servers {
		draining.Go(func() {
			if err := server.Shutdown(ctx); err != nil {
				errs[i] = server.Close()
			}
		})
	}
	draining.Wait()
	return errors.Join(errs...)
}

func (s *Server) newHTTPServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(httpLog{s.log}, "", 0),
	}
}

// serveMetrics answers on the operator's listener until everything else is down, so that it can be
// watched how the server stops.
func (s *Server) serveMetrics(sockets []net.Listener) {
	metrics := s.newHTTPServer(s.metricsHandler())
	var running sync.WaitGroup
	for _, socket := range sockets {
		running.Go(func() {
			if err := metrics.Serve(socket); !errors.Is(err, http.ErrServerClosed) {
				s.fail(err)
			}
		})
	}
	s.stopMetrics = func() error {
		err := metrics.Close() // not orderly: a profile may be asked to last long
		running.Wait()
		return err
	}
}

// metricsHandler serves the operator's paths: /metrics, /health and /ready, and the
// profiles of net/http/pprof.
func (s *Server) metricsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) { s.current().api.MetricsHandler().ServeHTTP(w, r) })
	for _, path := range []string{"/health", "/ready"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { s.Handler().ServeHTTP(w, r) })
	}
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// fail reports the first error after which the server is of no use.
func (s *Server) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

// httpLog receives the messages of net/http.
type httpLog struct{ log *slog.Logger }

// Write logs one line. A failed TLS handshake is nearly always the client's doing, such as one that
// does not trust the certificate, and of no interest; but that ACME fails shows there too.
func (l httpLog) Write(line []byte) (int, error) {
	level := slog.LevelWarn
	if bytes.Contains(line, []byte("TLS handshake error")) && !bytes.Contains(line, []byte("acme")) {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, string(bytes.TrimSpace(line)))
	return len(line), nil
}
