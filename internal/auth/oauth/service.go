package oauth

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth"
	"homeserver/internal/auth/uia"
	"homeserver/internal/clock"
)

// Path is where all endpoints and pages of this API begin. It is below /_matrix, as
// reverse proxies pass that on.
const Path = "/_matrix/oauth"

// defaultTokenLifetime is how long access tokens live unless that is configured.
const defaultTokenLifetime = 5 * time.Minute

// tidyInterval is the time between two removals of what has expired.
const tidyInterval = 10 * time.Minute

// Options sets up a Service.
type Options struct {
	Pool *pgxpool.Pool
	// Accounts are whose sessions are made.
	Accounts *auth.Service
	// Stages is interactive authentication, of which users approve a request on the page of the account.
	Stages *uia.Service
	// BaseURL is where clients and browsers reach the server; empty: the API is off.
	BaseURL string
	// ServerName is the part of user IDs after the colon.
	ServerName string
	// AccessTokenLifetime is how long an access token lives; 0 means five minutes.
	AccessTokenLifetime time.Duration
	Log                 *slog.Logger
	// Now is the clock; nil means time.Now. Clock is what the removal of what has expired goes by; nil: the real time.
	Now   func() time.Time
	Clock *clock.Clock
}

// Service holds the rules of the API. It may be used concurrently.
type Service struct {
	o       Options
	stop    context.CancelFunc
	workers sync.WaitGroup
}

// New makes a Service on a migrated database. It starts nothing: see Start.
func New(o Options) *Service {
	o.BaseURL = strings.TrimSuffix(o.BaseURL, "/")
	if o.AccessTokenLifetime == 0 {
		o.AccessTokenLifetime = defaultTokenLifetime
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Service{o: o}
	o.Accounts.OnNewPassword(deletePending)
	if s.Enabled() {
		o.Stages.RegisterPage(s.AccountURL() + "?action=" + ActionResetKeys)
	}
	return s
}

// Enabled reports whether the API is on. Nil is off.
func (s *Service) Enabled() bool { return s != nil && s.o.BaseURL != "" }

// Secure reports whether browsers reach the server by https.
func (s *Service) Secure() bool {
	u, err := url.Parse(s.o.BaseURL)
	return err == nil && u.Scheme == "https"
}

// Start begins the removal of what has expired. Only Stop ends it, and not the end of ctx. It
// must be called once at most.
func (s *Service) Start(ctx context.Context) {
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.workers.Go(func() {
		ticker := s.o.Clock.NewTicker(tidyInterval)
		defer ticker.Stop()
		for {
			if err := s.tidy(ctx); err != nil && !errors.Is(err, context.Canceled) {
				s.o.Log.Error("background work on sign-ins by OAuth", "error", err)
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	})
}

// Stop ends the background work. It does nothing where Start was not called.
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
		deleteCodesBefore(ctx, s.o.Pool, s.nowMS()-usedCodeMemory.Milliseconds()),
		deleteDeviceCodesBefore(ctx, s.o.Pool, s.nowMS()-usedCodeMemory.Milliseconds()),
		deleteBrowsersBefore(ctx, s.o.Pool, s.nowMS()-browserLifetime.Milliseconds()),
		s.removeUnusedClients(ctx),
	)
}

// nowMS returns the present in milliseconds since the epoch.
func (s *Service) nowMS() int64 { return s.o.Now().UnixMilli() }
