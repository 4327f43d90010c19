package oauth

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
	"homeserver/internal/matrix"
)

const (
	// codeLifetime is how long a code is good, and usedCodeMemory for how long it is remembered
	// after that.
	codeLifetime   = time.Minute
	usedCodeMemory = 10 * time.Minute
	// maxCodesOfUser bounds the codes of a user.
	maxCodesOfUser = 20
	// maxState bounds the state of a client, in bytes.
	maxState = 2048
)

// How a code is sent to the client.
const (
	modeQuery    = "query"
	modeFragment = "fragment"
)

// The values of prompt. OpenID Connect Core, section 3.1.2.1; Initiating User Registration
// via OpenID Connect.
const (
	PromptNone    = "none"
	PromptLogin   = "login"
	PromptConsent = "consent"
	PromptCreate  = "create"
)

// Authorization is what a client asks a user for. Client-server API, "Authorisation code flow".
type Authorization struct {
	Client   RegisteredClient
	DeviceID string
	// Hint is whom the client expects to sign in; "": nobody.
	Hint string

	redirectURI, mode, state string
	scope, challenge         string
	prompts                  []string
}

// Asks reports whether the request has a value of prompt.
func (a *Authorization) Asks(prompt string) bool {
	for _, p := range a.prompts {
		if p == prompt {
			return true
		}
	}
	return false
}

// RedirectHost returns where the code is sent to, for people: the host, or the scheme.
func (a *Authorization) RedirectHost() string {
	u, err := url.Parse(a.redirectURI)
	if err != nil {
		return ""
	}
	if u.Host != "" {
		return u.Host
	}
	return u.Scheme
}

// Refused returns the address that takes an error to the client.
func (a *Authorization) Refused(err *matrix.Error) string {
	return a.answer(url.Values{"error": {codeOf(err)}, "error_description": {err.Message}})
}

// Denied is the error where the user does not agree.
func Denied() *matrix.Error { return refuse(errAccessDenied, "the user did not agree") }

// LoginRequired and ConsentRequired are the errors where a person would have to do something,
// and the client wants that nobody is asked.
func LoginRequired() *matrix.Error { return refuse(errLoginRequired, "nobody is signed in") }

// ConsentRequired is the other one.
func ConsentRequired() *matrix.Error {
	return refuse(errConsentRequired, "the user must be asked")
}

// answer returns the redirect URI with the parameters and the state of the client.
func (a *Authorization) answer(values url.Values) string {
	if a.state != "" {
		values.Set("state", a.state)
	}
	if a.mode == modeFragment {
		return a.redirectURI + "#" + values.Encode()
	}
	separator := "?"
	if strings.Contains(a.redirectURI, "?") {
		separator = "&"
	}
	return a.redirectURI + separator + values.Encode()
}

// Authorize checks the parameters of a request to the authorization endpoint. Where the client and its
// redirect URI are good, a *matrix.Error is to be sent there, by [Authorization.Refused]: then
// the Authorization is not nil.
func (s *Service) Authorize(ctx context.Context, query url.Values) (*Authorization, error) {
	client, err := s.client(ctx, query)
	if err != nil {
		return nil, err
	}
	a := &Authorization{Client: client, redirectURI: query.Get("redirect_uri"), state: query.Get("state"), Hint: query.Get("login_hint")}
	if len(query["redirect_uri"]) != 1 || !client.redirectsTo(a.redirectURI) {
		return nil, refuse(errInvalidRequest, "redirect_uri is not one that this client has registered")
	}
	if refusal := a.read(query); refusal != nil {
		return a, refusal
	}
	return a, nil
}

// client finds the client of a request that has no other authentication.
func (s *Service) client(ctx context.Context, query url.Values) (RegisteredClient, error) {
	id := query.Get("client_id")
	if id == "" || len(query["client_id"]) != 1 {
		return RegisteredClient{}, refuse(errInvalidRequest, "client_id is missing, or there twice")
	}
	return findClient(ctx, s.o.Pool, id)
}

// read reads the parameters beside the client and its redirect URI.
func (a *Authorization) read(query url.Values) *matrix.Error {
	if len(a.state) > maxState {
		a.state = ""
		return refuse(errInvalidRequest, "state must have %d bytes at most", maxState)
	}
	switch mode := query.Get("response_mode"); mode {
	case "", modeQuery:
		a.mode = modeQuery
	case modeFragment:
		a.mode = mode
	default:
		return refuse(errInvalidRequest, "response_mode must be query or fragment")
	}
	for _, name := range []string{"response_type", "scope", "state", "response_mode", "code_challenge", "code_challenge_method", "prompt", "login_hint"} {
		if len(query[name]) > 1 {
			return refuse(errInvalidRequest, "%s is there twice", name)
		}
	}
	switch query.Get("response_type") {
	case "code":
	case "":
		return refuse(errInvalidRequest, "response_type is missing")
	default:
		return refuse(errUnsupportedResponse, "response_type must be code")
	}
	if !a.Client.mayGrant(GrantAuthorizationCode) {
		return refuse(errUnauthorizedClient, "this client has not registered the grant type %s", GrantAuthorizationCode)
	}
	if query.Get("code_challenge_method") != "S256" {
		return refuse(errInvalidRequest, "code_challenge_method must be S256")
	}
	a.challenge = query.Get("code_challenge")
	if sum, err := base64.RawURLEncoding.Strict().DecodeString(a.challenge); err != nil || len(sum) != len(secret.Hash{}) {
		return refuse(errInvalidRequest, "code_challenge must be the SHA-256 of a code_verifier in base64url")
	}
	asked, refusal := parseScope(query.Get("scope"))
	if refusal != nil {
		return refusal
	}
	a.scope, a.DeviceID = asked.Granted, asked.DeviceID
	a.prompts = strings.Fields(query.Get("prompt"))
	if len(a.prompts) > 1 && a.Asks(PromptNone) {
		return refuse(errInvalidRequest, "prompt none cannot be together with others")
	}
	return nil
}

// ErrSignedOut says that a browser is not signed in any more.
var ErrSignedOut = errors.New("the browser is not signed in")

// Grant notes that the user of a browser agrees, and returns the address that takes the code
// to the client. ErrSignedOut.
func (s *Service) Grant(ctx context.Context, browser Browser, a *Authorization) (string, error) {
	code := secret.New("hsc_")
	err := pgx.BeginFunc(ctx, s.o.Pool, func(tx pgx.Tx) error {
		if err := s.lockUserOf(ctx, tx, browser); err != nil {
			return err
		}
		return insertCode(ctx, tx, secret.HashOf(code), codeRow{
			ClientID: a.Client.ClientID, UserID: browser.UserID, DeviceID: a.DeviceID, Scope: a.scope,
			RedirectURI: a.redirectURI, Challenge: a.challenge, ExpiresAt: s.nowMS() + codeLifetime.Milliseconds(),
		}, s.nowMS())
	})
	if err != nil {
		return "", fmt.Errorf("grant a client access to %s: %w", browser.UserID, err)
	}
	return a.answer(url.Values{"code": {code}}), nil
}

// lockUserOf locks the account that a browser is signed in to. ErrSignedOut.
func (s *Service) lockUserOf(ctx context.Context, tx pgx.Tx, browser Browser) error {
	err := account.LockUsable(ctx, tx, browser.UserID)
	if err == nil {
		var known Browser
		known, err = findBrowser(ctx, tx, browser.hash, s.nowMS()-browserLifetime.Milliseconds())
		if err == nil && known.UserID != browser.UserID {
			err = ErrSignedOut
		}
	}
	return err
}

// Replaces returns the name of the device of the user that a client would take the place of;
// "" if there is none with its ID.
func (s *Service) Replaces(ctx context.Context, browser Browser, a *Authorization) (string, error) {
	device, err := s.o.Accounts.Sessions.Device(ctx, browser.UserID, a.DeviceID)
	if matrix.IsCode(err, matrix.NotFound) {
		return "", nil
	}
	return cmp.Or(string(device.DisplayName), device.DeviceID), err
}
