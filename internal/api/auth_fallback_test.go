package api

import (
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

// browser fills in the pages of one stage without JavaScript.
type browser struct {
	*matrixtest.Client
	address string
	page    *matrixtest.Response
}

// fallbackOf begins a registration and opens the page of a stage of it.
func (p *mailroom) fallbackOf(stage string) (b *browser, register func() *matrixtest.Response) {
	p.T.Helper()
	body := map[string]any{"username": "alice", "password": "wordpass"}
	session := p.Do("POST", "/register", body).String("session")
	b = &browser{Client: p.Client, address: "/auth/" + stage + "/fallback/web?session=" + session}
	b.page = b.Do("GET", b.address, nil).OK()
	body["auth"] = map[string]any{"session": session}
	return b, func() *matrixtest.Response { return p.Do("POST", "/register", body) }
}

var hiddenInput = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)

// submit sends the form of the page, with its hidden fields and the typed ones.
func (b *browser) submit(typed url.Values) *matrixtest.Response {
	b.T.Helper()
	form := url.Values{}
	for _, hidden := range hiddenInput.FindAllStringSubmatch(string(b.page.Body), -1) {
		form.Set(hidden[1], html.UnescapeString(hidden[2]))
	}
	for name, values := range typed {
		form[name] = values
	}
	b.page = b.Do("POST", b.address, form.Encode())
	return b.page
}

// shows fails the test unless the page has the status and the text.
func (b *browser) shows(status int, text string) {
	b.T.Helper()
	if b.page.Status != status || !strings.Contains(html.UnescapeString(string(b.page.Body)), text) {
		b.T.Errorf("the page has status %d, want %d with %q: %s", b.page.Status, status, text, b.page.Body)
	}
}

func TestFallbackOfEmail(t *testing.T) {
	t.Parallel()
	p := newMailroom(t)
	b, register := p.fallbackOf("m.login.email.identity")
	b.shows(200, "E-mail address")
	b.submit(url.Values{"address": {"nonsense"}})
	b.shows(400, `value="nonsense"`)
	b.submit(url.Values{"address": {"Alice@example.org"}})
	b.shows(200, "We have sent a message to <strong>Alice@example.org</strong>")

	b.submit(nil)
	b.shows(403, `role="alert"`)
	b.shows(403, "We have sent a message")
	if early := register(); early.Status != 401 {
		t.Errorf("registered before the address was confirmed: %d", early.Status)
	}
	p.press().OK()
	b.submit(nil)
	b.shows(200, `id="auth-done"`)
	b.submit(nil)
	b.shows(200, `id="auth-done"`)

	alice := *p.Client
	alice.Token = register().OK().String("access_token")
	if got := alice.Do("GET", "/account/3pid", nil).OK().String("threepids", 0, "address"); got != "alice@example.org" {
		t.Errorf("the account has the address %s", got)
	}
	b.page = b.Do("GET", b.address, nil)
	b.shows(404, "That did not work")
}

func TestFallbackOfPhone(t *testing.T) {
	t.Parallel()
	p := newMailroom(t)
	b, register := p.fallbackOf("m.login.msisdn")
	b.submit(url.Values{"country": {"GB"}, "address": {"1"}})
	b.shows(400, `value="GB"`)
	b.submit(url.Values{"country": {""}, "address": {"+447700900001"}})
	b.shows(200, "We have sent a code to <strong>+447700900001</strong>")
	b.submit(url.Values{"code": {"wrong"}})
	b.shows(400, `name="code"`)
	b.submit(url.Values{"code": {""}})
	b.shows(400, `role="alert"`)
	b.submit(url.Values{"code": {p.gateway.Last(t).Code()}})
	b.shows(200, `id="auth-done"`)
	register().OK()
}

// TestFallbackOfAForgottenPassword identifies the user by an address alone.
func TestFallbackOfAForgottenPassword(t *testing.T) {
	t.Parallel()
	p := newMailroom(t)
	alice := p.Register("alice", "wordpass")
	p.giveEmail(alice, "alice@example.org")
	body := map[string]any{"new_password": "another-word"}
	session := p.Do("POST", "/account/password", body).String("session")
	b := &browser{Client: p.Client, address: "/auth/m.login.email.identity/fallback/web?session=" + session}
	b.page = b.Do("GET", b.address, nil).OK()
	b.submit(url.Values{"address": {"bob@example.org"}})
	b.shows(400, `role="alert"`)
	b.submit(url.Values{"address": {"alice@example.org"}})
	b.shows(200, "We have sent a message")
	p.press().OK()
	b.submit(nil)
	b.shows(200, `id="auth-done"`)
	body["auth"] = map[string]any{"session": session}
	p.Do("POST", "/account/password", body).OK()
	p.Login("alice", "another-word")
}

func TestFallbackKeepsToItsOwnMessage(t *testing.T) {
	t.Parallel()
	p := newMailroom(t)
	b, _ := p.fallbackOf("m.login.email.identity")
	b.submit(url.Values{"address": {"alice@example.org"}})
	p.press().OK()
	b.submit(url.Values{"client_secret": {"guess"}})
	b.shows(403, `role="alert"`)
	b.submit(url.Values{"sid": {`"><script>`}})
	b.shows(403, `role="alert"`)
	if strings.Contains(string(b.page.Body), "<script>") {
		t.Errorf("what was sent became part of the page: %s", b.page.Body)
	}
}
