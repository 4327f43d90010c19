package session

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth/uia"
	"homeserver/internal/cache"
	"homeserver/internal/journal/replica"
)

// defaultTokenLifetime is how long an access token lives that can be refreshed.
const defaultTokenLifetime = time.Hour

// Options sets up a Service.
type Options struct {
	Pool *pgxpool.Pool
	// ServerName is the part of user IDs after the colon.
	ServerName string
	// Stages is interactive authentication, for operations that a token alone does not
	// allow.
	Stages *uia.Service
	// AccessTokenLifetime is how long an access token lives whose client can
	// refresh it; 0 means one hour. Other access tokens do not expire.
	AccessTokenLifetime time.Duration
	// Channel says which tokens other processes have revoked; nil: they are found out
	// half a minute later.
	Channel *replica.Channel
	// TokenBytes and SeenBytes bound the memory for access tokens, and for the times
	// when devices were last seen; 0: [cache.UsualShare].
	TokenBytes, SeenBytes int
	// OnSeen, if set, is called with the address of each device that was seen, but for
	// those of guests, when that is written.
	OnSeen func(userID, ip string)
	Log    *slog.Logger
	Now    func() time.Time
}

// Service holds the rules of devices and tokens. It may be used concurrently.
type Service struct {
	o       Options
	cache   *tokenCache
	watches *watches
	seen    *lastSeen
}

// New makes a Service on a migrated database. It starts nothing: internal/auth calls
// Tidy once a minute, WriteSeen when it stops, and Recheck for as long as it runs.
func New(o Options) *Service {
	if o.AccessTokenLifetime == 0 {
		o.AccessTokenLifetime = defaultTokenLifetime
	}
	s := &Service{o: o, cache: newTokenCache(o.TokenBytes), watches: newWatches(), seen: newLastSeen(o.SeenBytes)}
	if o.Channel != nil {
		o.Channel.Handle("tokens", func(userID string) {
			s.cache.forgetUser(userID)
			s.watches.suspect(userID)
		})
		o.Channel.OnMissed(func() {
			s.cache.forgetAll()
			s.watches.suspect("")
		})
	}
	return s
}

// Tidy writes when devices were last seen, and deletes expired rows.
func (s *Service) Tidy(ctx context.Context) error {
	return errors.Join(
		s.WriteSeen(ctx),
		deleteLoginTokensBefore(ctx, s.o.Pool, s.nowMS()),
		deleteOpenIDTokensBefore(ctx, s.o.Pool, s.nowMS()),
	)
}

// Caches returns how the caches are used.
func (s *Service) Caches() cache.Caches {
	return cache.Caches{"access_tokens": s.cache.stats, "sightings": s.seen.stats}
}

// nowMS is the present in milliseconds since the epoch.
func (s *Service) nowMS() int64 { return s.o.Now().UnixMilli() }
