package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth/identity"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/journal"
	"homeserver/internal/personal/search"
	"homeserver/internal/personal/thirdpartyinvite"
	"homeserver/internal/personal/turn"
	"homeserver/internal/personal/userdirectory"
	"homeserver/internal/profile"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/spaces"
	"homeserver/internal/safehttp"
	"homeserver/internal/server/config"
)

// discovery has the services that find events, people and rooms, and invite people.
type discovery struct {
	search      *search.Service
	users       *userdirectory.Service
	spaces      *spaces.Service
	invitations *thirdpartyinvite.Service
}

// newDiscovery makes these services. ignored returns the users that a user ignores.
func newDiscovery(
	cfg *config.Config, pool *pgxpool.Pool, entries *journal.Journal, r *rooms.Service, profiles *profile.Service, limits *ratelimit.Limits,
	ignored func(ctx context.Context, userID string) (map[string]bool, error), log *slog.Logger,
) *discovery {
	identities := identity.New(identity.Options{
		Servers:  cfg.Threepids.IdentityServers,
		Outgoing: safehttp.New(safehttp.Options{AllowedRanges: cfg.Outgoing.AllowedRanges, UserAgent: "homeserver " + cfg.ServerName}),
	})
	return &discovery{
		search:      search.New(search.Options{Pool: pool, Journal: entries, Rooms: r.Timeline, Ignored: ignored, Log: log}),
		users:       userdirectory.New(pool, entries, r.Timeline, profiles),
		spaces:      spaces.New(r.Timeline, r.Directory),
		invitations: thirdpartyinvite.New(entries, r, identities, limits),
	}
}

// newTurn makes the service of TURN servers.
func newTurn(cfg *config.Config, now func() time.Time) *turn.Service {
	t := cfg.Turn
	return turn.New(turn.Options{
		URIs: t.URIs, SharedSecret: string(t.SharedSecret), Username: t.Username, Password: string(t.Password),
		Lifetime: time.Duration(t.TTL) * time.Second, AllowGuests: t.AllowGuests, Now: now,
	})
}
