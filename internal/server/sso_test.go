package server

import (
	"context"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/oauth2-proxy/mockoidc"

	"homeserver/internal/matrixtest"
	"homeserver/internal/server/config"
)

// ssoHouse is a server with an OpenID provider.
type ssoHouse struct {
	*matrixtest.Client
	provider *mockoidc.MockOIDC
	address  string // of the server
}

const ssoBase = "http://matrix.example.org"

// newSSOHouse starts a provider, and a server that knows it.
func newSSOHouse(t *testing.T, change func(*config.Config)) *ssoHouse {
	t.Helper()
	provider, err := mockoidc.Run()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Shutdown() })
	cfg, open := testConfig(t), true
	cfg.ServerName, cfg.PublicBaseURL, cfg.Registration.Enabled = "example.org", ssoBase, &open
	cfg.SSO.Providers = []config.SSOProvider{{
		ID: "company", Name: "Example Ltd", Icon: "mxc://example.org/icon", Brand: "gitlab", Issuer: provider.Issuer(),
		ClientID: provider.ClientID, ClientSecret: config.Secret(provider.ClientSecret), DisplayName: "{preferred_username} of {sub}",
	}}
	if change != nil {
		change(cfg)
	}
	s := mustStart(t, cfg)
	return &ssoHouse{clientAt(t, s, 0), provider, strings.TrimPrefix(s.Addresses()[0].URL(), "http://")}
}

// ssoBrowser is a browser of a person. It follows no redirect by itself.
type ssoBrowser struct {
	t *testing.T
	*http.Client
}

func (h *ssoHouse) browser(t *testing.T) *ssoBrowser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == "matrix.example.org:80" {
			address = h.address
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &ssoBrowser{t, &http.Client{
		Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// ssoPage is what a browser shows.
type ssoPage struct {
	status         int
	text, location string
	cookies        []*http.Cookie
}

func (b *ssoBrowser) do(method, address string, form url.Values) ssoPage {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer, err := b.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return ssoPage{answer.StatusCode, string(text), answer.Header.Get("Location"), answer.Cookies()}
}

func (b *ssoBrowser) open(address string) ssoPage { return b.do(http.MethodGet, address, nil) }

// signIn has a person sign in at the provider, for an app, and returns the page that comes next.
func (b *ssoBrowser) signIn(h *ssoHouse, who, app string) ssoPage {
	b.t.Helper()
	h.provider.QueueUser(&mockoidc.MockUser{Subject: "id of " + who, PreferredUsername: who})
	begun := b.open(ssoBase + "/_matrix/client/v3/login/sso/redirect/company?redirectUrl=" + url.QueryEscape(app))
	if begun.status != http.StatusFound {
		b.t.Fatalf("got %d %s", begun.status, begun.text)
	}
	signedIn := b.open(begun.location)
	if signedIn.status != http.StatusFound || !strings.HasPrefix(signedIn.location, ssoBase+"/_matrix/static/client/sso/callback?") {
		b.t.Fatalf("got %d %s %s", signedIn.status, signedIn.location, signedIn.text)
	}
	return b.open(signedIn.location)
}

// find returns the first group of a pattern in a page.
func (p ssoPage) find(t *testing.T, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(p.text)
	if found == nil {
		t.Fatalf("%s is not in %d %s", pattern, p.status, p.text)
	}
	return html.UnescapeString(found[1])
}

// register makes an account on the page that asks for one, and returns the page that comes next.
func (b *ssoBrowser) register(page ssoPage, name string) ssoPage {
	b.t.Helper()
	form := url.Values{"key": {page.find(b.t, `name="key" value="([^"]+)"`)}, "user_name": {name}}
	return b.do(http.MethodPost, ssoBase+"/_matrix/static/client/sso/account", form)
}

// enter follows the link to the app, and returns the token that the app gets.
func (b *ssoBrowser) enter(page ssoPage) (app *url.URL, token string) {
	b.t.Helper()
	left := b.open(ssoBase + page.find(b.t, `id="continue" href="([^"]+)"`))
	app, err := url.Parse(left.location)
	if err != nil || left.status != http.StatusFound {
		b.t.Fatalf("got %d %s: %v", left.status, left.text, err)
	}
	return app, app.Query().Get("loginToken")
}

const ssoApp = "https://app.example.net/login?hs=1&loginToken=old"

// logIn has a new person make an account and an app log in to it.
func (h *ssoHouse) logIn(t *testing.T, b *ssoBrowser, name string) *matrixtest.Client {
	t.Helper()
	_, token := b.enter(b.register(b.signIn(h, name, ssoApp), name))
	return h.logInBy(token)
}

func (h *ssoHouse) logInBy(token string) *matrixtest.Client {
	answer := h.Do(http.MethodPost, "/login", map[string]any{"type": "m.login.token", "token": token}).OK()
	c := *h.Client
	c.UserID, c.DeviceID, c.Token = answer.String("user_id"), answer.String("device_id"), answer.String("access_token")
	return &c
}

func TestSingleSignOn(t *testing.T) {
	t.Parallel()
	h := newSSOHouse(t, nil)
	flows := h.Do(http.MethodGet, "/login", nil).OK()
	if got := flows.Body; !strings.Contains(string(got), `{"type":"m.login.sso","identity_providers":[{"id":"company","name":"Example Ltd","icon":"mxc://example.org/icon","brand":"gitlab"}]}`) {
		t.Errorf("got %s", got)
	}
	b := h.browser(t)
	page := b.signIn(h, "Jörg Q", ssoApp)
	if got := page.find(t, `name="user_name" value="([^"]+)"`); got != "j=c3=b6rg=20q" {
		t.Errorf("the proposed name is %s", got)
	}
	page = b.register(page, "joerg")
	if !strings.Contains(page.text, "@joerg:example.org") || !strings.Contains(page.text, "app.example.net") {
		t.Fatalf("got %d %s", page.status, page.text)
	}
	app, token := b.enter(page)
	if got := app.Query(); got.Get("hs") != "1" || len(got["loginToken"]) != 1 || app.Host != "app.example.net" {
		t.Errorf("sent to %s", app)
	}
	joerg := h.logInBy(token)
	if name := joerg.Do(http.MethodGet, matrixtest.Path("profile", joerg.UserID), nil).OK().String("displayname"); name != "Jörg Q of id of Jörg Q" {
		t.Errorf("the name shown is %s", name)
	}
	h.Do(http.MethodPost, "/login", map[string]any{"type": "m.login.token", "token": token}).Refused(403, "M_FORBIDDEN")

	// The second time, in another browser, there is nothing to choose.
	again := h.browser(t)
	_, token = again.enter(again.signIn(h, "Jörg Q", "io.element.app:/callback"))
	if got := h.logInBy(token).UserID; got != joerg.UserID {
		t.Errorf("logged in as %s", got)
	}
}

func TestSignInIsWorthNothingInAnotherBrowser(t *testing.T) {
	t.Parallel()
	h := newSSOHouse(t, nil)
	mine, other := h.browser(t), h.browser(t)
	begun := mine.open(ssoBase + "/_matrix/client/v3/login/sso/redirect?redirectUrl=" + url.QueryEscape(ssoApp))
	signedIn := mine.open(begun.location)
	if got := other.open(signedIn.location); got.status != http.StatusForbidden {
		t.Errorf("another browser: got %d %s", got.status, got.text)
	}
	page := mine.open(signedIn.location)
	key := page.find(t, `name="key" value="([^"]+)"`)
	for name, form := range map[string]url.Values{"no key": {"user_name": {"eve"}}, "another key": {"key": {"x" + key}, "user_name": {"eve"}}} {
		if got := mine.do(http.MethodPost, ssoBase+"/_matrix/static/client/sso/account", form); got.status != http.StatusForbidden {
			t.Errorf("%s: got %d", name, got.status)
		}
	}
	if got := other.do(http.MethodPost, ssoBase+"/_matrix/static/client/sso/account", url.Values{"key": {key}, "user_name": {"eve"}}); got.status != http.StatusForbidden {
		t.Errorf("a form of another browser: got %d", got.status)
	}
	mine.register(page, "alice")
	// Nobody else can have the browser go on to the app.
	if got := mine.open(ssoBase + "/_matrix/static/client/sso/finish"); got.status != http.StatusForbidden {
		t.Errorf("without the key: got %d %s", got.status, got.location)
	}
	// The code is used up.
	if got := mine.open(signedIn.location); got.status == http.StatusOK {
		t.Errorf("the second time: got %d", got.status)
	}
}

func TestIdentityIsLinkedByThePasswordOnly(t *testing.T) {
	t.Parallel()
	h := newSSOHouse(t, nil)
	alice := h.Register("alice", "wordpass")
	b := h.browser(t)
	page := b.signIn(h, "alice", ssoApp)
	if got := b.register(page, "alice"); got.status != http.StatusBadRequest || !strings.Contains(got.text, "already taken") {
		t.Errorf("another's name: got %d %s", got.status, got.text)
	}
	link := func(password string) ssoPage {
		form := url.Values{"key": {page.find(t, `name="key" value="([^"]+)"`)}, "user": {"alice"}, "password": {password}}
		return b.do(http.MethodPost, ssoBase+"/_matrix/static/client/sso/account", form)
	}
	if got := link("guess"); got.status != http.StatusForbidden || !strings.Contains(got.text, "Invalid username or password") {
		t.Errorf("a wrong password: got %d %s", got.status, got.text)
	}
	_, token := b.enter(link("wordpass"))
	if got := h.logInBy(token); got.UserID != alice.UserID {
		t.Errorf("logged in as %s", got.UserID)
	}
	alice.Do(http.MethodPost, "/account/password", map[string]any{
		"new_password": "password of mine", "auth": map[string]any{"type": "m.login.password", "user": "alice", "password": "wordpass"},
	}).OK() // a user who has a password goes on using it
}

func TestProviderMayOnlyLinkAccounts(t *testing.T) {
	t.Parallel()
	h := newSSOHouse(t, func(cfg *config.Config) { cfg.SSO.Providers[0].LinkOnly = true })
	b := h.browser(t)
	page := b.signIn(h, "alice", ssoApp)
	if strings.Contains(page.text, "user_name") {
		t.Errorf("got %s", page.text)
	}
	if got := b.register(page, "alice"); got.status != http.StatusForbidden {
		t.Errorf("got %d %s", got.status, got.text)
	}
}

func TestFixedNamesAndTrustedApps(t *testing.T) {
	t.Parallel()
	h := newSSOHouse(t, func(cfg *config.Config) {
		cfg.SSO.Providers[0].FixedName, cfg.SSO.TrustedClients = true, []string{"app.example.net"}
	})
	b := h.browser(t)
	page := b.signIn(h, "bob", ssoApp)
	if page.status != http.StatusFound || !strings.HasPrefix(page.location, "/_matrix/static/client/sso/finish?") {
		t.Fatalf("got %d %s", page.status, page.text)
	}
	left := b.open(ssoBase + page.location)
	if !strings.HasPrefix(left.location, "https://app.example.net/login?hs=1&loginToken=") {
		t.Fatalf("got %d %s", left.status, left.location)
	}
	// A name that is taken is asked for, and an app that nobody trusts as well.
	h.Register("carol", "wordpass")
	if page := b.signIn(h, "carol", ssoApp); !strings.Contains(page.text, `id="register"`) {
		t.Errorf("got %d %s", page.status, page.text)
	}
	if page := b.signIn(h, "bob", "https://other.example.net/"); !strings.Contains(page.text, "other.example.net") {
		t.Errorf("got %d %s", page.status, page.text)
	}
}

func TestBadRequestsOfSingleSignOn(t *testing.T) {
	t.Parallel()
	h := newSSOHouse(t, func(cfg *config.Config) {
		other := cfg.SSO.Providers[0]
		other.ID, other.Name = "other", "Other Ltd"
		nowhere := other
		nowhere.ID, nowhere.Issuer = "nowhere", "http://127.0.0.1:1"
		cfg.SSO.Providers = append(cfg.SSO.Providers, other, nowhere)
	})
	b := h.browser(t)
	redirect := ssoBase + "/_matrix/client/v3/login/sso/redirect"
	for name, of := range map[string]struct {
		address string
		status  int
	}{
		"no app":               {redirect, 400},
		"no app of a provider": {redirect + "/company", 400},
		"relative":             {redirect + "/company?redirectUrl=/abc", 400},
		"script":               {redirect + "/company?redirectUrl=javascript:alert(1)", 400},
		"data":                 {redirect + "/company?redirectUrl=DATA:text/html,abc", 400},
		"password":             {redirect + "/company?redirectUrl=https://a:b@example.net/", 400},
		"no host":              {redirect + "/company?redirectUrl=https:abc", 400},
		"long":                 {redirect + "/company?redirectUrl=https://example.net/" + strings.Repeat("a", 2000), 400},
		"no such provider":     {redirect + "/nobody?redirectUrl=https://example.net", 404},
		"not reached":          {redirect + "/nowhere?redirectUrl=https://example.net", 502},
		"not begun":            {ssoBase + "/_matrix/static/client/sso/callback?state=abc&code=abc", 403},
		"nothing":              {ssoBase + "/_matrix/static/client/sso/callback", 403},
		"no end":               {ssoBase + "/_matrix/static/client/sso/finish?key=abc", 403},
	} {
		if got := b.open(of.address); got.status != of.status {
			t.Errorf("%s: got %d %s", name, got.status, got.text)
		}
	}
	page := b.open(redirect + "?redirectUrl=" + url.QueryEscape(ssoApp))
	if page.status != http.StatusOK || !strings.Contains(page.text, "Other Ltd") {
		t.Fatalf("got %d %s", page.status, page.text)
	}
	address := page.find(t, `href="(/_matrix/client/v3/login/sso/redirect/other[^"]+)"`)
	if got := b.open(ssoBase + address); got.status != http.StatusFound || !strings.HasPrefix(got.location, h.provider.Issuer()) {
		t.Errorf("got %d %s", got.status, got.text)
	}
	refused := b.open(redirect + "/company?redirectUrl=" + url.QueryEscape(ssoApp))
	to, err := url.Parse(refused.location)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.open(ssoBase + "/_matrix/static/client/sso/callback?error=access_denied&state=" + to.Query().Get("state")); got.status != http.StatusForbidden {
		t.Errorf("refused by the person: got %d %s", got.status, got.text)
	}
}

func TestPagesOfThisServerBySingleSignOn(t *testing.T) {
	t.Parallel()
	on := true
	h := newSSOHouse(t, func(cfg *config.Config) { cfg.OAuth.Enabled = &on })
	b := h.browser(t)
	signIn := b.open(ssoBase + "/_matrix/oauth/login?then=" + url.QueryEscape("/_matrix/oauth/authorize?client_id=abc"))
	h.provider.QueueUser(&mockoidc.MockUser{Subject: "id of alice", PreferredUsername: "alice"})
	begun := b.open(ssoBase + signIn.find(t, `href="([^"]+)">Sign in with Example Ltd`))
	page := b.open(b.open(begun.location).location)
	in := b.register(page, "alice")
	if in.status != http.StatusSeeOther || in.location != "/_matrix/oauth/authorize?client_id=abc" || len(in.cookies) != 1 {
		t.Fatalf("got %d %s %v", in.status, in.location, in.cookies)
	}
	if page := b.open(ssoBase + "/_matrix/static/client/sso/start?provider=company&then=https://example.net"); page.status != http.StatusFound {
		t.Errorf("got %d %s", page.status, page.text)
	} else if left := b.open(b.open(page.location).location); !strings.HasPrefix(left.location, "/_matrix/oauth/") && left.status != http.StatusOK {
		t.Errorf("sent to %s", left.location)
	}
}

func TestServerWithoutSingleSignOn(t *testing.T) {
	t.Parallel()
	c := clientAt(t, mustStart(t, testConfig(t)), 0)
	if got := c.Do(http.MethodGet, "/login/sso/redirect/company?redirectUrl=https://example.net", nil); got.Status != http.StatusNotFound {
		t.Errorf("got %d %s", got.Status, got.Body)
	}
	if got := c.Do(http.MethodGet, "/login", nil).OK(); strings.Contains(string(got.Body), "m.login.sso") {
		t.Errorf("got %s", got.Body)
	}
}

func TestSingleSignOnConfirmsRequests(t *testing.T) {
	t.Parallel()
	h := newSSOHouse(t, nil)
	b := h.browser(t)
	alice := h.logIn(t, b, "alice")
	bob := h.logIn(t, h.browser(t), "bob")
	asked := alice.Do(http.MethodPost, "/delete_devices", map[string]any{"devices": []string{"OTHER"}})
	if asked.Status != 401 || asked.String("flows", 0, "stages", 0) != "m.login.sso" {
		t.Fatalf("got %d %s", asked.Status, asked.Body)
	}
	page := ssoBase + "/_matrix/client/v3/auth/m.login.sso/fallback/web?session=" + asked.String("session")
	shown := b.open(page)
	if !strings.Contains(shown.text, "Log out and delete your device OTHER") || !strings.Contains(shown.text, "Example Ltd") {
		t.Fatalf("got %d %s", shown.status, shown.text)
	}
	confirm := func(who string) ssoPage {
		h.provider.QueueUser(&mockoidc.MockUser{Subject: "id of " + who, PreferredUsername: who})
		going := b.do(http.MethodPost, page, url.Values{"provider": {"company"}})
		signedIn := b.open(going.find(t, `url=([^"]+)"`))
		if signedIn.status != http.StatusFound {
			t.Fatalf("got %d %s\n%s", signedIn.status, signedIn.text, going.text)
		}
		return b.open(signedIn.location)
	}
	if got := confirm("bob"); got.status != http.StatusForbidden {
		t.Errorf("another user: got %d %s", got.status, got.text)
	}
	again := map[string]any{"devices": []string{"OTHER"}, "auth": map[string]any{"session": asked.String("session")}}
	if got := alice.Do(http.MethodPost, "/delete_devices", again); got.Status != 401 {
		t.Errorf("not confirmed: got %d %s", got.Status, got.Body)
	}
	if got := confirm("alice"); got.status != http.StatusOK {
		t.Fatalf("got %d %s", got.status, got.text)
	}
	alice.Do(http.MethodPost, "/delete_devices", again).OK()
	// The stage is completed by the page alone.
	asked = bob.Do(http.MethodPost, "/delete_devices", map[string]any{"devices": []string{"OTHER"}})
	forged := map[string]any{"type": "m.login.sso", "session": asked.String("session"), "kept": "abc", "key": "abc"}
	if got := bob.Do(http.MethodPost, "/delete_devices", map[string]any{"devices": []string{"OTHER"}, "auth": forged}); got.Status != 401 {
		t.Errorf("forged: got %d %s", got.Status, got.Body)
	}
}

// logoutToken makes a token of back-channel logout.
func (h *ssoHouse) logoutToken(t *testing.T, change func(jwt.MapClaims)) string {
	t.Helper()
	claims := jwt.MapClaims{
		"iss": h.provider.Issuer(), "aud": h.provider.ClientID, "iat": time.Now().Unix(), "jti": "1", "sub": "id of alice",
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	if change != nil {
		change(claims)
	}
	token, err := h.provider.Keypair.SignJWT(claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestProviderLogsOut(t *testing.T) {
	t.Parallel()
	h := newSSOHouse(t, nil)
	b := h.browser(t)
	alice, bob := h.logIn(t, b, "alice"), h.logIn(t, h.browser(t), "bob")
	_, waiting := b.enter(b.signIn(h, "alice", ssoApp))
	end := func(provider, token string) int {
		return b.do(http.MethodPost, ssoBase+"/_matrix/static/client/sso/logout/"+provider, url.Values{"logout_token": {token}}).status
	}
	for name, change := range map[string]func(jwt.MapClaims){
		"another audience": func(c jwt.MapClaims) { c["aud"] = "somebody" },
		"another issuer":   func(c jwt.MapClaims) { c["iss"] = "https://example.net" },
		"old":              func(c jwt.MapClaims) { c["iat"] = time.Now().Add(-time.Hour).Unix() },
		"an ID token":      func(c jwt.MapClaims) { delete(c, "events") },
		"with a nonce":     func(c jwt.MapClaims) { c["nonce"] = "abc" },
		"of nobody":        func(c jwt.MapClaims) { delete(c, "sub") },
	} {
		if got := end("company", h.logoutToken(t, change)); got != http.StatusBadRequest {
			t.Errorf("%s: got %d", name, got)
		}
	}
	if got := end("nobody", h.logoutToken(t, nil)); got != http.StatusNotFound {
		t.Errorf("another provider: got %d", got)
	}
	alice.Do(http.MethodGet, "/account/whoami", nil).OK()
	if got := end("company", h.logoutToken(t, nil)); got != http.StatusOK {
		t.Fatalf("got %d", got)
	}
	alice.Do(http.MethodGet, "/account/whoami", nil).Refused(401, "M_UNKNOWN_TOKEN")
	bob.Do(http.MethodGet, "/account/whoami", nil).OK()
	h.Do(http.MethodPost, "/login", map[string]any{"type": "m.login.token", "token": waiting}).Refused(403, "M_FORBIDDEN")
}
