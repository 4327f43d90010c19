package sso

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth"
	"homeserver/internal/auth/uia"
	"homeserver/internal/matrix"
)

const (
	// FlowLifetime is how long a person may take to sign in at the provider, and after that to choose an account.
	FlowLifetime = 10 * time.Minute
	// TokenLifetime is how long the app may take to log in by the token that it gets. The specification
	// recommends about five seconds; a phone that changes from its browser to the app needs longer.
	TokenLifetime = 30 * time.Second
	// maxSubjectBytes bounds what a provider calls a person or a session, and maxURLBytes the address of an
	// app: both have to fit into a cookie.
	maxSubjectBytes = 255
	maxURLBytes     = 1500
)

// The paths of the pages, which are below /_matrix since reverse proxies pass that on.
const (
	Path         = "/_matrix/static/client/sso/"
	CallbackPath = Path + "callback"
	StartPath    = Path + "start"
	AccountPath  = Path + "account"
	FinishPath   = Path + "finish"
	LogoutPath   = Path + "logout/{idpId}"
)

// Options sets up a Service.
type Options struct {
	Pool      *pgxpool.Pool
	Accounts  *auth.Service
	Stages    *uia.Service
	Providers []ProviderOptions
	// Directory is the LDAP directory; nil: there is none.
	Directory *DirectoryOptions
	// BaseURL is the public address of this server, to which providers send browsers back.
	BaseURL string
	// TrustedClients are the hosts of apps to which people are sent on without being asked.
	TrustedClients []string
	// SetDisplayName sets the name of a new account that is shown.
	SetDisplayName func(ctx context.Context, userID, name string) error
	// Secret is known to all processes of this server and to nobody else.
	Secret []byte
	// UserAgent is what providers see of this server.
	UserAgent string
	Log       *slog.Logger
	Now       func() time.Time
}

// Service signs users in. It may be used concurrently.
type Service struct {
	o         Options
	sealer    *sealer
	providers []*provider
	directory *directory // nil: there is none
}

// New makes a Service on a migrated database. It registers the stage m.login.sso where there are providers.
func New(o Options) (*Service, error) {
	sealer, err := newSealer(o.Secret)
	if err != nil {
		return nil, err
	}
	s := &Service{o: o, sealer: sealer}
	for _, p := range o.Providers {
		s.providers = append(s.providers, newProvider(p, strings.TrimSuffix(o.BaseURL, "/")+CallbackPath, o.UserAgent, o.Now))
	}
	o.Accounts.Sessions.OnAdd(func(ctx context.Context, tx pgx.Tx, userID, deviceID string) error {
		return deleteDevices(ctx, tx, userID, []string{deviceID})
	})
	o.Accounts.Sessions.OnTokenLogin(copyToken)
	if o.Directory != nil {
		s.directory = newDirectory(*o.Directory)
		o.Accounts.AskDirectory(s)
	}
	if len(s.providers) > 0 {
		o.Stages.Register(uia.StageSSO, uia.Stage{Check: s.checkStage, Instead: s.mayConfirm})
	}
	return s, nil
}

// Provider is a provider as clients see it: one of identity_providers of "m.login.sso flow schema".
type Provider struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Icon  string `json:"icon,omitzero"`
	Brand string `json:"brand,omitzero"`
}

// Providers lists the providers in the order in which they are configured.
func (s *Service) Providers() []Provider {
	list := make([]Provider, len(s.providers))
	for i, p := range s.providers {
		list[i] = Provider{p.ID, p.Name, p.Icon, p.Brand}
	}
	return list
}

// provider returns the provider with an ID; M_NOT_FOUND.
func (s *Service) provider(id string) (*provider, error) {
	i := slices.IndexFunc(s.providers, func(p *provider) bool { return p.ID == id })
	if i < 0 {
		return nil, matrix.Errorf(matrix.NotFound, "This server has no identity provider of that ID")
	}
	return s.providers[i], nil
}

// Erase releases the identities of a user.
func (s *Service) Erase(ctx context.Context, userID string) error {
	return deleteIdentities(ctx, s.o.Pool, userID)
}

// Secure reports whether browsers reach this server by TLS.
func (s *Service) Secure() bool { return strings.HasPrefix(s.o.BaseURL, "https://") }

// CheckRedirect checks where an app wants a person to be sent. M_MISSING_PARAM, M_INVALID_PARAM.
func CheckRedirect(text string) error {
	_, err := checkRedirect(text)
	return err
}

// checkRedirect checks where an app wants a person to be sent with a login token: M_MISSING_PARAM, and
// M_INVALID_PARAM for what is no address of an app, or one at which a script would run.
func checkRedirect(text string) (*url.URL, error) {
	if text == "" {
		return nil, matrix.Errorf(matrix.MissingParam, "redirectUrl is missing")
	}
	to, err := url.Parse(text)
	if err != nil || len(text) > maxURLBytes || to.Scheme == "" {
		return nil, matrix.Errorf(matrix.InvalidParam, "redirectUrl must be an absolute URL of at most %d bytes", maxURLBytes)
	}
	isWeb := to.Scheme == "https" || to.Scheme == "http"
	if isWeb && (to.Host == "" || to.User != nil) || slices.Contains([]string{"javascript", "data", "vbscript", "blob", "file", "about"}, to.Scheme) {
		return nil, matrix.Errorf(matrix.InvalidParam, "redirectUrl must be the address of an app")
	}
	return to, nil
}

// trusts reports whether people are sent on to an app without being asked.
func (s *Service) trusts(to *url.URL) bool {
	return to.Scheme == "https" && slices.Contains(s.o.TrustedClients, to.Host)
}

// reject makes an answer to a person of an error of a provider, which the log has whole.
func (s *Service) reject(ctx context.Context, err error) error {
	if refusal, ok := errors.AsType[*matrix.Error](err); ok {
		return refusal
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.o.Log.WarnContext(ctx, "a sign-in at an identity provider did not succeed", "error", err)
	refusal := matrix.Errorf(matrix.Unknown, "The identity provider could not confirm who you are. Try again; if that does not help, ask the administrator of this server.")
	refusal.Status = 502
	return refusal
}
