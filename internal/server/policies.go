package server

import (
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth"
	"homeserver/internal/journal"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/policy"
	"homeserver/internal/server/config"
)

// newPolicies makes the service of policy lists, by which others let users do things.
func newPolicies(cfg *config.Config, pool *pgxpool.Pool, entries *journal.Journal, r *rooms.Service, accounts *auth.Service, log *slog.Logger) *policy.Service {
	s := policy.New(policy.Options{
		Pool: pool, Journal: entries, Directory: r.Directory, ServerName: cfg.ServerName,
		Lists: cfg.PolicyLists.Rooms, DryRun: cfg.PolicyLists.DryRun, Admins: accounts.Admins, Log: log,
	})
	r.ScreenBy(s.Screen)
	accounts.RegisterBy(s.MayRegister)
	return s
}
