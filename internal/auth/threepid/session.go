package threepid

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"slices"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/secret"
	"homeserver/internal/matrix"
)

const (
	// maxFailures is how many wrong tokens a session of a phone number survives. A
	// code of six digits is then guessed once in 200,000 sessions.
	maxFailures = 5
	// Of how many messages the tokens are good: people open the first mail after
	// having asked for a second one, but a code must be hard to guess.
	goodMails, goodCodes = 5, 1

	codeDigits = 6
)

// Credentials name a session and prove that it is one's own. IDServer and
// IDAccessToken are for sessions of identity servers.
type Credentials struct {
	SID           string `json:"sid"`
	ClientSecret  string `json:"client_secret"`
	IDServer      string `json:"id_server"`
	IDAccessToken string `json:"id_access_token"`
}

// CredentialsList is a list of credentials. In JSON it may also be one object
// without a list around it, which is what the specification asks for; some old
// clients send a list.
type CredentialsList []Credentials

// UnmarshalJSON reads either form.
func (l *CredentialsList) UnmarshalJSON(raw []byte) error {
	*l = nil
	if len(raw) > 0 && raw[0] == '[' {
		return json.Unmarshal(raw, (*[]Credentials)(l))
	}
	if string(raw) == "null" {
		return nil
	}
	var one Credentials
	err := json.Unmarshal(raw, &one)
	*l = CredentialsList{one}
	return err
}

// First returns the first of the credentials; the zero value where there are none.
func (l CredentialsList) First() Credentials {
	if len(l) == 0 {
		return Credentials{}
	}
	return l[0]
}

// Validated is an address that somebody has proved to have, and the session that
// says so. At is in milliseconds since the epoch.
type Validated struct {
	Address
	SID string
	At  int64
}

// session is a row of threepid_sessions.
type session struct {
	sid         string
	purpose     Purpose
	address     Address
	secret      []byte
	tokens      [][]byte
	failures    int
	nextLink    string
	expiresAt   int64
	validatedAt int64 // 0: not yet
}

// open stores a session, or finds the one that the client began earlier. The token
// is "" where no message is to be sent any more; where the message is of no use to
// its reader, the session forgets the token at once.
func (s *Service) open(ctx context.Context, r tokenRequest, address Address, useful bool) (answer Session, token string, err error) {
	token, keep := secret.New(""), goodMails
	if r.medium == Phone {
		token, keep = newCode(), goodCodes
	}
	clientSecret, hash := secret.HashOf(r.clientSecret), secret.HashOf(token)
	n := newSession{
		session: session{
			sid: secret.New(""), purpose: r.purpose, address: address, secret: clientSecret[:],
			nextLink: r.nextLink, tokens: [][]byte{}, expiresAt: s.nowMS() + sessionLifetime.Milliseconds(),
		},
		attempt: *r.sendAttempt, keep: keep,
	}
	if useful {
		n.tokens = [][]byte{hash[:]}
	}
	err = pgx.BeginFunc(ctx, s.o.Pool, func(tx pgx.Tx) error {
		if err := deleteSessions(ctx, tx, s.nowMS(), maxSessions-1); err != nil {
			return err
		}
		var stored bool
		if answer.SID, stored, err = upsertSession(ctx, tx, n); err != nil {
			return err
		}
		if !stored {
			token = ""
		}
		return nil
	})
	if err != nil {
		return Session{}, "", fmt.Errorf("open a validation session: %w", err)
	}
	return answer, token, nil
}

// unsent notes that a message was not sent, so that the client may repeat the
// attempt, and returns the reason.
func (s *Service) unsent(ctx context.Context, sid string, attempt int64, reason error) error {
	// The client may have gone away meanwhile; it will come again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forgetTimeout)
	defer cancel()
	if err := forgetAttempt(ctx, s.o.Pool, sid, attempt); err != nil {
		return fmt.Errorf("%w, after: %w", err, reason)
	}
	return reason
}

// Submission is the body of POST to SubmitURL.
type Submission struct {
	SID          string `json:"sid"`
	ClientSecret string `json:"client_secret"`
	Token        string `json:"token"`
}

// Submit proves an address by the token of a message. To repeat it does nothing.
// Identity service API, POST /validate/msisdn/submitToken and
// POST /validate/email/submitToken, but without an access token.
//
// M_MISSING_PARAM, M_NO_VALID_SESSION for an unknown session or another's,
// M_TOKEN_INCORRECT, M_SESSION_EXPIRED, also after five wrong codes.
func (s *Service) Submit(ctx context.Context, r Submission) error {
	if r.SID == "" || r.ClientSecret == "" || r.Token == "" {
		return matrix.Errorf(matrix.MissingParam, "sid, client_secret and token are needed")
	}
	_, err := s.validate(ctx, r, true)
	return err
}

// Pending is a session as the page behind its link shows it.
type Pending struct {
	Address
	Purpose   Purpose
	Validated bool // it is confirmed already
	// NextLink is where to go on once it is confirmed; "": nowhere. NextHost is the host
	// of it, and Goes says that people are sent there by themselves, since the operator
	// allows the host: anybody can ask for a link to anywhere, and the mail comes from
	// this server.
	NextLink, NextHost string
	Goes               bool
}

// Pending reads the session of a link. It changes nothing. M_NO_VALID_SESSION where
// the link is not good, or no longer.
func (s *Service) Pending(ctx context.Context, sid, token string) (Pending, error) {
	found, err := findSession(ctx, s.o.Pool, sid, "")
	if err != nil {
		return Pending{}, err
	}
	if !found.knows(token) || found.address.Medium != Email || found.expiresAt <= s.nowMS() {
		return Pending{}, errNoSession()
	}
	return s.pending(found), nil
}

// Confirm proves the address of a link, as its owner does by the button of the
// page. To repeat it does nothing. The errors are those of Submit.
func (s *Service) Confirm(ctx context.Context, sid, token string) (Pending, error) {
	found, err := s.validate(ctx, Submission{SID: sid, Token: token}, false)
	return s.pending(found), err
}

func (s *Service) pending(f session) Pending {
	p := Pending{Address: f.address, Purpose: f.purpose, Validated: f.validatedAt != 0}
	if next, err := url.Parse(f.nextLink); err == nil && next.Host != "" {
		p.NextLink, p.NextHost, p.Goes = next.String(), next.Host, s.goesTo(next.Hostname())
	}
	return p
}

// knows reports whether the token was sent for the session.
func (f session) knows(token string) bool {
	return slices.ContainsFunc(f.tokens, func(sent []byte) bool { return secret.Is(sent, token) })
}

// validate checks a token, and counts it where it is wrong. Only the owner of a mail
// knows a session's token without its client secret.
func (s *Service) validate(ctx context.Context, r Submission, secretNeeded bool) (session, error) {
	var found session
	var refusal *matrix.Error // committed with the count of failures
	err := pgx.BeginFunc(ctx, s.o.Pool, func(tx pgx.Tx) error {
		var err error
		if found, err = findSession(ctx, tx, r.SID, "FOR UPDATE"); err != nil {
			return err
		}
		own := secret.Is(found.secret, r.ClientSecret)
		refusal = found.refuses(r.Token, own || !secretNeeded && found.address.Medium == Email, s.nowMS())
		switch {
		case refusal == nil && found.validatedAt == 0:
			found.validatedAt = s.nowMS()
			return markValidated(ctx, tx, found.sid, found.validatedAt)
		case refusal != nil && refusal.Code == matrix.TokenIncorrect && found.address.Medium == Phone:
			return countFailure(ctx, tx, found.sid)
		}
		return nil
	})
	if err != nil {
		return session{}, fmt.Errorf("validate an address: %w", err)
	}
	if refusal != nil {
		return session{}, refusal
	}
	return found, nil
}

// refuses returns why a token proves nothing; nil if it proves the address.
func (f session) refuses(token string, own bool, now int64) *matrix.Error {
	switch {
	case f.sid == "" || !own:
		return errNoSession()
	case f.expiresAt <= now:
		return matrix.Errorf(matrix.SessionExpired, "This session has expired")
	case f.failures >= maxFailures:
		return matrix.Errorf(matrix.SessionExpired, "Too many wrong tokens: ask for a new one")
	case !f.knows(token):
		return matrix.Errorf(matrix.TokenIncorrect, "The token is incorrect")
	}
	return nil
}

// Validated returns the address that a session has proved for a purpose.
// M_THREEPID_AUTH_FAILED where it has not, or does not exist, or is another's;
// M_MISSING_PARAM.
func (s *Service) Validated(ctx context.Context, purpose Purpose, c Credentials) (Validated, error) {
	if c.SID == "" || c.ClientSecret == "" {
		return Validated{}, matrix.Errorf(matrix.MissingParam, "sid and client_secret are needed")
	}
	found, err := findSession(ctx, s.o.Pool, c.SID, "")
	if err != nil {
		return Validated{}, err
	}
	own := secret.Is(found.secret, c.ClientSecret)
	if !own || found.purpose != purpose || found.validatedAt == 0 || found.expiresAt <= s.nowMS() {
		return Validated{}, errNotProved()
	}
	return Validated{Address: found.address, SID: found.sid, At: found.validatedAt}, nil
}

// ClaimNew uses a validated session up, and adds its address to a user's account, in
// the transaction of the operation; for an account that has others, notifyAdded follows.
// M_THREEPID_AUTH_FAILED if another request has used it, M_THREEPID_IN_USE if another
// account has got the address meanwhile, M_THREEPID_DENIED if the user has too many.
func (s *Service) ClaimNew(ctx context.Context, tx pgx.Tx, sid, userID string) error {
	v, err := s.claim(ctx, tx, sid)
	if err != nil {
		return err
	}
	return insertAddress(ctx, tx, userID, v, s.nowMS())
}

// ClaimOwned uses a validated session up for the owner of its address.
// M_THREEPID_AUTH_FAILED where another request has used it, or the address is no
// longer the user's.
func (s *Service) ClaimOwned(ctx context.Context, tx pgx.Tx, sid, userID string) error {
	v, err := s.claim(ctx, tx, sid)
	if err != nil {
		return err
	}
	owner, err := findOwner(ctx, tx, v.Address)
	if err == nil && owner != userID {
		return errNotProved()
	}
	return err
}

func (s *Service) claim(ctx context.Context, tx pgx.Tx, sid string) (Validated, error) {
	found, err := deleteSession(ctx, tx, sid)
	if err != nil {
		return Validated{}, err
	}
	if found.validatedAt == 0 || found.expiresAt <= s.nowMS() {
		return Validated{}, errNotProved()
	}
	return Validated{Address: found.address, SID: sid, At: found.validatedAt}, nil
}

func errNoSession() *matrix.Error {
	return matrix.Errorf(matrix.NoValidSession, "There is no such session, or it has been used")
}

func errNotProved() *matrix.Error {
	return matrix.Errorf(matrix.ThreepidAuthFailed, "The address has not been confirmed")
}

// newCode makes a number that people can type.
func newCode() string {
	most := new(big.Int).Exp(big.NewInt(10), big.NewInt(codeDigits), nil)
	// crypto/rand never returns an error: it ends the process instead.
	n, _ := rand.Int(rand.Reader, most)
	return fmt.Sprintf("%0*d", codeDigits, n)
}
