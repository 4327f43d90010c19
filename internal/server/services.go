package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"homeserver/internal/api"
	"homeserver/internal/auth"
	"homeserver/internal/config"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/profile"
	"homeserver/internal/rooms"
	"homeserver/internal/syncstream"
)

// healthTimeout bounds the question of /health to the database.
const healthTimeout = 2 * time.Second

// services are the capabilities of the server, wired to each other.
type services struct {
	journal  *journal.Journal
	auth     *auth.Service
	sync     *syncstream.Service
	api      *api.API
	registry *prometheus.Registry
}

// newServices makes the services on a migrated database. It starts none of them.
func newServices(cfg *config.Config, pool *pgxpool.Pool, signer *event.Signer, log *slog.Logger) (*services, error) {
	entries := journal.New(pool, journal.Options{
		WindowBytes: int(cfg.Limits.LiveWindow), QueueBytes: int(cfg.Limits.WriteQueue), Log: log,
	})
	accounts := newAuth(cfg, pool, log)
	profiles := profile.New(pool, accounts)
	roomService, err := rooms.New(rooms.Options{
		Pool: pool, Journal: entries, Profiles: profiles, Signer: signer, Log: log,
	})
	if err != nil {
		return nil, err
	}
	profiles.OnChange(roomService.UpdateProfile)
	accounts.OnDeactivate(roomService.LeaveAll)
	sync, err := syncstream.New(pool, entries, roomService, nil)
	if err != nil {
		return nil, err
	}
	registry, err := newRegistry(entries)
	if err != nil {
		return nil, err
	}
	handler, err := api.New(api.Options{
		Auth: accounts, Profile: profiles, Journal: entries, Rooms: roomService, Stream: sync,
		ServerName: cfg.ServerName, PublicBaseURL: cfg.PublicBaseURL, TrustedProxies: cfg.TrustedProxies,
		MaxBodyBytes: int64(cfg.Limits.RequestBody),
		Healthy:      healthy(pool),
		Logger:       log, Metrics: registry,
	})
	if err != nil {
		return nil, err
	}
	return &services{journal: entries, auth: accounts, sync: sync, api: handler, registry: registry}, nil
}

// newAuth makes the service of accounts, which commands use without the others.
func newAuth(cfg *config.Config, pool *pgxpool.Pool, log *slog.Logger) *auth.Service {
	limits := cfg.RateLimits
	return auth.New(pool, auth.Options{
		ServerName:          cfg.ServerName,
		MinPasswordLength:   cfg.Password.MinLength,
		RegistrationEnabled: cfg.RegistrationOpen(),
		SharedSecret:        string(cfg.Registration.SharedSecret),
		RateLimits: auth.RateLimits{
			Disabled:     !limits.Enabled,
			Login:        auth.Limit(limits.Login),
			FailedLogin:  auth.Limit(limits.FailedLogin),
			Registration: auth.Limit(limits.Registration),
		},
		Logger: log,
	})
}

// newRegistry returns a registry with what the process and the journal tell of themselves.
func newRegistry(j *journal.Journal) (*prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	own := []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	}
	for _, c := range append(own, j.Collectors()...) {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return registry, nil
}

// healthy tells whether the database answers.
func healthy(pool *pgxpool.Pool) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, healthTimeout)
		defer cancel()
		return pool.Ping(ctx)
	}
}

// start starts the background work. It goes on until stop, and not only for as long as ctx.
func (s *services) start(ctx context.Context) error {
	if err := s.journal.Start(ctx); err != nil {
		return fmt.Errorf("start the journal: %w", err)
	}
	s.auth.Start(context.WithoutCancel(ctx))
	return nil
}

// stop ends the background work; the journal writes what is queued.
func (s *services) stop(ctx context.Context) error {
	s.auth.Stop()
	if err := s.journal.Stop(ctx); err != nil {
		return errors.Join(errors.New("stop the journal before it has written everything"), err)
	}
	return nil
}
