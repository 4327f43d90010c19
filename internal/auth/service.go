package auth

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/auth/session"
	"homeserver/internal/auth/threepid"
	"homeserver/internal/auth/uia"
	"homeserver/internal/cache"
	"homeserver/internal/clock"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/journal"
	"homeserver/internal/journal/replica"
)

const (
	// tidyInterval is the time between two writes of last-seen times from memory.
	tidyInterval = time.Minute
	// lastTidyTimeout bounds the final write at shutdown.
	lastTidyTimeout = 5 * time.Second
)

// Options sets up a Service.
type Options struct {
	// ServerName is the part of user IDs after the colon.
	ServerName string
	// Argon is the cost of a password hash; the zero value means the default.
	Argon ArgonParams
	// MinPasswordLength is the least number of characters of a new password.
	// With 0 every password but the empty one is accepted.
	MinPasswordLength int
	// NoPasswordLogin refuses POST /login with a password. The pages of this server take it still.
	NoPasswordLogin bool
	// RegistrationEnabled allows anybody to make an account.
	RegistrationEnabled bool
	// Policy is what is asked of those who register.
	Policy RegistrationPolicy
	// SharedSecret allows registration to everybody who knows it; empty: to nobody.
	SharedSecret string
	// MayMake returns whether a user may be made by an application service, "": by anybody
	// else; nil: any may.
	MayMake func(service, userID string) error
	// GuestsEnabled allows anybody to make a guest account.
	GuestsEnabled bool
	// Stages is interactive authentication; nil: one with the stages of this package
	// only.
	Stages *uia.Service
	// Threepids knows the addresses of users; nil: none can be proved.
	Threepids *threepid.Service
	// Limits bounds wrong passwords; nil: there are no limits.
	Limits *ratelimit.Limits
	// AccessTokenLifetime is how long an access token lives whose client can
	// refresh it; 0 means one hour. Other access tokens do not expire.
	AccessTokenLifetime time.Duration
	// Channel receives the tokens that other processes have revoked; nil: they are read
	// half a minute later.
	Channel *replica.Channel
	// Journal handles what follows a deactivation, and shows what is posted with changes of
	// devices; nil: another process does.
	Journal *journal.Journal
	// Shares bounds the caches.
	Shares Shares
	// Logger logs errors in the background; nil means slog.Default.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now. Clock is what is waited by, for the end of tokens and to
	// tidy up; nil: the real time.
	Now   func() time.Time
	Clock *clock.Clock
}

// Shares is how many bytes access tokens, when devices were seen last, and from where users
// were logged in may take in memory; 0: [cache.UsualShare].
type Shares struct{ Tokens, Sightings, Familiar int }

// Service holds the rules of accounts and passwords. It is safe for
// concurrent use once OnDeactivate and OnErase have been called for the last time.
type Service struct {
	// Sessions are the devices and tokens of the accounts.
	Sessions *session.Service

	pool   *pgxpool.Pool
	o      Options
	hasher *hasher
	nonces *nonces
	// mayRegister refuses names, where it is not nil.
	mayRegister func(ctx context.Context, userID string) error
	leave       []func(ctx context.Context, userID string) error
	erase       []func(ctx context.Context, userID string) error
	forget      []func(ctx context.Context, tx pgx.Tx, userID string) error
	directory   Directory // nil: there is none

	stop    context.CancelFunc
	workers sync.WaitGroup
}

// New makes a Service on a migrated database. It starts nothing: see Start.
func New(pool *pgxpool.Pool, o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Stages == nil {
		o.Stages = uia.New(pool, o.Now)
	}
	if o.Threepids == nil {
		o.Threepids = threepid.New(threepid.Options{Pool: pool, Stages: o.Stages, Now: o.Now})
	}
	s := &Service{pool: pool, o: o, hasher: newHasher(o.Argon, o.Shares.Familiar), nonces: newNonces(o.SharedSecret)}
	s.Sessions = session.New(session.Options{
		Pool: pool, ServerName: o.ServerName, Stages: o.Stages, AccessTokenLifetime: o.AccessTokenLifetime, Channel: o.Channel, Journal: o.Journal,
		TokenBytes: o.Shares.Tokens, SeenBytes: o.Shares.Sightings, OnSeen: s.hasher.familiar.addSeen, Log: o.Logger, Now: o.Now, Clock: o.Clock,
	})
	if o.Journal != nil {
		o.Journal.Handle(kindDeactivation, s.finishDeactivation)
	}
	o.Stages.Register(uia.StagePassword, uia.Stage{Check: s.checkPasswordStage})
	return s
}

// Start begins the background work: writing when devices were last seen, removing
// expired rows, and ending requests whose token another process has revoked. Only Stop
// ends it, and not the end of ctx. It must be called once at most.
func (s *Service) Start(ctx context.Context) {
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.workers.Go(func() {
		s.logFailure(s.Sessions.LastAddresses(ctx, maxRecalled, s.hasher.familiar.addSeen))
		s.Sessions.Recheck(ctx)
	})
	s.workers.Go(func() {
		ticker := s.o.Clock.NewTicker(tidyInterval)
		defer ticker.Stop()
		for {
			s.logFailure(s.tidy(ctx))
			select {
			case <-ticker.C:
			case <-ctx.Done():
				last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTidyTimeout)
				defer cancel()
				s.logFailure(s.Sessions.WriteSeen(last))
				return
			}
		}
	})
}

// Stop ends the background work and waits for its last write. The pool must still
// be open. It does nothing where Start was not called.
func (s *Service) Stop() {
	if s.stop == nil {
		return
	}
	s.stop()
	s.workers.Wait()
}

// tidy does each piece of background work once.
func (s *Service) tidy(ctx context.Context) error {
	return errors.Join(
		s.Sessions.Tidy(ctx),
		s.o.Stages.DeleteExpired(ctx),
	)
}

// logFailure logs an error of background work. The work is tried again in the next
// round, so that nothing else is to be done.
func (s *Service) logFailure(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		s.o.Logger.Error("background work on accounts", "error", err)
	}
}

// nowMS returns the present in milliseconds since the epoch.
func (s *Service) nowMS() int64 { return s.o.Now().UnixMilli() }

// Collectors returns the metrics of passwords, to be registered once.
func (s *Service) Collectors() []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "homeserver_password_hashes_running", Help: "Passwords being hashed at the moment.",
		}, func() float64 { return float64(s.hasher.all.Held()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "homeserver_password_hashes_waiting", Help: "Passwords that wait to be hashed.",
		}, func() float64 { return float64(s.hasher.networks.Held() - s.hasher.all.Held()) }),
	}
}

// Caches returns how the caches are used.
func (s *Service) Caches() cache.Caches {
	all := s.Sessions.Caches()
	all["familiar_addresses"] = s.hasher.familiar.known.Stats
	return all
}
