package threepid

import (
	"context"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth/identity"
	"homeserver/internal/auth/uia"
	"homeserver/internal/event"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
	"homeserver/internal/safehttp"
)

const (
	// sessionLifetime is how long an address may take to be proved, and the proof to
	// be used.
	sessionLifetime = 24 * time.Hour
	// maxSessions bounds all sessions; beyond it the one that would expire first is
	// deleted.
	maxSessions = 10_000
	// maxAddresses bounds the addresses of one user, and as many bindings.
	maxAddresses = 100
	// forgetTimeout bounds noting that a message could not be sent.
	forgetTimeout = 5 * time.Second
)

// The paths, below [Options.BaseURL], that messages and answers lead to. They are below
// /_matrix, as reverse proxies pass that on.
const (
	ConfirmPath = "/_matrix/static/threepid/email"
	SubmitPath  = "/_matrix/static/threepid/submit"
)

// Options sets up a Service.
type Options struct {
	Pool *pgxpool.Pool
	// Stages is where the stages that prove an address are registered.
	Stages *uia.Service
	// ServerName is the name of the server in messages.
	ServerName string
	// BaseURL is where people and clients reach the server, without a slash at the end.
	BaseURL string
	// Mail sends e-mail; nil: addresses can't be proved.
	Mail *Mailer
	// Gateway sends text messages; nil: phone numbers can't be proved.
	Gateway *Gateway
	// TextCaps bounds the text messages of the whole server.
	TextCaps Caps
	// Registration says that strangers may register, and so prove an address for that.
	Registration bool
	// ConcealRegistered returns the same answer to strangers for an address that is
	// registered and for one that is not.
	ConcealRegistered bool
	// EmailDomains are the only domains whose addresses are taken; empty: all.
	EmailDomains []string
	// PhoneCountries are the only countries, ISO 3166-1 codes, whose numbers are
	// taken; empty: all.
	PhoneCountries []string
	// NextLinkHosts are the only hosts that a next_link may lead to. Where there are
	// none, it may lead anywhere, but only by a click.
	NextLinkHosts []string

	// IdentityServers are the only ones that are spoken to, as host names, or as URLs
	// for those that are not reached by https; empty: all, by https.
	IdentityServers []string
	// Outgoing reaches identity servers.
	Outgoing *safehttp.Client
	// Signer signs requests that identity servers must believe to come from this
	// server.
	Signer *event.Signer

	// Limits bounds the messages to an e-mail address or a phone number; nil: there are
	// no limits.
	Limits *ratelimit.Limits
	// Log logs errors in the background; nil means slog.Default.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Service holds the rules of third-party identifiers. It may be used concurrently.
type Service struct {
	o        Options
	identity identityClient
	notices  chan struct{} // has an item for each notice that is being sent
	sending  sync.WaitGroup
	cappedIn atomic.Int64 // the hour in which the log has told of a cap of text messages
}

// New makes a Service on a migrated database. It starts nothing; see Stop.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	o.BaseURL = strings.TrimSuffix(o.BaseURL, "/")
	s := &Service{
		o:        o,
		identity: identityClient{identity.New(identity.Options{Outgoing: o.Outgoing, Servers: o.IdentityServers}), o.Signer},
		notices:  make(chan struct{}, maxNotices),
	}
	o.Stages.Register(uia.StageEmail, s.stage(Email))
	o.Stages.Register(uia.StagePhone, s.stage(Phone))
	return s
}

// Proves reports whether addresses of a medium can be proved, so that stages that need
// such a proof may be offered.
func (s *Service) Proves(medium string) bool {
	switch medium {
	case Email:
		return s.o.Mail != nil
	case Phone:
		return s.o.Gateway != nil
	default:
		return false
	}
}

// Purpose is the purpose that an address is proved for. A proof is good for nothing
// else.
type Purpose string

// The purposes, by the endpoint that the proof is for.
const (
	ForRegistration Purpose = "register"         // POST /register
	ForPassword     Purpose = "account/password" // POST /account/password
	ForAccount      Purpose = "account/3pid"     // POST /account/3pid/add
)

// EmailRequest is the body of POST …/email/requestToken. The identity server that
// old clients name in it has no part in this.
type EmailRequest struct {
	ClientSecret string `json:"client_secret"`
	Email        string `json:"email"`
	SendAttempt  *int64 `json:"send_attempt"`
	NextLink     string `json:"next_link"`
}

// PhoneRequest is the body of POST …/msisdn/requestToken.
type PhoneRequest struct {
	ClientSecret string `json:"client_secret"`
	Country      string `json:"country"`
	PhoneNumber  string `json:"phone_number"`
	SendAttempt  *int64 `json:"send_attempt"`
	NextLink     string `json:"next_link"`
}

// Session is the answer to both. SubmitURL is where the client submits the token that
// the user has read in the message; "" if the user does so by a page.
type Session struct {
	SID       string `json:"sid"`
	SubmitURL string `json:"submit_url,omitzero"`
}

// RequestEmail sends a mail with a link by which the owner of the address confirms
// it, unless this send_attempt has done so already. Anybody may ask. Client-server
// API, POST /register/email/requestToken, also below /account/password and
// /account/3pid.
//
// M_THREEPID_MEDIUM_NOT_SUPPORTED where no mail server is configured,
// M_MISSING_PARAM, M_INVALID_PARAM, M_THREEPID_DENIED for a domain that is not
// taken, M_LIMIT_EXCEEDED, M_FORBIDDEN where registration is disabled. Unless that
// is concealed, M_THREEPID_NOT_FOUND where a password is to be changed and nobody
// has the address, and M_THREEPID_IN_USE elsewhere where somebody has.
func (s *Service) RequestEmail(ctx context.Context, purpose Purpose, r EmailRequest) (Session, error) {
	return s.request(ctx, tokenRequest{
		purpose: purpose, medium: Email, clientSecret: r.ClientSecret, sendAttempt: r.SendAttempt, nextLink: r.NextLink,
		given: r.Email != "",
		parse: func() (Address, error) { return CanonicalEmail(r.Email) },
	})
}

// RequestPhone does the same with a text message whose code is to be submitted to
// SubmitURL. M_THREEPID_DENIED is for countries, and M_LIMIT_EXCEEDED also for the
// bound of the whole server. Client-server API, POST /register/msisdn/requestToken,
// also below /account/password and /account/3pid.
func (s *Service) RequestPhone(ctx context.Context, purpose Purpose, r PhoneRequest) (Session, error) {
	return s.request(ctx, tokenRequest{
		purpose: purpose, medium: Phone, clientSecret: r.ClientSecret, sendAttempt: r.SendAttempt, nextLink: r.NextLink,
		given: r.PhoneNumber != "",
		parse: func() (Address, error) { return CanonicalPhone(r.Country, r.PhoneNumber) },
	})
}

// tokenRequest is what both have in common. given says that there is an address at
// all, and parse reads it.
type tokenRequest struct {
	purpose                        Purpose
	medium, clientSecret, nextLink string
	sendAttempt                    *int64
	given                          bool
	parse                          func() (Address, error)
}

func (s *Service) request(ctx context.Context, r tokenRequest) (Session, error) {
	address, err := s.check(ctx, r)
	if err != nil {
		return Session{}, err
	}
	owner, err := s.Owner(ctx, address)
	if err != nil {
		return Session{}, err
	}
	useful := (owner != "") == (r.purpose == ForPassword)
	if !useful && !s.o.ConcealRegistered {
		return Session{}, errUseless(r.purpose)
	}
	answer, token, err := s.open(ctx, r, address, useful)
	if err != nil {
		return Session{}, err
	}
	if token != "" {
		err = s.send(ctx, message{purpose: r.purpose, to: address, useful: useful, sid: answer.SID, token: token})
	}
	if err != nil {
		return Session{}, s.unsent(ctx, answer.SID, *r.sendAttempt, err)
	}
	if r.medium == Phone {
		answer.SubmitURL = s.o.BaseURL + SubmitPath
	}
	return answer, nil
}

// check refuses what can't be asked for.
func (s *Service) check(ctx context.Context, r tokenRequest) (Address, error) {
	switch {
	case !s.Proves(r.medium):
		return Address{}, matrix.Errorf(matrix.ThreepidMediumNotSupported, "This server can't confirm addresses of the medium %s", r.medium)
	case r.purpose == ForRegistration && !s.o.Registration:
		return Address{}, matrix.Errorf(matrix.Forbidden, "Registration is disabled")
	case r.clientSecret == "" || !r.given || r.sendAttempt == nil:
		return Address{}, matrix.Errorf(matrix.MissingParam, "The address, client_secret and send_attempt are needed")
	case !isSecret(r.clientSecret):
		return Address{}, matrix.Errorf(matrix.InvalidParam, "client_secret must have from 1 to 255 of the characters 0-9 a-z A-Z . = _ -")
	case *r.sendAttempt < 0:
		return Address{}, matrix.Errorf(matrix.InvalidParam, "send_attempt must not be negative")
	case !s.mayLinkTo(r.nextLink):
		return Address{}, matrix.Errorf(matrix.InvalidParam, "next_link must be an http or https URL, on a host that this server allows")
	}
	address, err := r.parse()
	if err != nil {
		return Address{}, err
	}
	return address, s.allows(ctx, address)
}

// allows refuses addresses by the configuration: M_THREEPID_DENIED.
func (s *Service) allows(ctx context.Context, a Address) error {
	list, what := s.o.EmailDomains, a.domain()
	if a.Medium == Phone {
		list, what = s.o.PhoneCountries, a.country()
	}
	if len(list) > 0 && !slices.ContainsFunc(list, func(item string) bool { return strings.EqualFold(item, what) }) {
		s.o.Log.InfoContext(ctx, "an address is refused: its domain or country is not allowed", "medium", a.Medium, "of", what)
		return matrix.Errorf(matrix.ThreepidDenied, "This server does not take addresses of %s", what)
	}
	return nil
}

// maxNextLinkBytes bounds what is kept of a client's wishes.
const maxNextLinkBytes = 2048

// mayLinkTo reports whether people may be sent on to a URL; "" is none.
func (s *Service) mayLinkTo(link string) bool {
	if link == "" {
		return true
	}
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || len(link) > maxNextLinkBytes {
		return false
	}
	return len(s.o.NextLinkHosts) == 0 || s.goesTo(u.Hostname())
}

// goesTo reports whether people are sent on to a host without being asked.
func (s *Service) goesTo(host string) bool {
	return slices.ContainsFunc(s.o.NextLinkHosts, func(allowed string) bool { return strings.EqualFold(allowed, host) })
}

// isSecret checks the grammar of client_secret. Client-server API,
// POST /register/email/requestToken.
func isSecret(text string) bool {
	for _, c := range []byte(text) {
		word := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !word && !strings.ContainsRune(".=_-", rune(c)) {
			return false
		}
	}
	return text != "" && len(text) <= 255
}

// errUseless returns why an address can't be used for a purpose.
func errUseless(purpose Purpose) *matrix.Error {
	if purpose == ForPassword {
		return matrix.Errorf(matrix.ThreepidNotFound, "No account has this address")
	}
	return errInUse()
}

func errInUse() *matrix.Error {
	return matrix.Errorf(matrix.ThreepidInUse, "An account has this address already")
}

func (s *Service) nowMS() int64 { return s.o.Now().UnixMilli() }
