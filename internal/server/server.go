package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"homeserver/internal/appservice/registration"
	"homeserver/internal/httpapi"
	"homeserver/internal/server/certs"
	"homeserver/internal/server/config"
)

// Server is a running homeserver.
type Server struct {
	cfg     *config.Config
	log     *slog.Logger
	bridges registration.List
	certs   *certs.Source
	// core has the services. See current.
	*core
	// renewal, unless nil, replaces the core.
	renewal *renewal

	// prepare is called before the server answers.
	prepare   []preparation
	hooks     hooks
	addresses []config.Listener
	// connections counts those of clients.
	connections *connections
	metrics     string
	failed      chan error
	ready       atomic.Bool
	// stops has the functions that stop each started part, in the order of their
	// starts.
	stops []func(context.Context) error
	// stopMetrics stops serving the operator's listener; nil: there is none.
	stopMetrics func() error
	// endWarming ends what warm has begun.
	endWarming func()
}

// Start brings up a server and returns once it answers. The context is for the start
// alone; the server runs until Shutdown, or until Failed reports that it cannot.
func Start(ctx context.Context, cfg *config.Config, log *slog.Logger, options ...Option) (*Server, error) {
	log = slog.New(httpapi.LogRequestIDs(log.Handler()))
	s := &Server{cfg: cfg, log: log, failed: make(chan error, 1), connections: newConnections(cfg, log), endWarming: func() {}}
	for _, option := range options {
		option(s)
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Shutdown(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	if err := makeDataDir(s.cfg.DataDir); err != nil {
		return err
	}
	// The key, the certificates and the application services come early, so that a mistake in them is reported
	// before PostgreSQL starts.
	_, err := loadSigner(s.cfg)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if s.certs, err = certs.Load(s.cfg, s.log); err != nil {
		return err
	}
	s.bridges, err = registration.Load(s.cfg.AppServiceFiles, s.cfg.ServerName)
	if err != nil {
		return err
	}
	// So do the addresses, which another program may use. Clients that connect already
	// wait a moment.
	listeners, err := s.listen(ctx)
	if err != nil {
		return err
	}
	s.onStop(func(context.Context) error {
		if s.stopMetrics == nil {
			return nil
		}
		return s.stopMetrics()
	})
	s.hooks.oauthURL = s.cfg.OAuthURL(s.addresses)
	owner := &owner{cfg: s.cfg, mayMakeKey: true}
	db, err := openDatabase(ctx, s.cfg, owner.claim, s.log)
	if err != nil {
		return err
	}
	s.onStop(func(ctx context.Context) error {
		if s.core != nil {
			s.current().pool.Close() // on a database of the same cluster, if another core has taken over
		}
		return db.close(ctx)
	})
	if _, err := net.InterfaceAddrs(); err != nil {
		s.log.WarnContext(ctx, "no previews are made and no identity servers asked: the addresses of this machine cannot be looked up", "error", err)
	}
	if s.core, err = s.newCore(ctx, s.cfg, db, owner.signer, s.prepare); err != nil {
		return err
	}
	s.onStop(func(ctx context.Context) error {
		s.endWarming()
		return s.current().stopServices(ctx)
	})
	if s.renewal != nil && db.cluster != nil {
		s.renewal.cluster, s.renewal.signer = db.cluster, owner.signer
		s.onStop(s.renewal.stop)
		if s.renewal.early {
			if err := s.keepBase(ctx); err != nil {
				return err
			}
		}
	}
	if err := s.open(s.core); err != nil {
		return err
	}
	s.ready.Store(true)
	s.serveMetrics(listeners.metrics)
	s.serve(listeners)
	s.onStop(s.stepBack)
	if s.renewal == nil {
		s.warm()
	}
	return nil
}

// warmTime bounds how long memory is filled after the start.
const warmTime = 5 * time.Second

// warm fills memory with what is probably asked for first, while the server answers.
func (s *Server) warm() {
	ctx, end := context.WithTimeout(context.Background(), warmTime)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() {
			if p := recover(); p != nil { // nobody waits for it
				s.log.Error("filling memory panicked", "panic", p, "stack", string(debug.Stack()))
			}
		}()
		if err := s.core.services.stream.sync.Warm(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "memory is not filled: what is asked for first takes longer", "error", err)
		}
	}()
	s.endWarming = func() {
		end()
		<-ended
	}
}

// makeDataDir makes the data folder. Other users may enter it: files that they must not
// read have permissions of their own, and PostgreSQL, which never runs as root, has to
// reach its folder in it.
func makeDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // see above
		return fmt.Errorf("make the data folder: %w", err)
	}
	return nil
}

// stepBack makes /ready answer that no more requests are wanted, and goes on answering
// them for the configured time: for load balancers, which need a while to notice.
func (s *Server) stepBack(ctx context.Context) error {
	s.ready.Store(false)
	if s.cfg.ShutdownDelay == 0 {
		return nil
	}
	select {
	case <-time.After(time.Duration(s.cfg.ShutdownDelay) * time.Second):
	case <-ctx.Done():
	}
	return nil
}

// onStop adds a function that Shutdown calls before those that were added earlier.
func (s *Server) onStop(stop func(context.Context) error) { s.stops = append(s.stops, stop) }

// Shutdown stops the server and returns when it has stopped. Work that lasts longer
// than the context is cut off: requests are broken, PostgreSQL is ended at once;
// nothing that was acknowledged is lost by that. Further calls do nothing.
func (s *Server) Shutdown(ctx context.Context) error {
	var errs []error
	for len(s.stops) > 0 {
		last := len(s.stops) - 1
		stop := s.stops[last]
		s.stops = s.stops[:last]
		errs = append(errs, stop(ctx))
	}
	return errors.Join(errs...)
}

// Failed reports, once, an error after which the server cannot serve any more. The
// caller then shuts it down.
func (s *Server) Failed() <-chan error { return s.failed }

// Addresses returns where clients are served, in the order of the configuration, with the ports that
// were found for port 0.
func (s *Server) Addresses() []config.Listener { return s.addresses }

// MetricsAddress returns host:port of the listener for Prometheus, or "" if there is none.
func (s *Server) MetricsAddress() string { return s.metrics }

// CAFile returns the certificate that clients must trust to verify the server's, or ""
// if they trust it already.
func (s *Server) CAFile() string { return s.certs.CAFile() }

// ReloadCertificates loads new TLS certificates at once, and returns the result.
func (s *Server) ReloadCertificates() (certs.Reloaded, error) { return s.certs.Reload() }

// Handler returns the client-server API without the network.
func (s *Server) Handler() http.Handler { return s.current().api.Handler() }
