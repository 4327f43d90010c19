package oauth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
	"homeserver/internal/auth/session"
	"homeserver/internal/matrix"
)

// Tokens is the answer of the token endpoint. RFC 6749, section 5.1.
type Tokens struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token"`
	Scope        string `json:"scope,omitzero"`
}

func newTokens(t session.Tokens, scope string) Tokens {
	return Tokens{t.AccessToken, "Bearer", t.ExpiresInMS / time.Second.Milliseconds(), t.RefreshToken, scope}
}

// Exchange exchanges a grant for tokens, by the form of a request to the token endpoint.
// Errors in the form of RFC 6749, section 5.2.
func (s *Service) Exchange(ctx context.Context, form url.Values, by matrix.Client) (Tokens, error) {
	for name, values := range form {
		if len(values) > 1 {
			return Tokens{}, refuse(errInvalidRequest, "%s is there twice", name[:min(len(name), 64)])
		}
	}
	switch form.Get("grant_type") {
	case GrantAuthorizationCode:
		return s.exchangeCode(ctx, form, by)
	case GrantRefreshToken:
		return s.refresh(ctx, form)
	case GrantDeviceCode:
		return s.exchangeDeviceCode(ctx, form, by)
	case "":
		return Tokens{}, refuse(errInvalidRequest, "grant_type is missing")
	default:
		return Tokens{}, refuse(errUnsupportedGrantType, "this grant type is not supported")
	}
}

// exchangeCode logs the device in that a code was made for: "Authorisation code grant".
func (s *Service) exchangeCode(ctx context.Context, form url.Values, by matrix.Client) (Tokens, error) {
	client, err := s.client(ctx, form)
	if err != nil {
		return Tokens{}, err
	}
	if form.Get("code") == "" {
		return Tokens{}, refuse(errInvalidRequest, "code is missing")
	}
	hash := secret.HashOf(form.Get("code"))
	// Read first, since an account is always locked before its other rows.
	code, err := findCode(ctx, s.o.Pool, hash)
	if err != nil {
		return Tokens{}, err
	}
	if refusal := code.check(form, s.nowMS()); refusal != nil {
		return Tokens{}, refusal
	}
	var repeated bool
	tokens, err := s.logIn(ctx, grant{client, code.UserID, code.DeviceID, code.Scope}, by, func(tx pgx.Tx) error {
		used, err := useCode(ctx, tx, hash)
		if err == nil && !used {
			repeated = true
			err = refuse(errInvalidGrant, "the code is unknown, used or expired")
		}
		return err
	})
	if repeated {
		// Two have the code: neither is to be trusted. RFC 6749, section 4.1.2.
		err = errors.Join(err, s.o.Accounts.Sessions.EndGrant(ctx, code.UserID, code.DeviceID, code.ClientID))
	}
	return tokens, err
}

// check checks what came with the code.
func (c *codeRow) check(form url.Values, now int64) *matrix.Error {
	if c.ClientID != form.Get("client_id") || c.ExpiresAt <= now {
		return refuse(errInvalidGrant, "the code is unknown, used or expired")
	}
	if c.RedirectURI != form.Get("redirect_uri") {
		return refuse(errInvalidGrant, "redirect_uri is not that of the authorization request")
	}
	verifier := form.Get("code_verifier")
	sum := sha256.Sum256([]byte(verifier))
	if verifier == "" || subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(c.Challenge)) != 1 {
		return refuse(errInvalidGrant, "code_verifier does not belong to the code_challenge of the authorization request")
	}
	return nil
}

// grant is what a user has agreed to.
type grant struct {
	client           RegisteredClient
	userID, deviceID string
	scope            string
}

// logIn logs the device of a grant in, together with the use of its proof.
func (s *Service) logIn(ctx context.Context, g grant, by matrix.Client, use func(tx pgx.Tx) error) (Tokens, error) {
	var made session.Credentials
	var revoked session.Revoked
	err := pgx.BeginFunc(ctx, s.o.Pool, func(tx pgx.Tx) error {
		err := account.LockUsable(ctx, tx, g.userID)
		if err == nil {
			err = use(tx)
		}
		if err != nil {
			return err
		}
		made, revoked, err = s.o.Accounts.Sessions.Begin(ctx, tx, g.userID, session.NewDevice{
			ID: g.deviceID, DisplayName: g.client.Name(), Refreshable: true,
			AccessTokenLifetime: s.o.AccessTokenLifetime, OAuthClient: g.client.ClientID,
		}, by)
		return err
	})
	if err != nil {
		return Tokens{}, grantError(fmt.Errorf("log in %s by OAuth: %w", g.userID, err))
	}
	s.o.Accounts.Sessions.Revoke(revoked)
	return newTokens(made.Tokens, g.scope), nil
}

// grantError returns the error of the token endpoint for an error of sessions.
func grantError(err error) error {
	refusal, ok := errors.AsType[*matrix.Error](err)
	if !ok || refusal.Fields[errorField] != nil || refusal.HTTPStatus() >= 500 {
		return err
	}
	return refuse(errInvalidGrant, "%s", refusal.Message)
}

// refresh exchanges a refresh token: "Refresh token grant".
func (s *Service) refresh(ctx context.Context, form url.Values) (Tokens, error) {
	token := form.Get("refresh_token")
	if token == "" || form.Get("client_id") == "" {
		return Tokens{}, refuse(errInvalidRequest, "refresh_token or client_id is missing")
	}
	tokens, err := s.o.Accounts.Sessions.RefreshGrant(ctx, token, form.Get("client_id"), s.o.AccessTokenLifetime)
	if err != nil {
		return Tokens{}, grantError(err)
	}
	return newTokens(tokens, ""), nil
}

// Revoke ends the session of an access token or a refresh token, whichever client asks. One
// that is nobody's, or that a client has by the legacy API, is left alone. invalid_request
// without a token. Client-server API, "Token revocation"; RFC 7009.
func (s *Service) Revoke(ctx context.Context, form url.Values) error {
	token := form.Get("token")
	if token == "" {
		return refuse(errInvalidRequest, "token is missing")
	}
	return s.o.Accounts.Sessions.EndGrantOf(ctx, token)
}
