package sso

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/oauth2"

	"homeserver/internal/auth/secret"
	"homeserver/internal/matrix"
)

// Purpose is what a sign-in is for: for an app, which gets a login token, for the pages of this server, or to confirm
// a request of a session of interactive authentication.
type Purpose struct {
	// RedirectURL is the address of the app.
	RedirectURL string `json:"r,omitzero"`
	// Page is the path of a page of this server, which follows.
	Page string `json:"g,omitzero"`
	// Session is that of the interactive authentication.
	Session string `json:"u,omitzero"`
}

// begun is a sign-in on its way to the provider and back. The browser keeps it, sealed.
type begun struct {
	Provider  string  `json:"p"`
	Nonce     string  `json:"n"`
	Verifier  string  `json:"v"`
	Purpose   Purpose `json:"o"`
	ExpiresAt int64   `json:"e"`
}

// Begun is where a browser goes to sign in, and what it keeps until it comes back.
type Begun struct{ URL, State, Kept string }

// Begin begins a sign-in at a provider. M_NOT_FOUND for one that does not exist, M_MISSING_PARAM,
// M_INVALID_PARAM for where it leads.
func (s *Service) Begin(ctx context.Context, providerID string, purpose Purpose) (Begun, error) {
	p, err := s.provider(providerID)
	if err != nil {
		return Begun{}, err
	}
	if purpose.Session == "" && purpose.Page == "" {
		if _, err := checkRedirect(purpose.RedirectURL); err != nil {
			return Begun{}, err
		}
	}
	state := secret.New("")
	flow := begun{
		Provider: p.ID, Nonce: secret.New(""), Verifier: oauth2.GenerateVerifier(), Purpose: purpose,
		ExpiresAt: s.o.Now().Add(FlowLifetime).UnixMilli(),
	}
	address, err := p.address(ctx, state, flow)
	if err != nil {
		return Begun{}, s.reject(ctx, err)
	}
	kept, err := s.sealer.seal("begun "+state, flow)
	return Begun{address, state, kept}, err
}

// Answer is what a browser brings back from the provider, and what it has kept.
// Without a code the provider, or the person, has refused.
type Answer struct{ State, Code, Kept string }

// Arrival is a person who has signed in at a provider. The browser keeps it, sealed, until the end.
type Arrival struct {
	Identity identity `json:"i"`
	// ProviderSession is the session at the provider; "": it has not said which.
	ProviderSession string  `json:"d,omitzero"`
	Purpose         Purpose `json:"o"`
	// UserID is the account of the person; "": there is none yet.
	UserID string `json:"a,omitzero"`
	// Proposed is the user name for a new account, and DisplayName the name that is shown; "": none.
	Proposed    string `json:"l,omitzero"`
	DisplayName string `json:"t,omitzero"`
	// Key is in the forms and links that end the sign-in, so that no other site can.
	Key       string `json:"k"`
	ExpiresAt int64  `json:"e"`
}

// Return is called when a browser comes back from a provider. M_FORBIDDEN for what was not begun in this
// browser or has taken too long, and where the provider or the person has refused.
func (s *Service) Return(ctx context.Context, a Answer) (*Arrival, error) {
	var flow begun
	if err := s.sealer.open("begun "+a.State, a.Kept, &flow); err != nil || s.o.Now().UnixMilli() > flow.ExpiresAt {
		return nil, errLost()
	}
	p, err := s.provider(flow.Provider)
	if err != nil {
		return nil, errLost()
	}
	if a.Code == "" {
		return nil, matrix.Errorf(matrix.Forbidden, "%s has not signed you in", p.Name)
	}
	found, err := p.exchange(ctx, a.Code, flow)
	if err != nil {
		return nil, s.reject(ctx, err)
	}
	arrival := &Arrival{
		Identity: identity{p.ID, found.subject}, ProviderSession: found.session, Purpose: flow.Purpose,
		Proposed: localpart(fill(p.UserName, found.claims)), DisplayName: fill(p.DisplayName, found.claims),
		Key: secret.New(""), ExpiresAt: s.o.Now().Add(FlowLifetime).UnixMilli(),
	}
	if len(arrival.Proposed) > maxSubjectBytes {
		arrival.Proposed = ""
	}
	if len(arrival.DisplayName) > maxSubjectBytes {
		arrival.DisplayName = ""
	}
	if arrival.UserID, err = findUser(ctx, s.o.Pool, arrival.Identity); err != nil || arrival.UserID != "" {
		return arrival, err
	}
	if flow.Purpose.Session != "" {
		return nil, matrix.Errorf(matrix.Forbidden, "This account at %s belongs to nobody here", p.Name)
	}
	if p.Registration && p.FixedName && arrival.Proposed != "" {
		if err := s.Register(ctx, arrival, arrival.Proposed); err == nil {
			return arrival, nil
		}
		// The name cannot be had, or it is to be tried again: the person is asked.
	}
	return arrival, nil
}

func errLost() error {
	return matrix.Errorf(matrix.Forbidden, "This sign-in was begun in another browser, or too long ago. Begin again in your app.")
}

// Keep returns what the browser keeps of an arrival.
func (s *Service) Keep(a *Arrival) (string, error) { return s.sealer.seal("arrival", a) }

// Kept returns the arrival that a browser has kept, for a form or a link with its key; M_FORBIDDEN.
func (s *Service) Kept(kept, key string) (*Arrival, error) {
	var a Arrival
	if err := s.sealer.open("arrival", kept, &a); err != nil || s.o.Now().UnixMilli() > a.ExpiresAt || a.Key != key {
		return nil, errLost()
	}
	return &a, nil
}

// MayRegister reports whether the person may make a new account.
func (s *Service) MayRegister(a *Arrival) bool {
	p, err := s.provider(a.Identity.Provider)
	return err == nil && p.Registration
}

// ProviderOf returns the name of the provider at which the person has signed in.
func (s *Service) ProviderOf(a *Arrival) string {
	p, err := s.provider(a.Identity.Provider)
	if err != nil {
		return a.Identity.Provider
	}
	return p.Name
}

// Register makes an account for a person who has none, with a user name, and binds the identity to it.
// M_FORBIDDEN where people of the provider may not register, M_USER_IN_USE, M_INVALID_USERNAME, M_EXCLUSIVE.
func (s *Service) Register(ctx context.Context, a *Arrival, userName string) error {
	if !s.MayRegister(a) {
		return matrix.Errorf(matrix.Forbidden, "You need an account on this server first")
	}
	userID, err := s.o.Accounts.RegisterElsewhere(ctx, userName, func(tx pgx.Tx, userID string) error {
		return s.bind(ctx, tx, a.Identity, userID)
	})
	if err != nil {
		return err
	}
	a.UserID = userID
	s.nameNewUser(ctx, userID, a.DisplayName)
	return nil
}

// nameNewUser sets the name that is shown. The account exists already: without that name it is as good.
func (s *Service) nameNewUser(ctx context.Context, userID, name string) {
	if name == "" || s.o.SetDisplayName == nil {
		return
	}
	if err := s.o.SetDisplayName(ctx, userID, name); err != nil {
		s.o.Log.WarnContext(ctx, "a new user has no display name", "user", userID, "error", err)
	}
}

// Link binds the identity to an account that exists, whose password the person knows. Errors of
// [auth.Service.WithPassword]; M_FORBIDDEN for an identity that has an account by now.
func (s *Service) Link(ctx context.Context, a *Arrival, user, password string) error {
	userID, err := s.o.Accounts.WithPassword(ctx, user, password, func(tx pgx.Tx, userID string) error {
		return s.bind(ctx, tx, a.Identity, userID)
	})
	if err != nil {
		return err
	}
	a.UserID = userID
	return nil
}

// bind binds the identity to an account.
func (s *Service) bind(ctx context.Context, tx pgx.Tx, of identity, userID string) error {
	isNew, err := insertIdentity(ctx, tx, of, userID, s.o.Now().UnixMilli())
	if err == nil && !isNew {
		err = matrix.Errorf(matrix.Forbidden, "You have an account on this server already. Begin again in your app.")
	}
	return err
}

// Destination is the app to which a person is sent.
type Destination struct {
	// Name is its host, or the scheme that belongs to it.
	Name string
	// Trusted says that the operator trusts it, so that nobody is asked.
	Trusted bool
}

// Destination returns to which app an arrival leads.
func (s *Service) Destination(a *Arrival) (Destination, error) {
	to, err := checkRedirect(a.Purpose.RedirectURL)
	if err != nil {
		return Destination{}, err
	}
	name := to.Host
	if to.Scheme != "https" && to.Scheme != "http" {
		name = to.Scheme
	}
	return Destination{name, s.trusts(to)}, nil
}

// Finish returns the address of the app with a login token for the account of an arrival. M_FORBIDDEN for one
// without an account, M_USER_DEACTIVATED.
func (s *Service) Finish(ctx context.Context, a *Arrival) (string, error) {
	to, err := checkRedirect(a.Purpose.RedirectURL)
	if err != nil {
		return "", err
	}
	if a.UserID == "" {
		return "", matrix.Errorf(matrix.Forbidden, "You need an account on this server first")
	}
	token, err := s.o.Accounts.Sessions.IssueLoginToken(ctx, a.UserID, TokenLifetime, func(ctx context.Context, tx pgx.Tx, hash secret.Hash) error {
		return insertToken(ctx, tx, hash, a)
	})
	if err != nil {
		return "", fmt.Errorf("end a sign-in of %s: %w", a.UserID, err)
	}
	return withToken(to, token), nil
}

// withToken adds the token to the query of an address, in place of any that is there, and leaves the rest as
// it was written.
func withToken(to *url.URL, token string) string {
	var kept []string
	for part := range strings.SplitSeq(to.RawQuery, "&") {
		name, _, _ := strings.Cut(part, "=")
		if decoded, err := url.QueryUnescape(name); part != "" && (err != nil || decoded != "loginToken") {
			kept = append(kept, part)
		}
	}
	with := *to
	with.RawQuery = strings.Join(append(kept, "loginToken="+url.QueryEscape(token)), "&")
	return with.String()
}
