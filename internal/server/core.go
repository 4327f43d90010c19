package server

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/event"
	"homeserver/internal/server/config"
)

// core is what a server has on one database: all but its listeners, its certificates and its PostgreSQL.
type core struct {
	cfg      *config.Config
	pool     *pgxpool.Pool
	services *services
	api      *API
	registry *prometheus.Registry
	// clients is the handler for them.
	clients http.Handler
	// running are the requests that it serves, where it may be replaced.
	running sync.WaitGroup
	// stopped is done once: by a renewal that fails half-way, or at the end.
	stopped sync.Once
}

// newCore makes the services on an open database, starts them, and has them prepared.
func (s *Server) newCore(ctx context.Context, cfg *config.Config, db *database, signer *event.Signer, prepare []preparation) (c *core, err error) {
	c = &core{cfg: cfg, pool: db.pool}
	if c.services, err = newServices(cfg, s.hooks, s.bridges, db, signer, s.log); err != nil {
		return nil, err
	}
	if c.registry, err = s.newRegistry(c); err != nil {
		return nil, err
	}
	if c.api, err = s.newAPI(c); err != nil {
		return nil, err
	}
	if err := c.services.parts.start(ctx); err != nil {
		return nil, err
	}
	for _, do := range prepare {
		if err := do(ctx, c.services.shared(cfg.ServerName)); err != nil {
			return nil, errors.Join(err, c.services.parts.stop(context.WithoutCancel(ctx)))
		}
	}
	return c, nil
}

// open makes the handler for clients, who are served by the core from then on.
func (s *Server) open(c *core) (err error) {
	c.clients = c.api.Handler()
	if s.hooks.wrap != nil {
		c.clients, err = s.hooks.wrap(c.api.handler, c.services.limits)
	}
	return err
}

// stop stops the services and closes the pool.
func (c *core) stop(ctx context.Context) error {
	err := c.stopServices(ctx)
	c.pool.Close()
	return err
}

// stopServices stops the services.
func (c *core) stopServices(ctx context.Context) (err error) {
	c.stopped.Do(func() { err = c.services.parts.stop(ctx) })
	return err
}

// serveClient serves a request of a client by the core of the moment.
func (s *Server) serveClient(w http.ResponseWriter, r *http.Request) {
	if s.renewal == nil {
		s.core.clients.ServeHTTP(w, r)
		return
	}
	c := s.enter()
	defer c.running.Done()
	c.clients.ServeHTTP(w, r)
}

// enter returns the core of the moment, with one more request.
func (s *Server) enter() *core {
	s.renewal.swapping.Lock()
	defer s.renewal.swapping.Unlock()
	s.core.running.Add(1)
	return s.core
}

// current returns the core of the moment.
func (s *Server) current() *core {
	if s.renewal == nil {
		return s.core
	}
	s.renewal.swapping.Lock()
	defer s.renewal.swapping.Unlock()
	return s.core
}

// release answers the requests that wait.
func (s *Server) release() {
	c := s.current()
	c.services.parts.release()
	if around, ok := c.clients.(releaser); ok {
		around.Release()
	}
}
