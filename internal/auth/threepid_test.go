package auth

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/threepid"
	"homeserver/internal/auth/threepid/threepidtest"
	"homeserver/internal/auth/uia"
	"homeserver/internal/event"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/safehttp"
)

const clientSecret = "d0nt-T3ll"

// post is a service of accounts whose users can prove addresses.
type post struct {
	*Service
	*matrixtest.Clock
	threepids *threepid.Service
	mail      *threepidtest.MailServer
	gateway   *threepidtest.Gateway
	identity  *threepidtest.IdentityServer
}

func newPost(t testing.TB, options ...func(*Options)) *post {
	t.Helper()
	pool := postgrestest.New(t)
	p := &post{
		Clock:    &matrixtest.Clock{},
		mail:     threepidtest.NewMailServer(t, nil, false),
		gateway:  threepidtest.NewGateway(t),
		identity: threepidtest.NewIdentityServer(t),
	}
	mailer, err := threepid.NewMailer(threepid.MailOptions{Host: p.mail.Host, Port: p.mail.Port, TLS: threepid.NoTLS, From: "matrix@test.example"})
	must(t, err)
	gateway, err := threepid.NewGateway(threepid.GatewayOptions{URL: p.gateway.URL})
	must(t, err)
	stages := uia.New(pool, p.Now)
	p.threepids = threepid.New(threepid.Options{
		Pool: pool, Stages: stages, ServerName: testServer, BaseURL: "https://test.example", Registration: true, Mail: mailer, Gateway: gateway,
		IdentityServers: []string{p.identity.URL},
		Outgoing:        safehttp.New(safehttp.Options{AllowedRanges: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}),
		Signer:          &event.Signer{ServerName: testServer, KeyID: "ed25519:1", Key: ed25519.NewKeyFromSeed(make([]byte, 32))},
		Now:             p.Now,
	})
	t.Cleanup(p.threepids.Stop)
	o := Options{
		ServerName: testServer, Argon: cheapArgon, RegistrationEnabled: true, Stages: stages, Threepids: p.threepids,
		Now: p.Now,
	}
	for _, option := range options {
		option(&o)
	}
	p.Service = New(pool, o)
	return p
}

// ask asks for a mail and returns the sid.
func (p *post) ask(t testing.TB, purpose threepid.Purpose, address string) string {
	t.Helper()
	one := int64(1)
	s, err := p.threepids.RequestEmail(t.Context(), purpose, threepid.EmailRequest{
		ClientSecret: clientSecret, Email: address, SendAttempt: &one,
	})
	must(t, err)
	return s.SID
}

// click confirms by the last mail with a link.
func (p *post) click(t testing.TB) {
	t.Helper()
	query := p.mail.LastLink(t).Query()
	_, err := p.threepids.Confirm(t.Context(), query.Get("sid"), query.Get("token"))
	must(t, err)
}

// prove goes through a whole validation by mail and returns the sid.
func (p *post) prove(t testing.TB, purpose threepid.Purpose, address string) string {
	t.Helper()
	sid := p.ask(t, purpose, address)
	p.click(t)
	return sid
}

// provePhone does the same by a text message.
func (p *post) provePhone(t testing.TB, purpose threepid.Purpose, number string) string {
	t.Helper()
	one := int64(1)
	s, err := p.threepids.RequestPhone(t.Context(), purpose, threepid.PhoneRequest{
		ClientSecret: clientSecret, Country: "GB", PhoneNumber: number, SendAttempt: &one,
	})
	must(t, err)
	must(t, p.threepids.Submit(t.Context(), threepid.Submission{
		SID: s.SID, ClientSecret: clientSecret, Token: p.gateway.Last(t).Code(),
	}))
	return s.SID
}

// give adds an address to a user.
func (p *post) give(t testing.TB, userID, address string) {
	t.Helper()
	sid := p.prove(t, threepid.ForAccount, address)
	p.claim(t, userID, sid)
}

// claim adds the address of a session to a user.
func (p *post) claim(t testing.TB, userID, sid string) {
	t.Helper()
	must(t, pgx.BeginFunc(t.Context(), p.pool, func(tx pgx.Tx) error { return p.threepids.ClaimNew(t.Context(), tx, sid, userID) }))
}

func emailAuth(sid, session string) json.RawMessage {
	return fmt.Appendf(nil, `{"type":"m.login.email.identity","session":%q,"threepid_creds":{"sid":%q,"client_secret":%q}}`, session, sid, clientSecret)
}

func (p *post) addresses(t testing.TB, userID string) []string {
	t.Helper()
	list, err := p.threepids.List(t.Context(), userID)
	must(t, err)
	var all []string
	for _, c := range list {
		all = append(all, c.Address.Address)
	}
	return all
}

func TestRegisterWithAnAddress(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	r := RegisterRequest{Username: "alice", Password: testPassword}
	_, err := p.Register(t.Context(), r, testClient)
	first := wantChallenge(t, err, "")
	if got := fmt.Sprint(first.Flows); got != "[{[m.login.dummy]} {[m.login.email.identity]} {[m.login.msisdn]}]" {
		t.Errorf("got the flows %s", got)
	}
	sid := p.ask(t, threepid.ForRegistration, "Alice@example.org")
	r.Auth = emailAuth(sid, first.Session)
	_, err = p.Register(t.Context(), r, testClient)
	if again := wantChallenge(t, err, matrix.ThreepidAuthFailed); again.Session != first.Session {
		t.Error("waiting has cost the session")
	}
	p.click(t)
	got, err := p.Register(t.Context(), r, testClient)
	must(t, err)
	if all := p.addresses(t, got.UserID); !slices.Equal(all, []string{"alice@example.org"}) {
		t.Errorf("got %v", all)
	}
	r.Username = "eve"
	r.Auth = emailAuth(sid, "")
	_, err = p.Register(t.Context(), r, testClient)
	wantChallenge(t, err, matrix.ThreepidAuthFailed) // it is used up
}

func TestRegisterWithAPhoneNumber(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"m.login.msisdn", "m.login.msisdn.identity"} {
		p := newPost(t)
		sid := p.provePhone(t, threepid.ForRegistration, "07700 900001")
		r := RegisterRequest{Username: "alice", Auth: fmt.Appendf(nil, `{"type":%q,"threepidCreds":[{"sid":%q,"client_secret":%q}]}`, name, sid, clientSecret)}
		got, err := p.Register(t.Context(), r, testClient)
		must(t, err)
		if all := p.addresses(t, got.UserID); !slices.Equal(all, []string{"447700900001"}) {
			t.Errorf("%s: got %v", name, all)
		}
	}
}

// The stage is remembered with the session, so that a client may go on without
// sending it again.
func TestRegisterGoesOnAfterTheNameWasTaken(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	_, err := p.Register(t.Context(), RegisterRequest{Username: "wanted"}, testClient)
	session := wantChallenge(t, err, "").Session
	sid := p.prove(t, threepid.ForRegistration, "a@example.org")
	op := uia.Operation{Name: uia.Register, Flows: p.o.Stages.Alone(uia.Register)}
	_, err = p.o.Stages.Interact(t.Context(), op, emailAuth(sid, session))
	must(t, err)

	r := RegisterRequest{Username: "another", Auth: fmt.Appendf(nil, `{"session":%q}`, session)}
	got, err := p.Register(t.Context(), r, testClient)
	must(t, err)
	if all := p.addresses(t, got.UserID); !slices.Equal(all, []string{"a@example.org"}) {
		t.Errorf("got %v", all)
	}
}

func TestRegisterWithAnAddressIsOneTransaction(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	mustRegister(t, p.Service, "alice")
	sid := p.prove(t, threepid.ForRegistration, "a@example.org")
	p.give(t, userID("alice"), "a@example.org") // somebody was faster
	_, err := p.Register(t.Context(), RegisterRequest{Username: "bob", Auth: emailAuth(sid, "")}, testClient)
	matrixtest.WantCode(t, err, matrix.ThreepidInUse)
	if exists, err := account.Exists(t.Context(), p.pool, userID("bob")); err != nil || exists {
		t.Errorf("the account exists: %v, %v", exists, err)
	}
}

func TestThreepidStageRefusals(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	byMail := p.prove(t, threepid.ForRegistration, "a@example.org")
	op := uia.Operation{Name: uia.Register, Flows: [][]string{{uia.StageEmail}, {uia.StagePhone}}}
	tests := map[string]struct {
		auth   string
		want   matrix.Code
		status int
	}{
		"no credentials":     {`{"type":"m.login.email.identity"}`, matrix.MissingParam, 400},
		"empty list":         {`{"type":"m.login.email.identity","threepid_creds":[]}`, matrix.MissingParam, 400},
		"credentials a text": {`{"type":"m.login.email.identity","threepid_creds":"a"}`, matrix.BadJSON, 400},
		"another secret":     {`{"type":"m.login.email.identity","threepid_creds":{"sid":"` + byMail + `","client_secret":"x"}}`, matrix.ThreepidAuthFailed, 401},
		"another medium":     {`{"type":"m.login.msisdn","threepid_creds":{"sid":"` + byMail + `","client_secret":"d0nt-T3ll"}}`, matrix.ThreepidAuthFailed, 401},
	}
	for name, test := range tests {
		_, err := try(t, p.Service, op, "%s", test.auth)
		if e := matrixtest.WantCode(t, err, test.want); e.HTTPStatus() != test.status {
			t.Errorf("%s: got %d", name, e.HTTPStatus())
		}
	}
	op.Name = "POST /elsewhere"
	_, err := p.o.Stages.Interact(t.Context(), op, emailAuth(byMail, ""))
	wantChallenge(t, err, matrix.ThreepidAuthFailed)
}

func TestFlowsWithoutMailServer(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	_, err := s.Register(t.Context(), RegisterRequest{}, testClient)
	if got := fmt.Sprint(wantChallenge(t, err, "").Flows); got != "[{[m.login.dummy]}]" {
		t.Errorf("got %s", got)
	}
	_, err = s.Register(t.Context(), RegisterRequest{Auth: emailAuth("x", "")}, testClient)
	wantChallenge(t, err, matrix.Unrecognized)
}

// A client that has forgotten everything but the address has neither token nor
// session.
func TestForgottenPassword(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	alice := mustRegister(t, p.Service, "alice")
	p.give(t, alice.UserID, "a@example.org")
	sid := p.prove(t, threepid.ForPassword, "A@example.org")
	r := ChangePasswordRequest{NewPassword: "new password", Auth: fmt.Appendf(nil,
		`{"type":"m.login.email.identity","threepidCreds":{"sid":%q,"client_secret":%q,"id_server":"old.example"},"threepid_creds":null}`, sid, clientSecret)}
	must(t, p.ChangePassword(t.Context(), matrix.Session{}, r))
	wantUnknown(t, p.Service, alice.AccessToken, false)
	_, err := p.Login(t.Context(), loginRequest("alice", "new password"), testClient)
	must(t, err)

	err = p.ChangePassword(t.Context(), matrix.Session{}, r)
	wantChallenge(t, err, matrix.ThreepidAuthFailed)
}

func TestForgottenPasswordByPhone(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	alice := mustRegister(t, p.Service, "alice")
	sid := p.provePhone(t, threepid.ForAccount, "07700 900001")
	p.claim(t, alice.UserID, sid)
	keep := false
	sid = p.provePhone(t, threepid.ForPassword, "+44 7700 900001")
	must(t, p.ChangePassword(t.Context(), matrix.Session{}, ChangePasswordRequest{
		NewPassword: "new password", LogoutDevices: &keep,
		Auth: fmt.Appendf(nil, `{"type":"m.login.msisdn","threepid_creds":{"sid":%q,"client_secret":%q}}`, sid, clientSecret),
	}))
	mustAuthenticate(t, p.Service, alice.AccessToken)
	_, err := p.Login(t.Context(), loginRequest("alice", "new password"), testClient)
	must(t, err)
}

func TestChangePasswordByAddressOfAnother(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	alice, eve := mustRegister(t, p.Service, "alice"), mustRegister(t, p.Service, "eve")
	p.give(t, eve.UserID, "eve@example.org")
	sid := p.prove(t, threepid.ForPassword, "eve@example.org")
	session := mustAuthenticate(t, p.Service, alice.AccessToken)
	err := p.ChangePassword(t.Context(), session, ChangePasswordRequest{NewPassword: "new password", Auth: emailAuth(sid, "")})
	wantChallenge(t, err, matrix.Forbidden)
	mustLogin(t, p.Service, "alice")
}

func TestForgottenPasswordOfAnAddressThatWasTakenAway(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	alice := mustRegister(t, p.Service, "alice")
	p.give(t, alice.UserID, "a@example.org")
	sid := p.prove(t, threepid.ForPassword, "a@example.org")
	op := uia.Operation{Name: uia.ChangePassword, Flows: p.o.Stages.Alone(uia.ChangePassword)}
	proof, err := p.o.Stages.Interact(t.Context(), op, emailAuth(sid, ""))
	must(t, err)
	_, err = p.threepids.Delete(t.Context(), alice.UserID, threepid.Removal{Medium: "email", Address: "a@example.org"})
	must(t, err)
	r := ChangePasswordRequest{NewPassword: "new password", Auth: emailAuth(sid, "")}
	wantChallenge(t, p.ChangePassword(t.Context(), matrix.Session{}, r), matrix.ThreepidNotFound)

	// Between the check and the transaction, too.
	c := passwordChange{userID: alice.UserID, password: "new password"}
	err = p.changePassword(t.Context(), c, proof)
	matrixtest.WantCode(t, err, matrix.ThreepidAuthFailed)
	mustLogin(t, p.Service, "alice")
}

func TestAddThreepid(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	alice := mustAuthenticate(t, p.Service, mustRegister(t, p.Service, "alice").AccessToken)
	r := threepid.AddRequest{ClientSecret: clientSecret, SID: p.ask(t, threepid.ForAccount, "a@example.org")}
	matrixtest.WantCode(t, p.threepids.Add(t.Context(), alice, r), matrix.ThreepidAuthFailed)
	p.click(t)
	challenge := wantChallenge(t, p.threepids.Add(t.Context(), alice, r), "")
	if got := fmt.Sprint(challenge.Flows); got != "[{[m.login.password]}]" {
		t.Errorf("got the flows %s", got)
	}
	r.Auth = passwordAuth(t, "alice", "wrong", challenge.Session)
	wantChallenge(t, p.threepids.Add(t.Context(), alice, r), matrix.Forbidden)
	r.Auth = passwordAuth(t, "alice", testPassword, challenge.Session)
	must(t, p.threepids.Add(t.Context(), alice, r))
	if all := p.addresses(t, alice.UserID); !slices.Equal(all, []string{"a@example.org"}) {
		t.Errorf("got %v", all)
	}
	matrixtest.WantCode(t, p.threepids.Add(t.Context(), alice, r), matrix.ThreepidAuthFailed)
	matrixtest.WantCode(t, p.threepids.Add(t.Context(), alice, threepid.AddRequest{}), matrix.MissingParam)
}

func TestLoginByThirdPartyIdentifier(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	alice := mustRegister(t, p.Service, "alice").UserID
	p.give(t, alice, "a@example.org")
	sid := p.provePhone(t, threepid.ForAccount, "07700 900001")
	p.claim(t, alice, sid)

	good := []LoginRequest{
		{Identifier: &Identifier{Type: "m.id.thirdparty", Medium: "email", Address: "a@example.org"}},
		{Identifier: &Identifier{Type: "m.id.thirdparty", Medium: "email", Address: "A@Example.org"}},
		{Identifier: &Identifier{Type: "m.id.thirdparty", Medium: "msisdn", Address: "447700900001"}},
		{Identifier: &Identifier{Medium: "email", Address: "a@example.org"}},
		{Identifier: &Identifier{Type: "m.id.phone", Country: "GB", Phone: "07700 900001"}},
		{Identifier: &Identifier{Type: "m.id.phone", Country: "GB", Number: "+44 7700 900001"}},
		{Medium: "email", Address: "a@example.org"},
	}
	for _, r := range good {
		r.Type, r.Password = uia.StagePassword, testPassword
		got, err := p.Login(t.Context(), r, testClient)
		if err != nil || got.UserID != alice {
			t.Errorf("%+v: got %s, %v", r, got.UserID, err)
		}
		r.Password = "wrong"
		_, err = p.Login(t.Context(), r, testClient)
		matrixtest.WantCode(t, err, matrix.Forbidden)
	}
	for _, id := range []Identifier{
		{Type: "m.id.thirdparty", Medium: "email", Address: "b@example.org"},
		{Type: "m.id.thirdparty", Medium: "email", Address: "nonsense"},
		{Type: "m.id.thirdparty", Medium: "pigeon", Address: "a@example.org"},
		{Type: "m.id.thirdparty"},
		{Type: "m.id.phone", Country: "DE", Phone: "07700 900001"},
		{Type: "m.id.phone"},
	} {
		_, err := p.Login(t.Context(), LoginRequest{Type: uia.StagePassword, Identifier: &id, Password: testPassword}, testClient)
		if !matrix.IsCode(err, matrix.Forbidden) {
			t.Errorf("%+v: got %v", id, err)
		}
	}
	op := uia.Operation{Name: "x", UserID: alice, Flows: [][]string{{uia.StagePassword}}}
	_, err := try(t, p.Service, op, `{"type":"m.login.password","identifier":{"type":"m.id.thirdparty","medium":"email","address":"a@example.org"},"password":%q}`, testPassword)
	must(t, err)
}

// The counts must not show whether any user has an address.
func TestWrongPasswordsAreCountedForUnknownAddressesToo(t *testing.T) {
	t.Parallel()
	p := newPost(t, limitFailedLogins(ratelimit.Limit{PerSecond: 0.001, Burst: 2}))
	p.give(t, mustRegister(t, p.Service, "alice").UserID, "known@example.org")
	for _, address := range []string{"known@example.org", "unknown@example.org", "another@example.org"} {
		r := LoginRequest{Type: uia.StagePassword, Medium: "email", Address: address, Password: "wrong"}
		for range 2 {
			_, err := p.Login(t.Context(), r, testClient)
			matrixtest.WantCode(t, err, matrix.Forbidden)
		}
		_, err := p.Login(t.Context(), r, testClient)
		matrixtest.WantCode(t, err, matrix.LimitExceeded)
	}
	// Both names are of the same account.
	_, err := p.Login(t.Context(), loginRequest("alice", testPassword), testClient)
	matrixtest.WantCode(t, err, matrix.LimitExceeded)
}

func TestDeactivateFreesAndUnbindsAddresses(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	for _, test := range []struct {
		name, named, want string
		broken            bool
	}{
		{"alice", "", "success", false},
		{"bob", p.identity.Name, "success", false},
		{"eve", "", "no-support", true},
	} {
		got := mustRegister(t, p.Service, test.name)
		p.give(t, got.UserID, "shared@example.org")
		p.identity.Answer(0, "")
		p.identity.Validate("sid", clientSecret, "email", "shared@example.org")
		must(t, p.threepids.Bind(t.Context(), got.UserID, threepid.Credentials{
			SID: "sid", ClientSecret: clientSecret, IDServer: p.identity.Name, IDAccessToken: threepidtest.AccessToken,
		}))
		if test.broken {
			p.identity.Answer(500, "")
		}
		r := DeactivateRequest{IDServer: test.named, Auth: passwordAuth(t, test.name, testPassword, "")}
		answer, err := p.Deactivate(t.Context(), mustAuthenticate(t, p.Service, got.AccessToken), r)
		must(t, err)
		if answer.IDServerUnbindResult != test.want || len(p.addresses(t, got.UserID)) != 0 {
			t.Errorf("%s: got %+v, still has %v", test.name, answer, p.addresses(t, got.UserID))
		}
		if bound := p.identity.Bound("email", "shared@example.org"); (bound != "") != test.broken {
			t.Errorf("%s: still bound: %q", test.name, bound)
		}
		_, err = p.Login(t.Context(), LoginRequest{Type: uia.StagePassword, Medium: "email", Address: "shared@example.org", Password: testPassword}, testClient)
		matrixtest.WantCode(t, err, matrix.Forbidden)
	}
}

func TestEraseIsDoneAfterLeaving(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	var done []string
	hooks := func(server *Service) {
		server.OnErase(func(_ context.Context, userID string) error { done = append(done, "erase "+userID); return nil })
		server.OnDeactivate(func(_ context.Context, userID string) error { done = append(done, "leave "+userID); return nil })
	}
	server := serverOn(t, s, hooks)
	for _, name := range []string{"alice", "bob"} {
		mustRegister(t, s, name)
		must(t, server.DeactivateAccount(t.Context(), name, name == "bob"))
	}
	want := []string{"leave " + userID("alice"), "leave " + userID("bob"), "erase " + userID("bob")}
	if !slices.Equal(done, want) {
		t.Errorf("got %q, want %q", done, want)
	}
	// The unfinished work is known after a restart.
	must(t, server.o.Journal.Stop(t.Context()))
	must(t, s.DeactivateAccount(t.Context(), "bob", false))
	done = nil
	server = serverOn(t, s, hooks)
	waitUntilFinished(t, s)
	must(t, server.o.Journal.Stop(t.Context()))
	if want := want[1:]; !slices.Equal(done, want) {
		t.Errorf("resumed: got %q, want %q", done, want)
	}
}
