package server

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/api/client"
	"homeserver/internal/api/legacy"
	"homeserver/internal/api/pages"
	apiserver "homeserver/internal/api/server"
	"homeserver/internal/auth/rendezvous"
	"homeserver/internal/httpapi"
	"homeserver/internal/personal/emailpusher"
	"homeserver/internal/personal/reports"
	"homeserver/internal/server/config"
)

// APIOptions has all that an API needs.
type APIOptions struct {
	client.Services
	// Mails are those about what users have not read.
	Mails *emailpusher.Service

	// Front says what people find at /.
	Front pages.Front

	// Healthy, if set, says for /health whether the server can do its work.
	Healthy func(context.Context) error
	// Ready, if set, says for /ready whether the server wants to be sent requests.
	Ready func() bool

	HTTP httpapi.Options // the accounts of Auth are its Sessions
}

// API answers requests by all endpoints there are.
type API struct {
	engine  *httpapi.Engine
	handler *httpapi.Endpoints
}

// NewAPI makes the API with all its routes. The error is one of wiring: metrics
// that are registered twice, a route that is there twice.
func NewAPI(o APIOptions) (*API, error) {
	if o.Auth != nil { // tests without services have none
		o.HTTP.Sessions = o.Auth.Sessions
	}
	if o.AppServices != nil {
		o.HTTP.AppServices = o.AppServices
	}
	var err error
	if o.HTTP.UnknownPage, err = pages.Unknown(o.ServerName); err != nil {
		return nil, err
	}
	engine, err := httpapi.New(o.HTTP)
	if err != nil {
		return nil, err
	}
	handler, err := engine.Handler(Routes(o))
	if err != nil {
		return nil, err
	}
	return &API{engine, handler}, nil
}

// Routes returns the route table: every endpoint of the server, once.
func Routes(o APIOptions) []httpapi.Route {
	return slices.Concat(
		client.Routes(o.Services),
		legacy.Routes(legacy.Services{Auth: o.Auth, Rooms: o.Rooms, Stream: o.Stream, Presence: o.Presence, ServerName: o.ServerName, Now: o.Now}),
		apiserver.Routes(apiserver.Services{Auth: o.Auth, Invitations: o.Invitations, Healthy: o.Healthy, Ready: o.Ready}),
		pages.Routes(pages.Services{Auth: o.Auth, OAuth: o.OAuth, Profile: o.Profile, Stages: o.Stages, Threepids: o.Threepids, SSO: o.SSO, Mails: o.Mails, ServerName: o.ServerName, Front: o.Front}),
	)
}

// Handler returns the whole client-server API. It is to be served as [httpapi.Engine.Handler] says.
func (a *API) Handler() http.Handler { return a.handler }

// MetricsHandler serves the metrics of the server in Prometheus' format. It is
// meant for a listener of its own, since it has no access control.
func (a *API) MetricsHandler() http.Handler { return a.engine.MetricsHandler() }

// supportOf returns whom people turn to about the server. User IDs begin with an @, as no
// e-mail address does.
func supportOf(cfg config.Support) client.Support {
	s := client.Support{Page: cfg.Page}
	add := func(contacts []string, role string) {
		for _, contact := range contacts {
			c := client.Contact{Role: role}
			if strings.HasPrefix(contact, "@") {
				c.UserID = contact
			} else {
				c.Email = contact
			}
			s.Contacts = append(s.Contacts, c)
		}
	}
	add(cfg.Admins, "m.role.admin")
	add(cfg.Security, "m.role.security")
	return s
}

// frontOf returns what people find at /.
func frontOf(cfg *config.Config) pages.Front {
	front := pages.Front{Address: cfg.PublicBaseURL, Help: cfg.Support.Page}
	switch shown := cfg.FrontPageShown(); shown {
	case config.FrontPageTutorial:
	case config.FrontPagePlain:
		front.Plain = true
	default:
		front.Redirect = shown
	}
	return front
}

// healthTimeout bounds the question of /health to the database.
const healthTimeout = 2 * time.Second

// newAPI makes the API on the services of a core.
func (s *Server) newAPI(c *core) (*API, error) {
	cfg, on, pool := c.cfg, c.services, c.pool
	return NewAPI(APIOptions{
		Mails: on.mails,
		Front: frontOf(cfg),
		Services: client.Services{
			Auth: on.auth, OAuth: on.oauth, Rendezvous: rendezvous.New(s.hooks.clock.Now), Stages: on.stages, Threepids: on.threepids, SSO: on.sso, Profile: on.profiles, Journal: on.journal, Rooms: on.rooms, Delayed: on.delayed, Spaces: on.found.spaces, Media: on.media, Previews: on.previews,
			Stream: on.stream.sync, Data: on.stream.data, Receipts: on.stream.receipts, Typing: on.stream.typing, Presence: on.stream.presence, Push: on.stream.push,
			Keys: on.keys, ToDevice: on.toDevice, KeyBackups: on.backups, AppServices: on.bridges, RegistrationTokens: on.tokens,
			Searches: on.found.search, Directory: on.found.users, Invitations: on.found.invitations, Turn: newTurn(cfg, s.hooks.clock.Now),
			Reports:    reports.New(reports.Options{Pool: pool, Rooms: on.rooms.Timeline, Now: s.hooks.clock.Now, Log: s.log}),
			Now:        s.hooks.clock.Now,
			ServerName: cfg.ServerName, PublicBaseURL: cfg.PublicBaseURL, MediaClosed: !cfg.Media.Open,
			LiveKitURLs: cfg.Calls.LiveKitURLs, Support: supportOf(cfg.Support), PolicyServerKey: cfg.PolicyServer.Ed25519Key,
		},
		Healthy: healthy(pool), Ready: s.ready.Load,
		HTTP: httpapi.Options{
			TrustedProxies: cfg.TrustedProxies, Room: on.disks.database.Check,
			MaxBodyBytes: int64(cfg.Limits.RequestBody), Limits: on.limits, Bounds: newBounds(cfg.Limits, cfg.Budget()),
			Logger: s.log, NoRequestLines: !cfg.Log.Requests, Metrics: c.registry,
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
