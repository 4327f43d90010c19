package server

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/api"
	"homeserver/internal/api/client"
	"homeserver/internal/httpapi"
	"homeserver/internal/personal/reports"
)

// healthTimeout bounds the question of /health to the database.
const healthTimeout = 2 * time.Second

// newAPI makes the API on the services.
func (s *Server) newAPI(pool *pgxpool.Pool, registry *prometheus.Registry) (*api.API, error) {
	cfg, on := s.cfg, s.services
	return api.New(api.Options{
		Services: client.Services{
			Auth: on.auth, Stages: on.stages, Threepids: on.threepids, Profile: on.profiles, Journal: on.journal, Rooms: on.rooms, Media: on.media,
			Stream: on.stream.sync, Data: on.stream.data, Receipts: on.stream.receipts, Typing: on.stream.typing, Presence: on.stream.presence, Push: on.stream.push,
			Searches: on.found.search, Directory: on.found.users, Invitations: on.found.invitations, Turn: newTurn(cfg),
			Reports:    reports.New(reports.Options{Pool: pool, Rooms: on.rooms.Timeline, Log: s.log}),
			ServerName: cfg.ServerName, PublicBaseURL: cfg.PublicBaseURL, MediaClosed: !cfg.Media.Open,
		},
		Healthy: healthy(pool), Ready: s.ready.Load,
		HTTP: httpapi.Options{
			TrustedProxies: cfg.TrustedProxies, Room: on.disks.database.Check,
			MaxBodyBytes: int64(cfg.Limits.RequestBody), Limits: on.limits, Bounds: newBounds(cfg.Limits, cfg.Budget()),
			Logger: s.log, NoRequestLines: !cfg.Log.Requests, Metrics: registry,
		},
	})
}

// healthy reports whether the database answers.
func healthy(pool *pgxpool.Pool) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, healthTimeout)
		defer cancel()
		return pool.Ping(ctx)
	}
}
