package api

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/auth/threepid"
	"homeserver/internal/auth/threepid/threepidtest"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/safehttp"
)

// mailroom is a server that can send messages, and the services that it uses.
type mailroom struct {
	*matrixtest.Client
	mail     *threepidtest.MailServer
	gateway  *threepidtest.Gateway
	identity *threepidtest.IdentityServer
	service  *threepid.Service
}

func newMailroom(t testing.TB, changes ...func(*threepid.Options)) *mailroom {
	t.Helper()
	p := &mailroom{
		mail:     threepidtest.NewMailServer(t, nil, false),
		gateway:  threepidtest.NewGateway(t),
		identity: threepidtest.NewIdentityServer(t),
	}
	mailer, err := threepid.NewMailer(threepid.MailOptions{Host: p.mail.Host, Port: p.mail.Port, TLS: threepid.NoTLS, From: "matrix@localhost"})
	if err != nil {
		t.Fatal(err)
	}
	gateway, err := threepid.NewGateway(threepid.GatewayOptions{URL: p.gateway.URL})
	if err != nil {
		t.Fatal(err)
	}
	wire := func(o *threepid.Options) {
		o.Mail, o.Gateway = mailer, gateway
		o.IdentityServers = []string{p.identity.URL}
		o.Outgoing = safehttp.New(safehttp.Options{AllowedRanges: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	}
	opts := servicesOn(t, postgrestest.New(t), append([]func(*threepid.Options){wire}, changes...)...)
	p.service = opts.Threepids
	p.Client = matrixtest.New(t, newAPI(t, opts).Handler())
	return p
}

const clientSecret = "d0nt-T3ll"

// askEmail asks for a mail and returns the sid.
func (p *mailroom) askEmail(path, address string, more ...string) string {
	p.T.Helper()
	body := map[string]any{"client_secret": clientSecret, "email": address, "send_attempt": 1, "id_server": "ignored.example"}
	for i := 0; i < len(more); i += 2 {
		body[more[i]] = more[i+1]
	}
	answer := p.Do("POST", path+"/email/requestToken", body).OK()
	if answer.At("submit_url") != nil {
		p.T.Errorf("the token of a mail is not for the client: %s", answer.Body)
	}
	return answer.String("sid")
}

// page returns the path and the query of the link in the last mail with one.
func (p *mailroom) page() string {
	p.T.Helper()
	link := p.mail.LastLink(p.T)
	if link.Host != "localhost:8008" {
		p.T.Fatalf("the link is %v", link)
	}
	return link.RequestURI()
}

// press presses the button of the page that the last mail with a link leads to.
func (p *mailroom) press() *matrixtest.Response {
	p.T.Helper()
	link, err := url.Parse(p.page())
	if err != nil {
		p.T.Fatal(err)
	}
	return p.Do("POST", link.Path, link.RawQuery) // the form has the same fields
}

func threepidCreds(sid string) map[string]any {
	return map[string]any{"sid": sid, "client_secret": clientSecret}
}

func TestRegisterByMail(t *testing.T) {
	t.Parallel()
	p := newMailroom(t, func(o *threepid.Options) { o.NextLinkHosts = []string{"app.example.org"} })
	body := map[string]any{"username": "alice", "password": "wordpass"}
	challenge := p.Do("POST", "/register", body)
	want := []any{
		map[string]any{"stages": []any{"m.login.dummy"}},
		map[string]any{"stages": []any{"m.login.email.identity"}},
		map[string]any{"stages": []any{"m.login.msisdn"}},
	}
	if diff := cmp.Diff(any(want), challenge.At("flows")); diff != "" {
		t.Error(diff)
	}
	sid := p.askEmail("/register", "Alice@example.org", "next_link", "https://app.example.org/?a=1&b=\"2\"")
	body["auth"] = map[string]any{"type": "m.login.email.identity", "session": challenge.String("session"), "threepid_creds": threepidCreds(sid)}
	p.Do("POST", "/register", body).Refused(401, "M_THREEPID_AUTH_FAILED")

	page := p.Do("GET", p.page(), nil).OK()
	if html := string(page.Body); !strings.Contains(html, "alice@example.org") || !strings.Contains(html, `<form method="post">`) ||
		strings.Contains(html, "<script") || !strings.Contains(page.Header.Get("Content-Type"), "text/html") {
		t.Errorf("the page is %s", page.Body)
	}
	if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Errorf("Content-Security-Policy is %s", csp)
	}
	p.Do("GET", p.page(), nil).OK() // a scanner of mails
	p.Do("POST", "/register", body).Refused(401, "M_THREEPID_AUTH_FAILED")

	done := string(p.press().OK().Body)
	for _, want := range []string{
		`<meta http-equiv="refresh" content="0; url=https://app.example.org/?a=1&amp;b=&#34;2&#34;">`,
		`href="https://app.example.org/?a=1&amp;b=%222%22"`, "alice@example.org is confirmed",
	} {
		if !strings.Contains(done, want) {
			t.Errorf("the page has no %s: %s", want, done)
		}
	}
	p.Do("GET", p.page(), nil).OK() // to come back is fine
	alice := *p.Client
	alice.Token = p.Do("POST", "/register", body).OK().String("access_token")
	list := alice.Do("GET", "/account/3pid", nil).OK()
	if list.String("threepids", 0, "medium") != "email" || list.String("threepids", 0, "address") != "alice@example.org" ||
		list.At("threepids", 0, "validated_at").(float64) == 0 || list.At("threepids", 0, "added_at").(float64) == 0 || list.At("threepids", 1) != nil {
		t.Errorf("got %s", list.Body)
	}
	if page := p.Do("GET", p.page(), nil); page.Status != 404 || !strings.Contains(string(page.Body), "<html") {
		t.Errorf("the link of a session that is used up: %d %s", page.Status, page.Body)
	}
	p.Do("POST", "/login", `{"type":"m.login.password","password":"wordpass","identifier":{"type":"m.id.thirdparty","medium":"email","address":"alice@example.org"}}`).OK()
}

// Anybody can ask for a mail with a next_link, and the mail comes from this server.
func TestNextLinkGoesNowhereByItself(t *testing.T) {
	t.Parallel()
	p := newMailroom(t)
	p.askEmail("/register", "alice@example.org", "next_link", "https://phish.example/")
	page := p.press().OK()
	if html := string(page.Body); strings.Contains(html, "refresh") || page.Header.Get("Refresh") != "" || page.Header.Get("Location") != "" ||
		!strings.Contains(html, "<strong>phish.example</strong>") {
		t.Errorf("got %s", html)
	}
}

func TestForgottenPasswordByMail(t *testing.T) {
	t.Parallel()
	p := newMailroom(t)
	alice := p.Register("alice", "wordpass")
	p.giveEmail(alice, "alice@example.org")
	p.Do("POST", "/account/password/email/requestToken", `{"client_secret":"x","email":"bob@example.org","send_attempt":1}`).Refused(400, "M_THREEPID_NOT_FOUND")
	sid := p.askEmail("/account/password", "alice@example.org")
	// As an old library sends it: no token, no session, another name, a list.
	body := map[string]any{"new_password": "better", "auth": map[string]any{
		"type": "m.login.email.identity", "threepidCreds": []any{threepidCreds(sid)},
	}}
	p.Do("POST", "/account/password", body).Refused(401, "M_THREEPID_AUTH_FAILED")
	if page := string(p.press().OK().Body); !strings.Contains(page, "You can close this page") {
		t.Errorf("got %s", page)
	}
	p.Do("POST", "/account/password", body).OK()
	p.Login("alice", "better")
	alice.Do("GET", "/account/whoami", nil).Refused(401, "M_UNKNOWN_TOKEN")
	p.Do("POST", "/account/password", body).Refused(401, "M_THREEPID_AUTH_FAILED")
}

// giveEmail adds an address to an account.
func (p *mailroom) giveEmail(c *matrixtest.Client, address string) {
	p.T.Helper()
	sid := p.askEmail("/account/3pid", address)
	p.press().OK()
	c.Do("POST", "/account/3pid/add", map[string]any{"sid": sid, "client_secret": clientSecret, "auth": passwordOf(c.UserID, "wordpass")}).OK()
	p.service.Stop()
}

// sent lists the recipients of mails about a subject, in the order of arrival.
func (p *mailroom) sent(about string) []string {
	p.service.Stop()
	var to []string
	for _, m := range p.mail.Mails() {
		if strings.Contains(m.Header.Get("Subject"), about) {
			to = append(to, m.To)
		}
	}
	return to
}

func TestStolenTokenDoesNotBecomeTheAccount(t *testing.T) {
	t.Parallel()
	p := newMailroom(t)
	alice := p.Register("alice", "wordpass")
	sid := p.askEmail("/account/3pid", "thief@example.org")
	p.press().OK()
	for _, path := range []string{"/account/3pid", "/account/3pid/add"} {
		refused := alice.Do("POST", path, map[string]any{"three_pid_creds": threepidCreds(sid), "sid": sid, "client_secret": clientSecret})
		if refused.Status != 401 || refused.String("session") == "" || refused.String("flows", 0, "stages", 0) != "m.login.password" {
			t.Errorf("%s without a password: %d %s", path, refused.Status, refused.Body)
		}
	}
	if got := alice.Do("GET", "/account/3pid", nil).OK().At("threepids"); !cmp.Equal(got, any([]any{})) {
		t.Errorf("the thief's address was added: %v", got)
	}
	p.Do("POST", "/account/password/email/requestToken", `{"client_secret":"x","email":"thief@example.org","send_attempt":1}`).Refused(400, "M_THREEPID_NOT_FOUND")
}

func TestOtherAddressesAreToldOfChanges(t *testing.T) {
	t.Parallel()
	p := newMailroom(t)
	alice := p.Register("alice", "wordpass")
	p.giveEmail(alice, "first@example.org")
	if got := p.sent("new address"); got != nil {
		t.Errorf("the first address: told to %v", got)
	}
	p.giveEmail(alice, "second@example.org")
	if got := p.sent("new address"); !cmp.Equal(got, []string{"first@example.org"}) {
		t.Errorf("a new address: told to %v", got)
	}
	alice.Do("POST", "/account/password", map[string]any{"new_password": "wordpass", "auth": passwordOf(alice.UserID, "wordpass")}).OK()
	if got := p.sent("password of your account on localhost was changed"); !cmp.Equal(got, []string{"first@example.org", "second@example.org"}) {
		t.Errorf("a new password: told to %v", got)
	}
	alice.Do("POST", "/account/3pid/delete", `{"medium":"email","address":"first@example.org"}`).OK()
	if got := p.sent("removed"); !cmp.Equal(got, []string{"first@example.org", "second@example.org"}) {
		t.Errorf("a removal: told to %v", got)
	}
	alice.Do("POST", "/account/3pid/delete", `{"medium":"email","address":"elsewhere@example.org"}`).OK()
	if n := len(p.sent("removed")); n != 2 {
		t.Errorf("%d mails, also to an address that is not of the account", n)
	}
}

func TestAddPhoneNumber(t *testing.T) {
	t.Parallel()
	p := newMailroom(t)
	alice := p.Register("alice", "wordpass")
	answer := p.Do("POST", "/account/3pid/msisdn/requestToken", // the example of the specification
		`{"client_secret":"monkeys_are_GREAT","country":"GB","phone_number":"07700900001","send_attempt":1,"next_link":"https://example.org/congratulations.html"}`).OK()
	submit := answer.String("submit_url")
	if submit != "http://localhost:8008/_matrix/static/threepid/submit" {
		t.Fatalf("submit_url is %s", submit)
	}
	path := strings.TrimPrefix(submit, "http://localhost:8008")
	sid, code := answer.String("sid"), p.gateway.Last(t).Code()
	add := map[string]any{"sid": sid, "client_secret": "monkeys_are_GREAT"}
	alice.Do("POST", "/account/3pid/add", add).Refused(403, "M_THREEPID_AUTH_FAILED")

	submission := map[string]any{"sid": sid, "client_secret": "monkeys_are_GREAT", "token": "wrong"}
	p.Do("POST", path, submission).Refused(400, "M_TOKEN_INCORRECT")
	p.Do("POST", path, `{"sid":"x","client_secret":"y","token":"z"}`).Refused(404, "M_NO_VALID_SESSION")
	p.Do("POST", path, `{}`).Refused(400, "M_MISSING_PARAM")
	p.Do("POST", path, `{`).Refused(400, "M_NOT_JSON")
	submission["token"] = code
	for _, body := range []any{submission, url.Values{"sid": {sid}, "client_secret": {"monkeys_are_GREAT"}, "token": {code}}.Encode()} {
		if got := p.Do("POST", path, body).OK().At("success"); got != true {
			t.Errorf("success is %v", got)
		}
	}
	session := alice.Do("POST", "/account/3pid/add", add).String("session")
	if session == "" {
		t.Fatal("no authentication is asked for")
	}
	add["auth"] = map[string]any{"type": "m.login.password", "session": session, "user": "alice", "password": "wordpass"}
	alice.Do("POST", "/account/3pid/add", add).OK()
	if got := alice.Do("GET", "/account/3pid", nil).OK().String("threepids", 0, "address"); got != "447700900001" {
		t.Errorf("got %s", got)
	}
	p.Do("POST", "/login", `{"type":"m.login.password","password":"wordpass","identifier":{"type":"m.id.phone","country":"GB","phone":"07700 900001"}}`).OK()
	p.Do("POST", "/register/msisdn/requestToken", `{"client_secret":"x","country":"GB","phone_number":"07700900001","send_attempt":1}`).Refused(400, "M_THREEPID_IN_USE")
}

func TestOldFormsOfCredentials(t *testing.T) {
	t.Parallel()
	p := newMailroom(t)
	alice := p.Register("alice", "wordpass")
	for i, name := range []string{"three_pid_creds", "threePidCreds", "threepid_creds", "threepidCreds"} {
		isList := i%2 == 1
		sid := p.askEmail("/account/3pid", strconv.Itoa(i)+"@example.org")
		p.press().OK()
		var creds any = threepidCreds(sid)
		if isList {
			creds = []any{creds}
		}
		body := map[string]any{name: creds, "bind": false}
		body["auth"] = passwordOf(alice.UserID, "wordpass")
		body["auth"].(map[string]any)["session"] = alice.Do("POST", "/account/3pid", map[string]any{name: creds}).String("session")
		alice.Do("POST", "/account/3pid", body).OK()
	}
	if got := alice.Do("GET", "/account/3pid", nil).OK().At("threepids").([]any); len(got) != 4 {
		t.Errorf("got %v", got)
	}
	alice.Do("POST", "/account/3pid", `{}`).Refused(400, "M_MISSING_PARAM")
	alice.Do("POST", "/account/3pid", `{"threepid_creds":7}`).Refused(400, "M_BAD_JSON")
	alice.Do("POST", "/account/3pid", `{"threepid_creds":{"sid":"x","client_secret":"y"}}`).Refused(403, "M_THREEPID_AUTH_FAILED")
}

func TestBindUnbindAndDelete(t *testing.T) {
	t.Parallel()
	p := newMailroom(t)
	alice := p.Register("alice", "wordpass")
	p.giveEmail(alice, "a@example.org")
	p.identity.Validate("there", clientSecret, "email", "a@example.org")
	bind := map[string]any{"sid": "there", "client_secret": clientSecret, "id_server": p.identity.Name, "id_access_token": threepidtest.AccessToken}
	bound := func(want string) {
		t.Helper()
		if got := p.identity.Bound("email", "a@example.org"); got != want {
			t.Errorf("bound to %q, want %q", got, want)
		}
	}
	alice.Do("POST", "/account/3pid/bind", bind).OK()
	bound(alice.UserID)
	if got := alice.Do("POST", "/account/3pid/unbind", `{"medium":"email","address":"a@example.org"}`).OK().String("id_server_unbind_result"); got != "success" {
		t.Errorf("unbind: %s", got)
	}
	bound("")
	alice.Do("POST", "/account/3pid", map[string]any{"three_pid_creds": bind}).OK() // as it is specified today
	bound(alice.UserID)
	if got := alice.Do("POST", "/account/3pid/delete", `{"medium":"email","address":"a@example.org"}`).OK().String("id_server_unbind_result"); got != "success" {
		t.Errorf("delete: %s", got)
	}
	bound("")
	if got := alice.Do("POST", "/account/3pid/delete", `{"medium":"email","address":"a@example.org"}`).OK().String("id_server_unbind_result"); got != "no-support" {
		t.Errorf("delete again: %s", got)
	}
	if got := alice.Do("GET", "/account/3pid", nil).OK().At("threepids"); !cmp.Equal(got, any([]any{})) {
		t.Errorf("got %v", got)
	}
	bind["sid"] = "unknown"
	alice.Do("POST", "/account/3pid/bind", bind).Refused(404, "M_NO_VALID_SESSION")
	bind["id_server"] = "elsewhere.example"
	alice.Do("POST", "/account/3pid/bind", bind).Refused(400, "M_SERVER_NOT_TRUSTED")
	delete(bind, "id_server")
	alice.Do("POST", "/account/3pid/bind", bind).Refused(400, "M_MISSING_PARAM")
	alice.Do("POST", "/account/3pid/delete", `{"medium":"email"}`).Refused(400, "M_MISSING_PARAM")
	alice.Do("POST", "/account/3pid/unbind", `{"medium":"pigeon","address":"a"}`).Refused(400, "M_INVALID_PARAM")
}

func TestRequestTokenRefusals(t *testing.T) {
	t.Parallel()
	p := newMailroom(t, func(o *threepid.Options) {
		o.EmailDomains, o.PhoneCountries, o.NextLinkHosts = []string{"example.org"}, []string{"GB"}, []string{"app.example.org"}
	})
	p.giveEmail(p.Register("alice", "wordpass"), "taken@example.org")
	for _, where := range []string{"/register", "/account/3pid", "/account/password"} {
		for body, code := range map[string]string{
			``: "M_MISSING_PARAM",
			`{"client_secret":"x","email":"a@example.org"}`:                                                         "M_MISSING_PARAM",
			`{"client_secret":"x","email":"a@example.org","send_attempt":"1"}`:                                      "M_BAD_JSON",
			`{"client_secret":"x y","email":"a@example.org","send_attempt":1}`:                                      "M_INVALID_PARAM",
			`{"client_secret":"x","email":"nonsense","send_attempt":1}`:                                             "M_INVALID_PARAM",
			`{"client_secret":"x","email":"a@example.org","send_attempt":1,"next_link":"javascript:x"}`:             "M_INVALID_PARAM",
			`{"client_secret":"x","email":"a@example.org","send_attempt":1,"next_link":"https://evil.example.org"}`: "M_INVALID_PARAM",
		} {
			p.Do("POST", where+"/email/requestToken", body).Refused(400, code)
		}
		p.Do("POST", where+"/email/requestToken", `{"client_secret":"x","email":"a@example.com","send_attempt":1}`).Refused(403, "M_THREEPID_DENIED")
		p.Do("POST", where+"/msisdn/requestToken", `{"client_secret":"x","country":"GB","phone_number":"7","send_attempt":1}`).Refused(400, "M_INVALID_PARAM")
		p.Do("POST", where+"/msisdn/requestToken", `{"client_secret":"x","country":"US","phone_number":"2125550123","send_attempt":1}`).Refused(403, "M_THREEPID_DENIED")
		if where != "/account/password" {
			p.Do("POST", where+"/email/requestToken", `{"client_secret":"x","email":"TAKEN@example.org","send_attempt":1}`).Refused(400, "M_THREEPID_IN_USE")
		}
	}
	none := newServer(t)
	none.Do("POST", "/register/email/requestToken", `{}`).Refused(400, "M_THREEPID_MEDIUM_NOT_SUPPORTED")
	none.Do("POST", "/account/3pid/msisdn/requestToken", `{}`).Refused(400, "M_THREEPID_MEDIUM_NOT_SUPPORTED")
}

func TestStrangersDoNotLearnWhoIsRegistered(t *testing.T) {
	t.Parallel()
	p := newMailroom(t, func(o *threepid.Options) { o.ConcealRegistered = true })
	p.giveEmail(p.Register("alice", "wordpass"), "taken@example.org")
	for _, where := range []string{"/register", "/account/3pid", "/account/password"} {
		for _, address := range []string{"taken@example.org", "free@example.org"} {
			if p.askEmail(where, address, "client_secret", "fresh") == "" {
				t.Errorf("%s %s: no sid", where, address)
			}
			if got := p.mail.Last(t); got.To != address {
				t.Errorf("%s: the last mail went to %s", address, got.To)
			}
		}
	}
}

func TestPageOfABadLink(t *testing.T) {
	t.Parallel()
	p := newMailroom(t)
	p.askEmail("/register", "a@example.org")
	link := p.mail.LastLink(t)
	for _, query := range []string{"", "sid=x&token=y", "sid=" + link.Query().Get("sid") + "&token=y", "token=" + link.Query().Get("token")} {
		for _, answer := range []*matrixtest.Response{
			p.Do("GET", link.Path+"?"+query, nil), p.Do("POST", link.Path, query),
		} {
			if answer.Status < 400 || answer.Status >= 500 || !strings.Contains(string(answer.Body), "That did not work") {
				t.Errorf("%s: %d %s", query, answer.Status, answer.Body)
			}
		}
	}
	p.press().OK()
}

func TestCapabilityOfThreepidChanges(t *testing.T) {
	t.Parallel()
	got := newMailroom(t).Register("alice", "wordpass").Do("GET", "/capabilities", nil).OK()
	if got.At("capabilities", "m.3pid_changes", "enabled") != true {
		t.Errorf("got %s", got.Body)
	}
}

func TestEraseForgetsProfileAndAddresses(t *testing.T) {
	t.Parallel()
	p := newMailroom(t)
	for _, erase := range []bool{false, true} {
		name := map[bool]string{false: "alice", true: "bob"}[erase]
		c := p.Register(name, "wordpass")
		c.Do("PUT", matrixtest.Path("profile", c.UserID, "displayname"), `{"displayname":"Me"}`).OK()
		p.giveEmail(c, name+"@example.org")
		answer := c.Do("POST", "/account/deactivate", map[string]any{"erase": erase, "auth": map[string]any{
			"type": "m.login.password", "user": name, "password": "wordpass",
		}}).OK()
		if answer.String("id_server_unbind_result") != "success" {
			t.Errorf("got %s", answer.Body)
		}
		if got := p.Do("GET", matrixtest.Path("profile", c.UserID), nil).OK().String("displayname"); (got == "") != erase {
			t.Errorf("erase %v: the name is %q", erase, got)
		}
		p.giveEmail(p.Register(name+"2", "wordpass"), name+"@example.org") // it is free
	}
}
