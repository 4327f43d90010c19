package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"homeserver/internal/auth/oauth"
	"homeserver/internal/httpapi"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
)

// authMetadata returns what clients need to know. Section "Server metadata discovery",
// GET /auth_metadata; RFC 8414.
func (a *api) authMetadata(*httpapi.Request) (any, error) { return a.OAuth.Metadata(), nil }

// registerOAuthClient registers a client. Section "Dynamic client registration flow".
func (a *api) registerOAuthClient(r *httpapi.Request) (any, error) {
	var body oauth.Client
	if err := r.Decode(&body); err != nil {
		return nil, oauth.BadMetadata(err)
	}
	registered, err := a.OAuth.RegisterClient(r.Context(), body)
	if err != nil {
		return nil, err
	}
	return created(registered)
}

// createdAnswer is JSON with the status 201. It is a http.Handler that writes itself.
type createdAnswer []byte

func created(value any) (any, error) {
	body, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode an answer: %w", err)
	}
	return createdAnswer(body), nil
}

// ServeHTTP sends the answer.
func (c createdAnswer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(c) // if nobody is there to read it, the error concerns nobody
}

// oauthToken exchanges a grant for tokens. The engine does not count its requests: clients log out
// on any 4xx of a refresh. Section "Grant types".
func (a *api) oauthToken(r *httpapi.Request) (any, error) {
	form, err := r.DecodeForm()
	if err != nil {
		return nil, oauth.BadForm(err)
	}
	if err := chargeExchange(r, form); err != nil {
		return nil, err
	}
	return a.OAuth.Exchange(r.Context(), form, r.Client())
}

// chargeExchange counts a request to the token endpoint. A refresh beyond the limit is refused like one
// that a busy server refuses: 503.
func chargeExchange(r *httpapi.Request, form url.Values) error {
	err := r.Charge(ratelimit.Requests, 1)
	if refusal, ok := errors.AsType[*matrix.Error](err); ok && form.Get("grant_type") == oauth.GrantRefreshToken {
		later := *refusal
		later.Code, later.Status = matrix.Unknown, http.StatusServiceUnavailable
		return &later
	}
	return err
}

// authorizeDevice begins a sign-in that a person allows in a browser elsewhere. Section "Device
// authorisation flow".
func (a *api) authorizeDevice(r *httpapi.Request) (any, error) {
	form, err := r.DecodeForm()
	if err != nil {
		return nil, oauth.BadForm(err)
	}
	return a.OAuth.AuthorizeDevice(r.Context(), form)
}

// oauthRevoke ends the session of a token. Section "Token revocation".
func (a *api) oauthRevoke(r *httpapi.Request) (any, error) {
	form, err := r.DecodeForm()
	if err != nil {
		return nil, oauth.BadForm(err)
	}
	return httpapi.Empty{}, a.OAuth.Revoke(r.Context(), form)
}
