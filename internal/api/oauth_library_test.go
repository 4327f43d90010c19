package api

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// What others have written against the standards works with this server.
func TestLibrariesSignInByOAuth(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	alice := c.Register("alice", "wordpass")
	a := newApp(c)
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: a.transport()})

	provider, err := oidc.NewProvider(ctx, "http://localhost:8008/")
	if err != nil {
		t.Fatal(err)
	}
	app := oauth2.Config{ClientID: a.id, Endpoint: provider.Endpoint(), RedirectURL: a.redirect, Scopes: []string{"urn:matrix:client:api:*", "urn:matrix:client:device:LIBRARY123"}}
	verifier := oauth2.GenerateVerifier()
	address, err := url.Parse(app.AuthCodeURL("a state", oauth2.S256ChallengeOption(verifier)))
	if err != nil {
		t.Fatal(err)
	}
	answer := a.opens(address.RequestURI()).signs("alice", "wordpass").submits("decision", "allow").answer()
	if answer.Get("state") != "a state" {
		t.Errorf("got %v", answer)
	}
	token, err := app.Exchange(ctx, answer.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	whoami := func(token *oauth2.Token) {
		t.Helper()
		in := *c
		in.Token = token.AccessToken
		if who := in.Do("GET", "/account/whoami", nil).OK(); who.String("user_id") != alice.UserID || who.String("device_id") != "LIBRARY123" {
			t.Errorf("got %s", who.Body)
		}
	}
	whoami(token)

	expired := *token
	expired.Expiry = time.Now().Add(-time.Minute)
	renewed, err := app.TokenSource(ctx, &expired).Token()
	if err != nil || renewed.AccessToken == token.AccessToken || renewed.RefreshToken == token.RefreshToken || !renewed.Valid() {
		t.Fatalf("got %v (%v)", renewed, err)
	}
	whoami(renewed)

	device, err := app.DeviceAuth(ctx)
	if err != nil || device.UserCode == "" || device.VerificationURI != "http://localhost:8008/_matrix/oauth/link" || device.Interval != 5 {
		t.Errorf("got %+v (%v)", device, err)
	}
}
