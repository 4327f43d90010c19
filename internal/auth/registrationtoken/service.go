package registrationtoken

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth/uia"
	"homeserver/internal/matrix"
)

const (
	// MaxTokens bounds the tokens that there are.
	MaxTokens = 100_000
	// maxLength is that of a token: "Token-authenticated registration".
	maxLength = 64
	// generatedLength is that of a token that is made up, which nobody guesses.
	generatedLength = 20
)

// Token is a token with how often it may be used: Uses times, or any number of times if that is nil. Times are in
// milliseconds since the epoch; without ExpiresAt it does not expire.
type Token struct {
	Token     string
	Uses      *int32
	Used      int32
	ExpiresAt *int64
	CreatedAt int64
}

// Good reports whether an account can be made with the token.
func (t Token) Good(now int64) bool {
	return (t.Uses == nil || t.Used < *t.Uses) && (t.ExpiresAt == nil || now < *t.ExpiresAt)
}

// Service holds the rules of tokens. It may be used concurrently.
type Service struct {
	pool *pgxpool.Pool
	now  func() time.Time
}

// New makes a Service on a migrated database, and registers its stage, if stages is not nil. Without a clock it is
// time.Now.
func New(pool *pgxpool.Pool, stages *uia.Service, now func() time.Time) *Service {
	if now == nil {
		now = time.Now
	}
	s := &Service{pool, now}
	if stages != nil {
		stages.Register(uia.StageRegistrationToken, uia.Stage{Check: s.check, Claim: s.claim})
	}
	return s
}

// Create makes a token; one without a text gets one that nobody guesses. M_INVALID_PARAM for a text that can be no
// token, or that there is already, and for one that could never be used.
func (s *Service) Create(ctx context.Context, t Token) (Token, error) {
	if t.Token == "" {
		t.Token = strings.ToLower(rand.Text()[:generatedLength])
	}
	t.CreatedAt, t.Used = s.now().UnixMilli(), 0
	if !isToken(t.Token) {
		return Token{}, matrix.Errorf(matrix.InvalidParam, "A token has 1 to %d letters, digits and . _ ~ -", maxLength)
	}
	if !t.Good(t.CreatedAt) {
		return Token{}, matrix.Errorf(matrix.InvalidParam, "The token could never be used")
	}
	return t, insert(ctx, s.pool, t)
}

// List lists all tokens, used up and expired ones too, in the order in which they were made.
func (s *Service) List(ctx context.Context) ([]Token, error) { return list(ctx, s.pool) }

// Delete deletes a token; M_NOT_FOUND.
func (s *Service) Delete(ctx context.Context, token string) error { return remove(ctx, s.pool, token) }

// Valid reports whether an account can be made with the token, now. Client-server API, GET
// /register/m.login.registration_token/validity.
func (s *Service) Valid(ctx context.Context, token string) (bool, error) {
	if !isToken(token) {
		return false, nil
	}
	t, err := find(ctx, s.pool, token)
	return t.Token != "" && t.Good(s.now().UnixMilli()), err
}

// check is the stage. M_UNAUTHORIZED for a token that is not good.
func (s *Service) check(ctx context.Context, a uia.Attempt) (uia.Evidence, error) {
	var sent struct {
		Token *string `json:"token"`
	}
	if err := a.Decode(&sent); err != nil {
		return uia.Evidence{}, matrix.Errorf(matrix.BadJSON, "token must be a string")
	}
	if sent.Token == nil {
		return uia.Evidence{}, matrix.Errorf(matrix.MissingParam, "token is missing")
	}
	good, err := s.Valid(ctx, *sent.Token)
	if err == nil && !good {
		err = errToken()
	}
	return uia.Evidence{Proof: *sent.Token}, err
}

// claim counts the use of a token, in the transaction that makes the account. M_UNAUTHORIZED if another has used it
// up meanwhile, or the operator has deleted it.
func (s *Service) claim(ctx context.Context, tx pgx.Tx, _, token, _ string) error {
	used, err := use(ctx, tx, token, s.now().UnixMilli())
	if err == nil && !used {
		err = errToken()
	}
	return err
}

func errToken() *matrix.Error {
	return matrix.Errorf(matrix.Unauthorized, "The registration token is unknown, used or expired")
}

// isToken reports whether a text can be a token: appendices, "Opaque Identifiers".
func isToken(text string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~-"
	return text != "" && len(text) <= maxLength && strings.Trim(text, allowed) == ""
}
