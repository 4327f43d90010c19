package pages_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"homeserver/internal/server/config"
)

// An app on this machine is made an account for in a browser, and comes back with a code.
func TestAnAccountForAnAppInABrowser(t *testing.T) {
	t.Parallel()
	on := true
	c, b := startServer(t, func(cfg *config.Config) { cfg.OAuth.Enabled = &on }), openTab(t)
	codes := make(chan url.Values, 1)
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/callback" {
			codes <- r.URL.Query()
		}
		_, _ = w.Write([]byte("<!doctype html><title>The app</title><p id=app>back in the app</p>"))
	}))
	t.Cleanup(listener.Close)
	registered := c.Do(http.MethodPost, "/_matrix/oauth/clients", map[string]any{
		"client_name": "Example", "client_uri": "https://example.org/", "application_type": "native", "redirect_uris": []string{"http://127.0.0.1/callback"},
	})
	const at = "/_matrix/oauth"
	app := oauth2.Config{
		ClientID: registered.String("client_id"), RedirectURL: listener.URL + "/callback",
		Endpoint: oauth2.Endpoint{AuthURL: c.BaseURL + at + "/authorize", TokenURL: c.BaseURL + at + "/token", AuthStyle: oauth2.AuthStyleInParams},
		Scopes:   []string{"urn:matrix:client:api:*", "urn:matrix:client:device:BROWSER123"},
	}
	verifier := oauth2.GenerateVerifier()
	b.open(app.AuthCodeURL("a state", oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("prompt", "create")))
	b.readable()
	b.fill("#user", "newcomer")
	b.fill("#password", "wordpass")
	b.reloadBy("#register button")
	b.waitForText("h1", "Allow Example?")
	for _, scheme := range []string{"dark", "light"} {
		b.prefer(scheme)
		b.readable()
	}
	b.reloadBy("#consent button[value=allow]")
	b.waitForText("#app", "back in the app")
	answer := <-codes
	if answer.Get("state") != "a state" {
		t.Errorf("the app got %v", answer)
	}
	token, err := app.Exchange(t.Context(), answer.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	c.Token = token.AccessToken
	if got := c.Do(http.MethodGet, "/_matrix/client/v3/account/whoami", nil).OK().String("user_id"); got != "@newcomer:localhost" {
		t.Errorf("the app is signed in as %s", got)
	}

	// The browser is still signed in for the pages of the account.
	for _, action := range []string{"", "org.matrix.profile", "org.matrix.devices_list", "password", "org.matrix.account_deactivate", "org.matrix.cross_signing_reset"} {
		b.open(c.BaseURL + at + "/account?action=" + action)
		b.readable()
	}
	b.open(c.BaseURL + at + "/account?action=org.matrix.device_delete&device_id=BROWSER123")
	b.readable()
	b.reloadBy("form button")
	b.waitForText(".notice", "The device is signed out")
	c.Do(http.MethodGet, "/_matrix/client/v3/account/whoami", nil).Refused(http.StatusUnauthorized, "M_UNKNOWN_TOKEN")

	b.open(c.BaseURL + at + "/account?action=org.matrix.profile")
	b.fill("#displayname", "Someone <new>")
	b.reloadBy("form button")
	b.waitForText(".notice", "Your name is changed")
	c.Token = ""
	if got := c.Do(http.MethodGet, "/_matrix/client/v3/profile/@newcomer:localhost/displayname", nil).OK().String("displayname"); !strings.HasPrefix(got, "Someone") {
		t.Errorf("the name is %q", got)
	}
}
