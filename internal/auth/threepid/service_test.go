package threepid_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth"
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

func TestMain(m *testing.M) { postgrestest.Main(m) }

const (
	server = "test.example"
	base   = "https://matrix.test.example"
	secret = "d0nt-T3ll"
)

var signer = &event.Signer{ServerName: server, KeyID: "ed25519:1", Key: ed25519.NewKeyFromSeed(make([]byte, 32))}

// env is a service with everything that it talks to.
type env struct {
	*threepid.Service
	matrixtest.Clock
	pool     *pgxpool.Pool
	mail     *threepidtest.MailServer
	gateway  *threepidtest.Gateway
	identity *threepidtest.IdentityServer
}

// newEnv makes a service without rate limits unless an option says otherwise.
func newEnv(t testing.TB, options ...func(*threepid.Options)) *env {
	t.Helper()
	h := &env{
		pool:     postgrestest.New(t),
		mail:     threepidtest.NewMailServer(t, nil, false),
		gateway:  threepidtest.NewGateway(t),
		identity: threepidtest.NewIdentityServer(t),
	}
	o := threepid.Options{
		Pool: h.pool, Stages: uia.New(h.pool, h.Now), ServerName: server, BaseURL: base + "/", Registration: true,
		Mail:            mailer(t, threepid.MailOptions{Host: h.mail.Host, Port: h.mail.Port, TLS: threepid.NoTLS}),
		Gateway:         gateway(t, threepid.GatewayOptions{URL: h.gateway.URL, Authorization: "Bearer sms"}),
		IdentityServers: []string{h.identity.URL},
		Outgoing:        safehttp.New(safehttp.Options{AllowedRanges: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}),
		Signer:          signer,
		Now:             h.Now,
	}
	for _, option := range options {
		option(&o)
	}
	h.Service = threepid.New(o)
	t.Cleanup(h.Stop)
	return h
}

func mailer(t testing.TB, o threepid.MailOptions) *threepid.Mailer {
	t.Helper()
	o.From, o.HELO = "Test <matrix@test.example>", "test.example"
	m, err := threepid.NewMailer(o)
	must(t, err)
	return m
}

func gateway(t testing.TB, o threepid.GatewayOptions) *threepid.Gateway {
	t.Helper()
	g, err := threepid.NewGateway(o)
	must(t, err)
	return g
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// user makes an account and returns its ID.
func (h *env) user(t testing.TB, name string) string {
	t.Helper()
	accounts := auth.New(h.pool, auth.Options{ServerName: server, Logger: slog.New(slog.DiscardHandler)})
	id, err := accounts.CreateAccount(t.Context(), auth.NewAccount{Username: name})
	must(t, err)
	return id
}

// attempt returns a number for send_attempt.
func attempt(n int64) *int64 { return &n }

func email(address string, n int64) threepid.EmailRequest {
	return threepid.EmailRequest{ClientSecret: secret, Email: address, SendAttempt: attempt(n)}
}

func phone(number string, n int64) threepid.PhoneRequest {
	return threepid.PhoneRequest{ClientSecret: secret, Country: "GB", PhoneNumber: number, SendAttempt: attempt(n)}
}

// ask asks for a mail and returns the sid.
func (h *env) ask(t testing.TB, purpose threepid.Purpose, r threepid.EmailRequest) string {
	t.Helper()
	got, err := h.RequestEmail(t.Context(), purpose, r)
	must(t, err)
	if got.SubmitURL != "" || got.SID == "" || len(got.SID) > 255 {
		t.Fatalf("got %+v", got)
	}
	return got.SID
}

// click follows the link of the last mail with one and presses the button.
func (h *env) click(t testing.TB) threepid.Pending {
	t.Helper()
	query := h.mail.LastLink(t).Query()
	got, err := h.Confirm(t.Context(), query.Get("sid"), query.Get("token"))
	must(t, err)
	return got
}

// prove goes through a whole validation for a purpose and returns the sid.
func (h *env) prove(t testing.TB, purpose threepid.Purpose, address string) string {
	t.Helper()
	sid := h.ask(t, purpose, email(address, 1))
	h.click(t)
	return sid
}

// give proves an address for a user, and adds it to the account.
func (h *env) give(t testing.TB, userID, address string) {
	t.Helper()
	sid := h.prove(t, threepid.ForAccount, address)
	must(t, h.claim(t, h.ClaimNew, sid, userID))
}

func (h *env) claim(t testing.TB, claim func(ctx context.Context, tx pgx.Tx, sid, userID string) error, sid, userID string) error {
	t.Helper()
	return pgx.BeginFunc(t.Context(), h.pool, func(tx pgx.Tx) error { return claim(t.Context(), tx, sid, userID) })
}

func TestMailLeadsToTheAddressBeingProved(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	r := email("Alice@Example.ORG", 1)
	r.NextLink = "https://app.example.org/next?a=b"
	sid := h.ask(t, threepid.ForAccount, r)
	credentials := threepid.Credentials{SID: sid, ClientSecret: secret}
	_, err := h.Validated(t.Context(), threepid.ForAccount, credentials)
	matrixtest.WantCode(t, err, matrix.ThreepidAuthFailed)

	link := h.mail.LastLink(t)
	if !strings.HasPrefix(link.String(), base+threepid.ConfirmPath+"?") {
		t.Fatalf("the link is %s", link)
	}
	pending, err := h.Pending(t.Context(), sid, link.Query().Get("token"))
	must(t, err)
	want := threepid.Pending{
		Address: threepid.Address{Medium: "email", Address: "alice@example.org"},
		Purpose: threepid.ForAccount, NextLink: "https://app.example.org/next?a=b", NextHost: "app.example.org",
	}
	if pending != want {
		t.Errorf("got %+v, want %+v", pending, want)
	}
	_, err = h.Validated(t.Context(), threepid.ForAccount, credentials)
	matrixtest.WantCode(t, err, matrix.ThreepidAuthFailed) // opening the page is not enough

	h.Pass(time.Minute)
	want.Validated = true
	for range 2 {
		if got := h.click(t); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		h.Pass(time.Minute) // to confirm again changes nothing
	}
	got, err := h.Validated(t.Context(), threepid.ForAccount, credentials)
	must(t, err)
	if got.Address != want.Address || got.SID != sid || got.At != 1_700_000_060_000 {
		t.Errorf("got %+v", got)
	}
}

func TestCodeLeadsToTheNumberBeingProved(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	got, err := h.RequestPhone(t.Context(), threepid.ForRegistration, phone("07700 900001", 1))
	must(t, err)
	if got.SubmitURL != base+threepid.SubmitPath {
		t.Errorf("got the submit_url %q", got.SubmitURL)
	}
	text := h.gateway.Last(t)
	if text.To != "+447700900001" || text.Authorization != "Bearer sms" || text.Code() == "" || !strings.Contains(text.Text, server) {
		t.Fatalf("got %+v", text)
	}
	submission := threepid.Submission{SID: got.SID, ClientSecret: secret, Token: text.Code()}
	for range 2 {
		must(t, h.Submit(t.Context(), submission))
	}
	v, err := h.Validated(t.Context(), threepid.ForRegistration, threepid.Credentials{SID: got.SID, ClientSecret: secret})
	if err != nil || v.Address != (threepid.Address{Medium: "msisdn", Address: "447700900001"}) {
		t.Errorf("got %+v, %v", v, err)
	}
}

func TestMessagesSayWhatTheyAreAbout(t *testing.T) {
	t.Parallel()
	h := newEnv(t, func(o *threepid.Options) { o.ConcealRegistered = true })
	alice := h.user(t, "alice")
	h.give(t, alice, "taken@example.org")
	phones := func(purpose threepid.Purpose) string {
		_, err := h.RequestPhone(t.Context(), purpose, phone("07700 900002", 1))
		must(t, err)
		return h.gateway.Last(t).Text
	}
	for _, test := range []struct {
		purpose       threepid.Purpose
		address, want string
		link          bool
	}{
		{threepid.ForRegistration, "new@example.org", "is making an account on test.example", true},
		{threepid.ForAccount, "new@example.org", "wants to add this e-mail address to an account on test.example", true},
		{threepid.ForPassword, "taken@example.org", "wants to set a new password for your account on test.example", true},
		{threepid.ForRegistration, "taken@example.org", "an account there has it already", false},
		{threepid.ForAccount, "taken@example.org", "an account there has it already", false},
		{threepid.ForPassword, "new@example.org", "no account there has it", false},
	} {
		h.ask(t, test.purpose, email(test.address, 2))
		got := h.mail.Last(t)
		if got.To != test.address || got.From != "matrix@test.example" || got.Header.Get("Auto-Submitted") == "" {
			t.Errorf("%s %s: got a mail from %s to %s with %v", test.purpose, test.address, got.From, got.To, got.Header)
		}
		if !strings.Contains(strings.Join(strings.Fields(got.Plain), " "), test.want) || !strings.Contains(got.HTML, test.want) {
			t.Errorf("%s %s: got %s\n%s", test.purpose, test.address, got.Plain, got.HTML)
		}
		if (got.Link() != nil) != test.link || strings.Contains(got.HTML, "href") != test.link {
			t.Errorf("%s %s: got the link %v", test.purpose, test.address, got.Link())
		}
	}
	if got := phones(threepid.ForRegistration); !strings.Contains(got, "to confirm your phone number") {
		t.Errorf("got %s", got)
	}
	if got := phones(threepid.ForPassword); !strings.Contains(got, "no account there has it") || h.gateway.Last(t).Code() != "" {
		t.Errorf("got %s", got)
	}
}

func TestSameAttemptSendsOneMessage(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	sid := h.ask(t, threepid.ForAccount, email("a@example.org", 1))
	for _, n := range []int64{1, 0, 1} {
		if got := h.ask(t, threepid.ForAccount, email("A@example.org", n)); got != sid {
			t.Errorf("attempt %d: got another sid", n)
		}
	}
	if n := len(h.mail.Mails()); n != 1 {
		t.Fatalf("got %d mails, want 1", n)
	}
	if got := h.ask(t, threepid.ForAccount, email("a@example.org", 2)); got != sid || len(h.mail.Mails()) != 2 {
		t.Errorf("another attempt: sid %s for %s, %d mails", got, sid, len(h.mail.Mails()))
	}
	other := email("a@example.org", 1)
	other.ClientSecret = "another"
	if got := h.ask(t, threepid.ForAccount, other); got == sid || len(h.mail.Mails()) != 3 {
		t.Errorf("another secret: the sid is the same, or %d mails", len(h.mail.Mails()))
	}
	if got := h.ask(t, threepid.ForRegistration, email("a@example.org", 1)); got == sid {
		t.Error("another purpose: the sid is the same")
	}
}

func TestOneAttemptAtOnceSendsOneMessage(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	var all sync.WaitGroup
	sids := make([]string, 8)
	for i := range sids {
		all.Go(func() {
			got, err := h.RequestEmail(t.Context(), threepid.ForAccount, email("a@example.org", 1))
			if err != nil {
				t.Error(err)
			}
			sids[i] = got.SID
		})
	}
	all.Wait()
	for _, sid := range sids {
		if sid != sids[0] {
			t.Errorf("got the sids %v", sids)
			break
		}
	}
	if n := len(h.mail.Mails()); n != 1 {
		t.Errorf("got %d mails", n)
	}
}

func TestOlderMailsStayGoodAndOlderCodesDoNot(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	h.ask(t, threepid.ForAccount, email("a@example.org", 1))
	first := h.mail.LastLink(t).Query()
	h.ask(t, threepid.ForAccount, email("a@example.org", 2))
	if _, err := h.Confirm(t.Context(), first.Get("sid"), first.Get("token")); err != nil {
		t.Errorf("the first mail: %v", err)
	}

	s, err := h.RequestPhone(t.Context(), threepid.ForAccount, phone("07700 900001", 1))
	must(t, err)
	old := h.gateway.Last(t).Code()
	_, err = h.RequestPhone(t.Context(), threepid.ForAccount, phone("07700 900001", 2))
	must(t, err)
	if h.gateway.Last(t).Code() == old {
		t.Skip("once in a million the two codes are the same")
	}
	err = h.Submit(t.Context(), threepid.Submission{SID: s.SID, ClientSecret: secret, Token: old})
	matrixtest.WantCode(t, err, matrix.TokenIncorrect)
}

func TestUnsentMessageCanBeAttemptedAgain(t *testing.T) {
	t.Parallel()
	h := newEnv(t, limitMails(5))
	h.mail.Refuse(errors.New("mailbox on fire"))
	for range 2 {
		_, err := h.RequestEmail(t.Context(), threepid.ForAccount, email("a@example.org", 1))
		if e := matrixtest.WantCode(t, err, matrix.Unknown); e.HTTPStatus() != 500 || strings.Contains(e.Message, "fire") {
			t.Errorf("got %d %s", e.HTTPStatus(), e.Message)
		}
		if !strings.Contains(err.Error(), "fire") {
			t.Errorf("the log does not learn why: %v", err)
		}
	}
	h.mail.Refuse(nil)
	h.ask(t, threepid.ForAccount, email("a@example.org", 1))
	h.click(t)

	h.gateway.Answer(503)
	_, err := h.RequestPhone(t.Context(), threepid.ForAccount, phone("07700 900001", 1))
	matrixtest.WantCode(t, err, matrix.Unknown)
	h.gateway.Answer(200)
	_, err = h.RequestPhone(t.Context(), threepid.ForAccount, phone("07700 900001", 1))
	must(t, err)
	if h.gateway.Last(t).Code() == "" {
		t.Error("no code")
	}
}

func TestRequestRefusals(t *testing.T) {
	t.Parallel()
	h := newEnv(t, func(o *threepid.Options) {
		o.EmailDomains = []string{"Example.org"}
		o.PhoneCountries = []string{"gb"}
		o.NextLinkHosts = []string{"app.example.org"}
	})
	change := func(f func(*threepid.EmailRequest)) threepid.EmailRequest {
		r := email("a@example.org", 1)
		f(&r)
		return r
	}
	for name, test := range map[string]struct {
		r    threepid.EmailRequest
		want matrix.Code
	}{
		"no secret":        {change(func(r *threepid.EmailRequest) { r.ClientSecret = "" }), matrix.MissingParam},
		"no address":       {change(func(r *threepid.EmailRequest) { r.Email = "" }), matrix.MissingParam},
		"no attempt":       {change(func(r *threepid.EmailRequest) { r.SendAttempt = nil }), matrix.MissingParam},
		"odd secret":       {change(func(r *threepid.EmailRequest) { r.ClientSecret = "a b" }), matrix.InvalidParam},
		"long secret":      {change(func(r *threepid.EmailRequest) { r.ClientSecret = strings.Repeat("a", 256) }), matrix.InvalidParam},
		"negative attempt": {change(func(r *threepid.EmailRequest) { r.SendAttempt = attempt(-1) }), matrix.InvalidParam},
		"no e-mail":        {change(func(r *threepid.EmailRequest) { r.Email = "example.org" }), matrix.InvalidParam},
		"other domain":     {change(func(r *threepid.EmailRequest) { r.Email = "a@example.com" }), matrix.ThreepidDenied},
		"subdomain":        {change(func(r *threepid.EmailRequest) { r.Email = "a@sub.example.org" }), matrix.ThreepidDenied},
		"domain in quotes": {change(func(r *threepid.EmailRequest) { r.Email = `"a@example.org"@example.com` }), matrix.InvalidParam},
		"script":           {change(func(r *threepid.EmailRequest) { r.NextLink = "javascript:alert(1)" }), matrix.InvalidParam},
		"data":             {change(func(r *threepid.EmailRequest) { r.NextLink = "data:text/html,x" }), matrix.InvalidParam},
		"relative":         {change(func(r *threepid.EmailRequest) { r.NextLink = "//app.example.org/" }), matrix.InvalidParam},
		"other host":       {change(func(r *threepid.EmailRequest) { r.NextLink = "https://evil.example/" }), matrix.InvalidParam},
		"host as user":     {change(func(r *threepid.EmailRequest) { r.NextLink = "https://app.example.org@evil.example/" }), matrix.InvalidParam},
		"long link":        {change(func(r *threepid.EmailRequest) { r.NextLink = "https://app.example.org/" + strings.Repeat("a", 2048) }), matrix.InvalidParam},
		"good":             {change(func(r *threepid.EmailRequest) { r.NextLink = "http://APP.example.org:8080/x" }), ""},
	} {
		_, err := h.RequestEmail(t.Context(), threepid.ForAccount, test.r)
		if test.want == "" {
			must(t, err)
			continue
		}
		if e, ok := errors.AsType[*matrix.Error](err); !ok || e.Code != test.want {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
	_, err := h.RequestPhone(t.Context(), threepid.ForAccount, phone("+1 212 555 0123", 1))
	if e := matrixtest.WantCode(t, err, matrix.ThreepidDenied); e.HTTPStatus() != 403 {
		t.Errorf("got %d", e.HTTPStatus())
	}
	_, err = h.RequestPhone(t.Context(), threepid.ForAccount, phone("1", 1))
	matrixtest.WantCode(t, err, matrix.InvalidParam)
	_, err = h.RequestPhone(t.Context(), threepid.ForAccount, phone("", 1))
	matrixtest.WantCode(t, err, matrix.MissingParam)
	if n := len(h.mail.Mails()); n != 1 {
		t.Errorf("%d mails were sent", n)
	}
}

func TestWithoutMailServerAndGateway(t *testing.T) {
	t.Parallel()
	h := newEnv(t, func(o *threepid.Options) { o.Mail, o.Gateway = nil, nil })
	_, err := h.RequestEmail(t.Context(), threepid.ForAccount, email("a@example.org", 1))
	if e := matrixtest.WantCode(t, err, matrix.ThreepidMediumNotSupported); e.HTTPStatus() != 400 {
		t.Errorf("got %d", e.HTTPStatus())
	}
	_, err = h.RequestPhone(t.Context(), threepid.ForAccount, phone("07700 900001", 1))
	matrixtest.WantCode(t, err, matrix.ThreepidMediumNotSupported)
	if h.Proves(threepid.Email) || h.Proves(threepid.Phone) || h.Proves("pigeon") {
		t.Error("it claims to prove addresses")
	}
}

func TestRegistrationCanBeDisabled(t *testing.T) {
	t.Parallel()
	h := newEnv(t, func(o *threepid.Options) { o.Registration = false })
	_, err := h.RequestEmail(t.Context(), threepid.ForRegistration, email("a@example.org", 1))
	matrixtest.WantCode(t, err, matrix.Forbidden)
	h.ask(t, threepid.ForAccount, email("a@example.org", 1))
}

func TestAnswersTellWhatIsRegisteredUnlessConcealed(t *testing.T) {
	t.Parallel()
	for _, conceal := range []bool{false, true} {
		h := newEnv(t, func(o *threepid.Options) { o.ConcealRegistered = conceal })
		h.give(t, h.user(t, "alice"), "taken@example.org")
		for _, test := range []struct {
			purpose threepid.Purpose
			address string
			want    matrix.Code
		}{
			{threepid.ForRegistration, "TAKEN@example.org", matrix.ThreepidInUse},
			{threepid.ForAccount, "taken@example.org", matrix.ThreepidInUse},
			{threepid.ForPassword, "free@example.org", matrix.ThreepidNotFound},
		} {
			before := len(h.mail.Mails())
			r := email(test.address, 3)
			r.ClientSecret = "fresh"
			got, err := h.RequestEmail(t.Context(), test.purpose, r)
			if !conceal {
				if e := matrixtest.WantCode(t, err, test.want); e.HTTPStatus() != 400 || len(h.mail.Mails()) != before {
					t.Errorf("%s: got %d, and %d mails", test.purpose, e.HTTPStatus(), len(h.mail.Mails())-before)
				}
				continue
			}
			must(t, err)
			again, err := h.RequestEmail(t.Context(), test.purpose, r)
			if err != nil || again != got || len(h.mail.Mails()) != before+1 {
				t.Errorf("%s: again %v, %v, and %d mails", test.purpose, again, err, len(h.mail.Mails())-before)
			}
			// There is nothing to be guessed.
			_, err = h.Confirm(t.Context(), got.SID, "")
			matrixtest.WantCode(t, err, matrix.TokenIncorrect)
		}
	}
}

// The account found by a folded address must not be had by who only owns the
// address that was typed.
func TestMessageGoesToTheCanonicalAddressOnly(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	h.give(t, h.user(t, "alice"), "strauss@example.org")
	h.ask(t, threepid.ForPassword, email("strauß@example.org", 1))
	if got := h.mail.Last(t).To; got != "strauss@example.org" {
		t.Errorf("the mail went to %s", got)
	}
}

// limitMails limits how many messages an address gets at once.
func limitMails(burst int) func(*threepid.Options) {
	return func(o *threepid.Options) {
		o.Limits = ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{
			ratelimit.MailsToAddress: {PerSecond: 0.001, Burst: burst},
		}, o.Now, 0)
	}
}

func TestMessagesToAnAddressAreLimited(t *testing.T) {
	t.Parallel()
	h := newEnv(t, limitMails(2))
	ask := func(address string, n int64) error {
		_, err := h.RequestEmail(t.Context(), threepid.ForAccount, email(address, n))
		return err
	}
	must(t, ask("a@example.org", 1))
	must(t, ask("a@example.org", 2))
	if e := matrixtest.WantCode(t, ask("A@example.org", 3), matrix.LimitExceeded); e.RetryAfter <= 0 || len(h.mail.Mails()) != 2 {
		t.Errorf("got %v and %d mails", e.RetryAfter, len(h.mail.Mails()))
	}
	must(t, ask("b@example.org", 1))
	must(t, ask("b@example.org", 1)) // no mail
	must(t, ask("b@example.org", 2))

	h.Pass(1000 * time.Second)
	must(t, ask("a@example.org", 3)) // what was refused was not attempted
}
