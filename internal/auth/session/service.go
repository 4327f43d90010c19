package session

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth/secret"
	"homeserver/internal/auth/uia"
	"homeserver/internal/cache"
	"homeserver/internal/clock"
	"homeserver/internal/journal"
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
	// Journal shows what is posted with changes of devices; nil: another process does.
	Journal *journal.Journal
	// TokenBytes and SeenBytes bound the memory for access tokens, and for the times
	// when devices were last seen; 0: [cache.UsualShare].
	TokenBytes, SeenBytes int
	// OnSeen, if set, is called with the address of each device that was seen, but for
	// those of guests, when that is written.
	OnSeen func(userID, ip string)
	Log    *slog.Logger
	Now    func() time.Time
	// Clock is what the end of tokens is waited by; nil: the real time.
	Clock *clock.Clock
}

// Service holds the rules of devices and tokens. It may be used concurrently once OnAdd,
// OnRemove and OnRename have been called for the last time.
type Service struct {
	o        Options
	cache    *tokenCache
	watches  *watches
	seen     *lastSeen
	onAdd    []func(ctx context.Context, tx pgx.Tx, userID, deviceID string) error
	onRemove []func(ctx context.Context, tx pgx.Tx, userID string, deviceIDs []string) error
	onRename []func(ctx context.Context, tx pgx.Tx, userID, deviceID string) error
	// onTokenLogin follows logins by tokens.
	onTokenLogin []func(ctx context.Context, tx pgx.Tx, token secret.Hash, userID, deviceID string) error
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

// OnAdd adds a hook that is called when a client logs in to, or adds, a device whose ID it has
// chosen, which may be there already: in that transaction. Its error refuses the device. It is
// meant for wiring, before the first request.
func (s *Service) OnAdd(follow func(ctx context.Context, tx pgx.Tx, userID, deviceID string) error) {
	s.onAdd = append(s.onAdd, follow)
}

// OnRemove adds a hook that is called whenever devices of a user are removed, in the
// transaction that does so and before their rows are gone: on a logout, a deletion, a change
// of password, a deactivation, where there are too many devices, and by the commands of the
// operator. Its error keeps the devices. It is meant for wiring, before the first request.
func (s *Service) OnRemove(follow func(ctx context.Context, tx pgx.Tx, userID string, deviceIDs []string) error) {
	s.onRemove = append(s.onRemove, follow)
}

// OnTokenLogin adds a hook that is called when a device has logged in by a token for one login, in that
// transaction, after OnAdd, and while the token is still there. Its error refuses the login. It is meant for wiring, before the first request.
func (s *Service) OnTokenLogin(follow func(ctx context.Context, tx pgx.Tx, token secret.Hash, userID, deviceID string) error) {
	s.onTokenLogin = append(s.onTokenLogin, follow)
}

// OnRename adds a hook that is called when the display name of a device has changed, in the
// transaction that changes it. Its error keeps the old name. It is meant for wiring, before
// the first request.
func (s *Service) OnRename(follow func(ctx context.Context, tx pgx.Tx, userID, deviceID string) error) {
	s.onRename = append(s.onRename, follow)
}

// showPosted returns when what hooks have posted to the journal's outbox is shown here. If
// that cannot be, the change is committed all the same, and is shown later.
func (s *Service) showPosted(ctx context.Context) {
	if s.o.Journal == nil || len(s.onRemove)+len(s.onRename) == 0 {
		return
	}
	if err := s.o.Journal.ShowPosted(ctx); err != nil && ctx.Err() == nil {
		s.o.Log.ErrorContext(ctx, "a change of devices is shown later", "error", err)
	}
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

// nowMS returns the present in milliseconds since the epoch.
func (s *Service) nowMS() int64 { return s.o.Now().UnixMilli() }
