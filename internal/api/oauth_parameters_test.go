package api

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

func TestMetadataOfOAuth(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	want := c.Do("GET", "/_matrix/client/v1/auth_metadata", nil).OK()
	if want.String("issuer") != "http://localhost:8008/" || want.At("account_management_actions_supported", 8) == nil {
		t.Errorf("got %s", want.Body)
	}
	for _, path := range []string{
		"/_matrix/client/unstable/org.matrix.msc2965/auth_metadata", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server",
	} {
		if got := c.Do("GET", path, nil).OK(); string(got.Body) != string(want.Body) {
			t.Errorf("%s: got %s", path, got.Body)
		}
	}
	opts := services(t)
	opts.OAuth = nil
	off := matrixtest.New(t, newAPI(t, opts).Handler())
	for _, path := range []string{"/_matrix/client/v1/auth_metadata", "/.well-known/openid-configuration", "/_matrix/oauth/login"} {
		off.Do("GET", path, nil).Refused(404, "M_UNRECOGNIZED")
	}
}

// What is wrong with the client or its redirect URI is shown on a page; all else goes to the app.
func TestBadAuthorizationRequests(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	c.Register("alice", "wordpass")
	a := newApp(c)
	for _, changes := range [][]string{
		{"client_id", "-"}, {"client_id", "nobody"}, {"redirect_uri", "-"}, {"redirect_uri", "https://evil.example.org/"},
		{"redirect_uri", a.redirect + "/more"}, {"redirect_uri", a.redirect + "#x"}, {"redirect_uri", "ORG.example.app:/callback"},
	} {
		if got := a.opens(a.request(changes...)); got.status != http.StatusBadRequest || got.location != "" {
			t.Errorf("%v: got %d, %s", changes, got.status, got.location)
		}
	}
	if got := a.opens(a.request("state", strings.Repeat("x", 9000))); got.status != http.StatusBadRequest {
		t.Errorf("got %d", got.status)
	}
	for code, list := range map[string][][]string{
		"invalid_request": {
			{"response_type", "-"}, {"response_mode", "form_post"}, {"code_challenge", "-"}, {"code_challenge", "short"}, {"code_challenge", strings.Repeat("=", 43)},
			{"code_challenge_method", "-"}, {"code_challenge_method", "plain"}, {"prompt", "none login"},
		},
		"unsupported_response_type": {{"response_type", "token"}, {"response_type", "code id_token"}},
		"invalid_scope": {
			{"scope", "-"}, {"scope", "openid"}, {"scope", "urn:matrix:client:api:*"}, {"scope", "urn:matrix:client:device:ABC"},
			{"scope", "urn:matrix:client:api:* urn:matrix:client:device:"}, {"scope", "urn:matrix:client:api:* urn:matrix:client:device:A urn:matrix:client:device:B"},
			{"scope", "urn:matrix:client:api:* urn:matrix:client:device:\""}, {"scope", "urn:matrix:client:api:* urn:matrix:client:device:" + strings.Repeat("x", 256)},
		},
		"login_required": {{"prompt", "none"}},
	} {
		for _, changes := range list {
			if got := a.opens(a.request(changes...)).answer(); got.Get("error") != code || got.Get("state") != "the state" {
				t.Errorf("%v: got %v, want %s", changes, got, code)
			}
		}
	}
	if got := a.opens(a.request() + "&scope=openid").answer(); got.Get("error") != "invalid_request" {
		t.Errorf("a scope that is there twice: got %v", got)
	}

	form := a.opens(a.request("prompt", "something else", "response_mode", "fragment", "login_hint", "mxid:@alice:localhost")).has(`value="@alice:localhost"`)
	consent := form.signs("alice", "wordpass")
	if got := consent.submits("decision", "deny"); got.answer().Get("error") != "access_denied" || !strings.Contains(got.location, "#") {
		t.Errorf("got %s", got.location)
	}
	if got := a.opens(a.request("prompt", "none")).answer().Get("error"); got != "consent_required" {
		t.Errorf("got %s", got)
	}
	if got := a.opens(a.request("prompt", "login")); got.at.Path != "/_matrix/oauth/login" {
		t.Errorf("the person need not sign in again: %s", got.at)
	}
	unstable := a.opens(a.request("scope", "openid urn:matrix:org.matrix.msc2967.client:api:* urn:matrix:org.matrix.msc2967.client:device:OTHER12345"))
	tokens := a.exchanges(unstable.submits("decision", "allow").answer().Get("code")).OK()
	if got := tokens.String("scope"); got != "urn:matrix:org.matrix.msc2967.client:api:* urn:matrix:org.matrix.msc2967.client:device:OTHER12345" {
		t.Errorf("got %s", got)
	}
}

func TestCodesAreForTheirClient(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	c.Register("alice", "wordpass")
	a := newApp(c)
	other := a.register(map[string]any{"client_name": "Another"}).String("client_id")
	code := a.opens(a.request()).signs("alice", "wordpass").submits("decision", "allow").answer().Get("code")
	for _, changes := range [][]string{{"client_id", other}, {"redirect_uri", "org.example.app:/other"}, {"code_verifier", "wrong"}, {"code_verifier", ""}} {
		wantOAuthError(t, a.exchanges(code, changes...), "invalid_grant", changes...)
	}
	a.exchanges(code).OK()
}

func TestClientsRegister(t *testing.T) {
	t.Parallel()
	a := newApp(newServer(t))
	if again := a.register(map[string]any{"something": "else", "client_name#fr": "Une application"}); again.String("client_id") != a.id {
		t.Errorf("the same client has two IDs: %s", again.Body)
	}
	for _, uris := range []any{
		nil, []string{}, []string{"org.example.app://callback"}, []string{"example:/callback"}, []string{"com.other.app:/callback"}, []string{"org.example.app:/x#y"},
		[]string{"http://localhost:1234/callback"}, []string{"http://example.org/"}, []string{"https://localhost/callback"}, []string{"https://other.org/"},
		[]string{"https://user:pass@example.org/"}, []string{"javascript:alert(1)"}, []string{"org.example.app:/ x"}, []string{"org.example.app:/" + strings.Repeat("x", 1024)},
		[]string{"1:/", "2:/", "3:/", "4:/", "5:/", "6:/", "7:/", "8:/", "9:/", "10:/", "11:/"},
	} {
		wantOAuthError(t, a.register(map[string]any{"redirect_uris": uris}), "invalid_redirect_uri", "native")
	}
	for _, uris := range []string{
		"org.example.app:/callback", "org.example:/", "org.example:callback", "http://localhost/callback", "http://127.0.0.1/callback", "http://[::1]/callback",
		"https://app.example.org/oauth/ios",
	} {
		if got := a.register(map[string]any{"redirect_uris": []string{uris}}); got.Status != http.StatusCreated {
			t.Errorf("%s: got %d %s", uris, got.Status, got.Body)
		}
	}
	for _, uri := range []string{"http://example.org/", "org.example.app:/", "https://example.org/#x", "https://evil.org/"} {
		wantOAuthError(t, a.register(map[string]any{"redirect_uris": []string{uri}, "application_type": "web"}), "invalid_redirect_uri", uri)
	}
	for name, values := range map[string][]any{
		"client_uri":                 {nil, "http://example.org/", "https://a:b@example.org/", "", "x", 7},
		"logo_uri":                   {"https://other.org/logo.png", "http://example.org/logo.png"},
		"tos_uri":                    {"https://notexample.org/"},
		"policy_uri":                 {"javascript:alert(1)"},
		"client_name":                {strings.Repeat("x", 256), 7},
		"application_type":           {"desktop"},
		"token_endpoint_auth_method": {"client_secret_basic"},
		"grant_types":                {[]string{"implicit"}, "authorization_code"},
		"response_types":             {[]string{"token"}},
	} {
		for _, value := range values {
			wantOAuthError(t, a.register(map[string]any{name: value}), "invalid_client_metadata", name)
		}
	}
	got := a.register(map[string]any{"grant_types": []string{"urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:token-exchange"}, "redirect_uris": nil})
	if got.Status != http.StatusCreated || strings.Contains(string(got.Body), "token-exchange") {
		t.Errorf("got %d %s", got.Status, got.Body)
	}
}

// The port of the loopback interface is not known when an app registers.
func TestTheLoopbackPortIsFree(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	c.Register("alice", "wordpass")
	a := newApp(c)
	a.id = a.register(map[string]any{"redirect_uris": []string{"http://[::1]/callback", "http://127.0.0.1/callback"}}).String("client_id")
	for _, uri := range []string{"http://127.0.0.1:49152/other", "http://127.0.0.2:49152/callback", "http://localhost:49152/callback", "http://a@127.0.0.1:49152/callback"} {
		if got := a.opens(a.request("redirect_uri", uri)); got.status != http.StatusBadRequest {
			t.Errorf("%s: got %d", uri, got.status)
		}
	}
	for i, uri := range []string{"http://127.0.0.1:49152/callback", "http://[::1]:1/callback"} {
		a.redirect = uri
		page := a.opens(a.request())
		if i == 0 {
			page = page.signs("alice", "wordpass")
		}
		a.exchanges(page.submits("decision", "allow").answer().Get("code")).OK()
	}
}

// A page to come back to is one of this server.
func TestSignInLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	c.Register("alice", "wordpass")
	a := newApp(c)
	for _, then := range []string{"https://evil.org/", "//evil.org/_matrix/oauth/", "/_matrix/oauth/../../x", "\\evil.org", "javascript:alert(1)", ""} {
		a.newBrowser()
		if got := a.opens("/_matrix/oauth/login?then="+url.QueryEscape(then)).signs("alice", "wordpass"); got.at.Path != "/_matrix/oauth/account" {
			t.Errorf("%s leads to %s", then, got.at)
		}
	}
}
