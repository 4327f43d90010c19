package sso

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"homeserver/internal/safehttp"
)

// ProviderOptions is an OpenID provider: somewhere else where users have accounts.
type ProviderOptions struct {
	// ID names the provider for clients and in the database. It must not change.
	ID string
	// Name is what people read on the button.
	Name string
	// Icon is the mxc: URI of a picture, and Brand a kind of button that clients know; "": none.
	// Client-server API, "m.login.sso flow schema".
	Icon, Brand string
	// Issuer is the URL below which the provider describes itself: OpenID Connect Discovery 1.0.
	Issuer string
	// ClientID and ClientSecret are what the provider calls this server, and by what it knows it.
	ClientID, ClientSecret string
	// Scopes are asked for beside openid.
	Scopes []string
	// UserName is a template of the user name that is proposed for a new account, and DisplayName one of
	// the name that is shown. {claim} stands for a claim of the provider.
	UserName, DisplayName string
	// FixedName makes a new account by the proposed name without asking, where it is free.
	FixedName bool
	// Registration allows people who have no account here to make one.
	Registration bool
}

const (
	// providerTimeout bounds one question to a provider, and providerBytes its answer.
	providerTimeout = 10 * time.Second
	providerBytes   = 1 << 20
	// discoveryPause is how long a provider that could not be asked is left alone.
	discoveryPause = 5 * time.Second
)

// provider is an OpenID provider, whose description is asked for when it is first needed.
type provider struct {
	ProviderOptions
	redirectURL string
	client      *http.Client
	now         func() time.Time

	mu       sync.Mutex
	known    *discovered
	asking   chan struct{} // closed at the end of the attempt that is under way; nil: none is
	failure  error
	failedAt time.Time
}

// discovered is what a provider has said of itself.
type discovered struct {
	*oidc.Provider
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
	// logout checks tokens of back-channel logout, which have no nonce and need no end.
	logout *oidc.IDTokenVerifier
}

func newProvider(o ProviderOptions, redirectURL, userAgent string, now func() time.Time) *provider {
	outgoing := safehttp.New(safehttp.Options{
		// The operator has chosen the provider, and it may be on the local network.
		AllowedRanges: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")},
		Timeout:       providerTimeout, MaxBodyBytes: providerBytes, UserAgent: userAgent,
	})
	return &provider{ProviderOptions: o, redirectURL: redirectURL, client: &http.Client{Transport: transport(outgoing.Do)}, now: now}
}

// transport has requests of a library sent by a function.
type transport func(*http.Request) (*http.Response, error)

// RoundTrip implements [http.RoundTripper].
func (send transport) RoundTrip(r *http.Request) (*http.Response, error) {
	return send(r.Clone(r.Context()))
}

var errNotReached = errors.New("the provider cannot be asked at the moment")

// discover returns what the provider has said of itself, asking once for all who wait.
func (p *provider) discover(ctx context.Context) (*discovered, error) {
	p.mu.Lock()
	switch {
	case p.known != nil:
		defer p.mu.Unlock()
		return p.known, nil
	case p.failure != nil && p.now().Sub(p.failedAt) < discoveryPause:
		defer p.mu.Unlock()
		return nil, p.failure
	case p.asking == nil:
		p.asking = make(chan struct{})
		go p.ask(context.WithoutCancel(ctx))
	}
	asking := p.asking
	p.mu.Unlock()
	select {
	case <-asking:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known, p.failure
}

// ask asks the provider for its description. The keys of its signatures are read when they are needed, and
// again when one is missing.
func (p *provider) ask(ctx context.Context) {
	asked, err := oidc.NewProvider(p.inContext(ctx), p.Issuer)
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.asking)
	p.asking = nil
	if err != nil {
		p.failure, p.failedAt = fmt.Errorf("%w: %s: %w", errNotReached, p.ID, err), p.now()
		return
	}
	check := oidc.Config{ClientID: p.ClientID, Now: p.now}
	logout := check
	logout.SkipExpiryCheck = true
	p.failure = nil
	p.known = &discovered{
		Provider: asked,
		oauth: oauth2.Config{
			ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: asked.Endpoint(), RedirectURL: p.redirectURL,
			Scopes: slices.Concat([]string{oidc.ScopeOpenID}, p.Scopes),
		},
		verifier: asked.VerifierContext(p.inContext(ctx), &check),
		logout:   asked.VerifierContext(p.inContext(ctx), &logout),
	}
}

// inContext has the libraries ask through internal/safehttp.
func (p *provider) inContext(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, p.client)
}

// address returns where a browser goes to sign in at the provider.
func (p *provider) address(ctx context.Context, state string, begun begun) (string, error) {
	known, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	options := []oauth2.AuthCodeOption{oidc.Nonce(begun.Nonce), oauth2.S256ChallengeOption(begun.Verifier)}
	if begun.Purpose.Session != "" { // it is to be the user who confirms, and not only the browser
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"))
	}
	return known.oauth.AuthCodeURL(state, options...), nil
}

// person is what a provider says of somebody who has signed in there.
type person struct {
	subject, session string
	claims           map[string]any
}

// exchange redeems the code that a browser has brought back, and checks what the provider says.
func (p *provider) exchange(ctx context.Context, code string, begun begun) (person, error) {
	known, err := p.discover(ctx)
	if err != nil {
		return person{}, err
	}
	tokens, err := known.oauth.Exchange(p.inContext(ctx), code, oauth2.VerifierOption(begun.Verifier))
	if err != nil {
		return person{}, fmt.Errorf("redeem a code at %s: %w", p.ID, err)
	}
	text, _ := tokens.Extra("id_token").(string)
	token, err := known.verifier.Verify(p.inContext(ctx), text)
	if err != nil {
		return person{}, fmt.Errorf("check the ID token of %s: %w", p.ID, err)
	}
	if token.Nonce != begun.Nonce || token.Subject == "" || len(token.Subject) > maxSubjectBytes {
		return person{}, fmt.Errorf("check the ID token of %s: it is not the answer to this question", p.ID)
	}
	found := person{subject: token.Subject, claims: map[string]any{}}
	if err := token.Claims(&found.claims); err != nil {
		return person{}, fmt.Errorf("read the ID token of %s: %w", p.ID, err)
	}
	found.session, _ = found.claims["sid"].(string)
	if len(found.session) > maxSubjectBytes {
		found.session = ""
	}
	return found, p.addUserInfo(ctx, known, tokens, &found)
}

// addUserInfo adds the claims that the provider keeps out of its tokens, if a template lacks one.
func (p *provider) addUserInfo(ctx context.Context, known *discovered, tokens *oauth2.Token, of *person) error {
	lacks := p.UserName != "" && fill(p.UserName, of.claims) == "" || p.DisplayName != "" && fill(p.DisplayName, of.claims) == ""
	if !lacks || known.UserInfoEndpoint() == "" {
		return nil
	}
	info, err := known.UserInfo(p.inContext(ctx), oauth2.StaticTokenSource(tokens))
	if err != nil {
		return fmt.Errorf("ask %s about the user: %w", p.ID, err)
	}
	if info.Subject != of.subject { // OpenID Connect Core 1.0, section 5.3.2
		return fmt.Errorf("ask %s about the user: it answers about another", p.ID)
	}
	further := map[string]any{}
	if err := info.Claims(&further); err != nil {
		return fmt.Errorf("read what %s says about the user: %w", p.ID, err)
	}
	for name, value := range further {
		if _, there := of.claims[name]; !there {
			of.claims[name] = value
		}
	}
	return nil
}
