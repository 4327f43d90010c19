package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

// app is a client that signs in by OAuth, and browser is the browser of its user.
type app struct {
	*matrixtest.Client
	browser  *http.Client
	id       string
	redirect string
	verifier string
}

const verifier = "a-verifier-that-is-long-enough-for-the-standard"

// newApp registers a native client, and makes a browser for its user.
func newApp(c *matrixtest.Client) *app {
	c.T.Helper()
	a := &app{Client: c, redirect: "org.example.app:/callback", verifier: verifier}
	registered := a.register(nil)
	if registered.Status != http.StatusCreated {
		c.T.Fatalf("register: %d %s", registered.Status, registered.Body)
	}
	a.id = registered.String("client_id")
	a.newBrowser()
	return a
}

// register registers a client with the usual metadata but for the changes; nil removes one.
func (a *app) register(changes map[string]any) *matrixtest.Response {
	a.T.Helper()
	metadata := map[string]any{
		"client_name": "Example", "client_uri": "https://example.org/", "redirect_uris": []string{a.redirect}, "application_type": "native",
		"token_endpoint_auth_method": "none", "response_types": []string{"code"},
		"grant_types": []string{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"},
	}
	for name, value := range changes {
		if metadata[name] = value; value == nil {
			delete(metadata, name)
		}
	}
	return a.Do("POST", "/_matrix/oauth/clients", metadata)
}

// newBrowser makes a browser without cookies, for which the server is at its public address.
func (a *app) newBrowser() {
	jar, err := cookiejar.New(nil)
	if err != nil {
		a.T.Fatal(err)
	}
	a.browser = &http.Client{Jar: jar, Transport: a.transport()}
	a.browser.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host != "localhost:8008" {
			return http.ErrUseLastResponse
		}
		return nil
	}
}

// transport connects to the server whatever the address.
func (a *app) transport() *http.Transport {
	t := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, strings.TrimPrefix(a.BaseURL, "http://"))
	}}
	a.T.Cleanup(t.CloseIdleConnections)
	return t
}

// page is a page that the browser shows.
type page struct {
	a        *app
	at       *url.URL
	status   int
	body     string
	location string // of an app that the browser goes to
}

// opens opens an address in the browser.
func (a *app) opens(address string) page {
	a.T.Helper()
	return a.shows(a.browser.Get("http://localhost:8008" + address)) //nolint:noctx // a test
}

func (a *app) shows(answer *http.Response, err error) page {
	a.T.Helper()
	if err != nil {
		a.T.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	var body strings.Builder
	if _, err := io.Copy(&body, answer.Body); err != nil {
		a.T.Fatal(err)
	}
	return page{a, answer.Request.URL, answer.StatusCode, body.String(), answer.Header.Get("Location")}
}

var (
	formPattern  = regexp.MustCompile(`(?s)<form[^>]*>.*?</form>`)
	tokenPattern = regexp.MustCompile(`name="form_token" value="([^"]*)"`)
	actionOf     = regexp.MustCompile(`<form[^>]* action="([^"]*)"`)
)

// submits sends the first form of the page, with the fields.
func (p page) submits(fields ...string) page {
	p.a.T.Helper()
	return p.submitsForm(0, fields...)
}

func (p page) submitsForm(n int, fields ...string) page {
	p.a.T.Helper()
	forms := formPattern.FindAllString(p.body, -1)
	if len(forms) <= n {
		p.a.T.Fatalf("%s has no form: %s", p.at, p.body)
	}
	values := url.Values{}
	if token := tokenPattern.FindStringSubmatch(forms[n]); token != nil {
		values.Set("form_token", token[1])
	}
	for i := 0; i < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	to := p.at
	if action := actionOf.FindStringSubmatch(forms[n]); action != nil {
		var err error
		if to, err = p.at.Parse(html.UnescapeString(action[1])); err != nil {
			p.a.T.Fatal(err)
		}
	}
	return p.a.shows(p.a.browser.PostForm(to.String(), values)) //nolint:noctx // a test
}

// request returns the address by which an app asks for access. Changes are names and values; the
// value "-" leaves the parameter out.
func (a *app) request(changes ...string) string {
	sum := sha256.Sum256([]byte(a.verifier))
	values := url.Values{
		"response_type": {"code"}, "client_id": {a.id}, "redirect_uri": {a.redirect}, "state": {"the state"},
		"scope":          {"urn:matrix:client:api:* urn:matrix:client:device:APPDEVICE1"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(changes); i += 2 {
		if values.Set(changes[i], changes[i+1]); changes[i+1] == "-" {
			values.Del(changes[i])
		}
	}
	return "/_matrix/oauth/authorize?" + values.Encode()
}

// signs signs the user in where the browser is asked to, and returns the next page.
func (p page) signs(user, password string) page {
	p.a.T.Helper()
	if p.at.Path != "/_matrix/oauth/login" {
		p.a.T.Fatalf("the browser is at %s: %d %s", p.at, p.status, p.body)
	}
	return p.submits("user", user, "password", password)
}

// answer returns the parameters that the app is sent.
func (p page) answer() url.Values {
	p.a.T.Helper()
	u, err := url.Parse(p.location)
	if err != nil || !strings.HasPrefix(p.location, p.a.redirect) {
		p.a.T.Fatalf("the browser was sent to %q, from %s: %d %s", p.location, p.at, p.status, p.body)
	}
	if u.Fragment != "" {
		values, err := url.ParseQuery(u.Fragment)
		if err != nil {
			p.a.T.Fatal(err)
		}
		return values
	}
	return u.Query()
}

// post sends a form to an endpoint.
func (a *app) post(path string, fields ...string) *matrixtest.Response {
	a.T.Helper()
	values := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		values.Add(fields[i], fields[i+1])
	}
	return a.Do("POST", "/_matrix/oauth"+path, values.Encode())
}

// exchanges exchanges a code.
func (a *app) exchanges(code string, changes ...string) *matrixtest.Response {
	a.T.Helper()
	fields := map[string]string{
		"grant_type": "authorization_code", "code": code, "redirect_uri": a.redirect, "client_id": a.id, "code_verifier": a.verifier,
	}
	for i := 0; i < len(changes); i += 2 {
		fields[changes[i]] = changes[i+1]
	}
	var list []string
	for name, value := range fields {
		list = append(list, name, value)
	}
	return a.post("/token", list...)
}

// in returns the app with the tokens of an answer.
func (a *app) in(tokens *matrixtest.Response) *matrixtest.Client {
	in := *a.Client
	in.Token = tokens.OK().String("access_token")
	who := in.Do("GET", "/account/whoami", nil).OK()
	in.UserID, in.DeviceID = who.String("user_id"), who.String("device_id")
	return &in
}

// signsIn does the whole flow for a user, and returns the answer with the tokens.
func (a *app) signsIn(user, password string) *matrixtest.Response {
	a.T.Helper()
	code := a.opens(a.request()).signs(user, password).submits("decision", "allow").answer().Get("code")
	return a.exchanges(code).OK()
}

func TestAnAppSignsInByOAuth(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	alice := c.Register("alice", "wordpass")
	a := newApp(c)

	answer := a.opens(a.request()).signs("alice", "wordpass").submits("decision", "allow").answer()
	if answer.Get("state") != "the state" || answer.Has("error") {
		t.Fatalf("got %v", answer)
	}
	tokens := a.exchanges(answer.Get("code")).OK()
	if tokens.String("token_type") != "Bearer" || tokens.At("expires_in") != 300.0 ||
		tokens.String("scope") != "urn:matrix:client:api:* urn:matrix:client:device:APPDEVICE1" {
		t.Errorf("got %s", tokens.Body)
	}
	in := a.in(tokens)
	who := in.Do("GET", "/account/whoami", nil).OK()
	if who.String("user_id") != alice.UserID || who.String("device_id") != "APPDEVICE1" {
		t.Errorf("got %s", who.Body)
	}
	if name := in.Do("GET", "/devices/APPDEVICE1", nil).OK().String("display_name"); name != "Example" {
		t.Errorf("the device is called %q", name)
	}

	refreshed := a.post("/token", "grant_type", "refresh_token", "refresh_token", tokens.String("refresh_token"), "client_id", a.id).OK()
	in = a.in(refreshed)
	in.Do("GET", "/account/whoami", nil).OK()
	if got := a.post("/revoke", "token", in.Token, "token_type", "access_token", "client_id", a.id).OK(); string(got.Body) != "{}\n" {
		t.Errorf("got %q", got.Body)
	}
	in.Do("GET", "/account/whoami", nil).Refused(401, "M_UNKNOWN_TOKEN")
	alice.Do("GET", "/devices/APPDEVICE1", nil).Refused(404, "M_NOT_FOUND")
	again := a.post("/token", "grant_type", "refresh_token", "refresh_token", refreshed.String("refresh_token"), "client_id", a.id)
	if again.Status != 400 || again.String("error") != "invalid_grant" {
		t.Errorf("got %d %s", again.Status, again.Body)
	}
}

// Two have the code: neither is to be trusted.
func TestACodeThatComesTwiceEndsTheSession(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	c.Register("alice", "wordpass")
	a := newApp(c)
	code := a.opens(a.request()).signs("alice", "wordpass").submits("decision", "allow").answer().Get("code")
	in := a.in(a.exchanges(code))
	in.Do("GET", "/account/whoami", nil).OK()

	wantOAuthError(t, a.exchanges(code), "invalid_grant")

	in.Do("GET", "/account/whoami", nil).Refused(401, "M_UNKNOWN_TOKEN")
}

func TestEndpointsOfOAuthThatNeedAForm(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	c.Register("alice", "wordpass")
	a := newApp(c)
	tokens := a.signsIn("alice", "wordpass")
	for _, test := range []struct {
		code   string
		path   string
		fields []string
	}{
		{"invalid_request", "/token", nil},
		{"unsupported_grant_type", "/token", []string{"grant_type", "password"}},
		{"invalid_request", "/token", []string{"grant_type", "authorization_code"}},
		{"invalid_client", "/token", []string{"grant_type", "authorization_code", "client_id", "nobody", "code", "x"}},
		{"invalid_request", "/token", []string{"grant_type", "authorization_code", "client_id", a.id}},
		{"invalid_grant", "/token", []string{"grant_type", "authorization_code", "client_id", a.id, "code", "x"}},
		{"invalid_request", "/token", []string{"grant_type", "refresh_token", "client_id", a.id}},
		{"invalid_request", "/token", []string{"grant_type", "refresh_token", "refresh_token", tokens.String("refresh_token")}},
		{"invalid_grant", "/token", []string{"grant_type", "refresh_token", "refresh_token", "x", "client_id", a.id}},
		{"invalid_grant", "/token", []string{"grant_type", "refresh_token", "refresh_token", tokens.String("refresh_token"), "client_id", "other"}},
		{"invalid_request", "/token", []string{"grant_type", "refresh_token", "grant_type", "refresh_token"}},
		{"invalid_request", "/revoke", []string{"client_id", a.id}},
	} {
		wantOAuthError(t, a.post(test.path, test.fields...), test.code, test.fields...)
	}
	a.post("/revoke", "token", "nobody's").OK()
	a.in(tokens).Do("GET", "/account/whoami", nil).OK()
}

func wantOAuthError(t *testing.T, got *matrixtest.Response, code string, about ...string) {
	t.Helper()
	if got.Status != http.StatusBadRequest || got.String("error") != code {
		t.Errorf("%v: got %d %s, want %s", about, got.Status, got.Body, code)
	}
}

func TestRefreshTokensOfAppsAreTheirs(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	c.Register("alice", "wordpass")
	a := newApp(c)
	first := a.signsIn("alice", "wordpass").String("refresh_token")
	refresh := func(token string) *matrixtest.Response {
		return a.post("/token", "grant_type", "refresh_token", "refresh_token", token, "client_id", a.id)
	}
	c.Do("POST", "/refresh", map[string]any{"refresh_token": first}).Refused(401, "M_UNKNOWN_TOKEN")

	refresh(first).OK() // and the answer was lost
	second := refresh(first).OK()
	a.in(second)
	refresh(second.String("refresh_token")).OK()

	legacy := c.Do("POST", "/login", map[string]any{
		"type": "m.login.password", "password": "wordpass", "identifier": map[string]any{"type": "m.id.user", "user": "alice"},
		"device_id": "APPDEVICE1", "refresh_token": true,
	}).OK()
	wantOAuthError(t, refresh(legacy.String("refresh_token")), "invalid_grant")
	wantOAuthError(t, refresh(second.String("refresh_token")), "invalid_grant")
	c.Do("POST", "/refresh", map[string]any{"refresh_token": legacy.String("refresh_token")}).OK()
	a.post("/revoke", "token", legacy.String("access_token")).OK()
	in := *c
	in.Token = legacy.String("access_token")
	in.Do("GET", "/account/whoami", nil).OK() // it is none of a client of OAuth
}

func TestADeviceWithoutABrowserSignsIn(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	alice := c.Register("alice", "wordpass")
	a := newApp(c)
	const kind = "urn:ietf:params:oauth:grant-type:device_code"
	begin := func() *matrixtest.Response {
		return a.post("/device_authorization", "client_id", a.id, "scope", "urn:matrix:client:api:* urn:matrix:client:device:NOBROWSER1").OK()
	}
	poll := func(begun *matrixtest.Response) *matrixtest.Response {
		return a.post("/token", "grant_type", kind, "device_code", begun.String("device_code"), "client_id", a.id)
	}
	wantOAuthError(t, a.post("/device_authorization", "client_id", a.id, "scope", "openid"), "invalid_scope")
	wantOAuthError(t, a.post("/token", "grant_type", kind, "client_id", a.id), "invalid_request")
	wantOAuthError(t, a.post("/token", "grant_type", kind, "client_id", a.id, "device_code", "x"), "invalid_grant")

	pending := begin()
	wantOAuthError(t, poll(pending), "authorization_pending")
	wantOAuthError(t, poll(pending), "slow_down")

	refused := begin()
	address := strings.TrimPrefix(refused.String("verification_uri_complete"), "http://localhost:8008")
	a.opens(address).signs("alice", "wordpass").has("Example").has(refused.String("user_code")).
		submits("user_code", refused.String("user_code"), "decision", "deny").has("refused")
	wantOAuthError(t, poll(refused), "access_denied")

	allowed := begin()
	typed := strings.ToLower(strings.ReplaceAll(allowed.String("user_code"), "-", " "))
	a.opens("/_matrix/oauth/link").has("The code that your device shows")
	a.opens("/_matrix/oauth/link?user_code=BBBBBBBB").has("No device waits")
	a.opens("/_matrix/oauth/link?user_code="+url.QueryEscape(typed)).submits("user_code", typed, "decision", "allow").has("signed in")
	if in := a.in(poll(allowed)); in.UserID != alice.UserID || in.DeviceID != "NOBROWSER1" {
		t.Errorf("the device is %s of %s", in.DeviceID, in.UserID)
	}
	wantOAuthError(t, poll(allowed), "invalid_grant")
}
