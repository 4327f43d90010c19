package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"golang.org/x/crypto/argon2"

	"homeserver/internal/matrix"
	"homeserver/internal/ratelimit"
)

const (
	// hashersAtOnce bounds the memory and the cores that passwords may take.
	hashersAtOnce = 2
	// maxWaitingHashers bounds the queue in front of them.
	maxWaitingHashers = 100

	saltBytes = 16
	keyBytes  = 32
)

// ArgonParams is the cost of one argon2id hash, RFC 9106, section 3.1. Hashes keep
// the parameters that they were made with; after a change, a password is hashed
// anew at the next login with it.
type ArgonParams struct {
	MemoryKiB uint32
	Passes    uint32
	Threads   uint8
}

// DefaultArgonParams costs 19 MiB and two passes on one core.
func DefaultArgonParams() ArgonParams {
	return ArgonParams{MemoryKiB: 19 * 1024, Passes: 2, Threads: 1}
}

// hasher makes and checks password hashes, few at a time.
type hasher struct {
	params  ArgonParams
	nobody  string // a hash that no password has
	slots   chan struct{}
	waiting atomic.Int64
}

func newHasher(params ArgonParams) *hasher {
	if params == (ArgonParams{}) {
		params = DefaultArgonParams()
	}
	nobody := encodePHC(params, randomBytes(saltBytes), randomBytes(keyBytes))
	return &hasher{params: params, nobody: nobody, slots: make(chan struct{}, hashersAtOnce)}
}

// hash makes the PHC string of a password. It waits for its turn;
// M_LIMIT_EXCEEDED where too many wait already.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	salt := randomBytes(saltBytes)
	key, err := h.derive(ctx, h.params, password, salt, keyBytes)
	if err != nil {
		return "", err
	}
	return encodePHC(h.params, salt, key), nil
}

// verify reports whether the password has the hash. With an empty hash it takes
// the time of a check and says no.
func (h *hasher) verify(ctx context.Context, password, phc string) (bool, error) {
	known := phc != ""
	if !known {
		phc = h.nobody
	}
	params, salt, want, err := parsePHC(phc)
	if err != nil {
		return false, err
	}
	got, err := h.derive(ctx, params, password, salt, uint32(len(want)))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1 && known, nil
}

// outdated reports whether a hash was made with other parameters than today's.
func (h *hasher) outdated(phc string) bool {
	params, _, _, err := parsePHC(phc)
	return err != nil || params != h.params
}

func (h *hasher) derive(ctx context.Context, p ArgonParams, password string, salt []byte, size uint32) ([]byte, error) {
	if h.waiting.Add(1) > maxWaitingHashers {
		h.waiting.Add(-1)
		return nil, ratelimit.TooMany(time.Second)
	}
	select {
	case h.slots <- struct{}{}:
		h.waiting.Add(-1)
	case <-ctx.Done():
		h.waiting.Add(-1)
		return nil, fmt.Errorf("wait to hash a password: %w", ctx.Err())
	}
	defer func() { <-h.slots }()
	return argon2.IDKey([]byte(password), salt, p.Passes, p.MemoryKiB, p.Threads, size), nil
}

// encodePHC writes a hash in the PHC string format.
func encodePHC(p ArgonParams, salt, key []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.MemoryKiB, p.Passes, p.Threads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key))
}

// errHash says that what stands in the database is no hash of ours. It does not
// tell the hash, which is a secret.
var errHash = errors.New("a stored password hash is not argon2id in the PHC string format")

// parsePHC reads what encodePHC has written.
func parsePHC(phc string) (p ArgonParams, salt, key []byte, err error) {
	var version int
	var encoded string
	n, err := fmt.Sscanf(phc, "$argon2id$v=%d$m=%d,t=%d,p=%d$%s", &version, &p.MemoryKiB, &p.Passes, &p.Threads, &encoded)
	if err != nil || n != 5 || version != argon2.Version || p.Passes == 0 || p.Threads == 0 {
		return ArgonParams{}, nil, nil, errHash
	}
	saltText, keyText, _ := strings.Cut(encoded, "$")
	salt, saltErr := base64.RawStdEncoding.DecodeString(saltText)
	key, keyErr := base64.RawStdEncoding.DecodeString(keyText)
	if saltErr != nil || keyErr != nil || len(salt) == 0 || len(key) < 16 {
		return ArgonParams{}, nil, nil, errHash
	}
	return p, salt, key, nil
}

// checkNewPassword refuses a password that is too short: M_WEAK_PASSWORD.
func (s *Service) checkNewPassword(password string) error {
	if n := utf8.RuneCountInString(password); n < s.o.MinPasswordLength {
		return matrix.Errorf(matrix.WeakPassword, "The password must have at least %d characters", s.o.MinPasswordLength)
	}
	if password == "" {
		return matrix.Errorf(matrix.WeakPassword, "The password must not be empty")
	}
	return nil
}

// errLogin is the one answer to a wrong user, a wrong password, and a user who has
// no password, so that it tells nothing about who exists.
func errLogin() *matrix.Error {
	return matrix.Errorf(matrix.Forbidden, "Invalid username or password")
}

// checkPassword finds the account of a user name and checks its password.
// M_FORBIDDEN for a wrong one, M_USER_DEACTIVATED for the right one of a
// deactivated account, M_LIMIT_EXCEEDED after too many wrong ones.
func (s *Service) checkPassword(ctx context.Context, name userName, password string) (account, error) {
	candidates, key, err := s.candidates(ctx, name)
	if err != nil {
		return account{}, err
	}
	attempt, err := s.o.Limits.Take(ratelimit.FailedLogin, key)
	if err != nil {
		return account{}, err
	}
	a, err := findAccount(ctx, s.pool, candidates)
	if err != nil {
		attempt.GiveBack()
		return account{}, err
	}
	ok, err := s.hasher.verify(ctx, password, a.passwordHash)
	if err != nil {
		attempt.GiveBack()
		return account{}, err
	}
	if !ok {
		return account{}, errLogin()
	}
	attempt.GiveBack()
	if a.deactivated {
		return account{}, errDeactivated()
	}
	return a, nil
}

// ChangePasswordRequest is the body of POST /account/password.
type ChangePasswordRequest struct {
	NewPassword   string          `json:"new_password"`
	LogoutDevices *bool           `json:"logout_devices"` // nil means true
	Auth          json.RawMessage `json:"auth"`
}

// ChangePassword gives a user a new password after interactive authentication, and
// logs out all devices but the one that asks unless logout_devices is false. With
// a zero session, that is without an access token, the user is whom the
// authentication proves: by the old password, or by an address of the account. The
// addresses of the account are told.
// M_MISSING_PARAM, M_WEAK_PASSWORD.
// Client-server API, POST /account/password.
func (s *Service) ChangePassword(ctx context.Context, session Session, r ChangePasswordRequest) error {
	if r.NewPassword == "" {
		return matrix.Errorf(matrix.MissingParam, "new_password is missing")
	}
	if err := s.checkNewPassword(r.NewPassword); err != nil {
		return err
	}
	op := passwordOperation(operationPassword, session).about("Give your account a new password", r.NewPassword, r.LogoutDevices)
	op.flows = append(op.flows, s.threepidFlows()...)
	proof, err := s.interact(ctx, op, r.Auth)
	if err != nil {
		return err
	}
	change := passwordChange{
		userID: proof.userID, password: r.NewPassword,
		logout: r.LogoutDevices == nil || *r.LogoutDevices, keep: session.DeviceID,
	}
	if err := s.changePassword(ctx, change, proof); err != nil {
		return err
	}
	s.o.Threepids.TellNewPassword(ctx, proof.userID)
	return nil
}

// SetPassword gives an account, named by its user ID or the local part of it, a
// new password without asking for the old one, and logs out all its devices if
// logout is set. For the operator. M_NOT_FOUND, M_WEAK_PASSWORD.
func (s *Service) SetPassword(ctx context.Context, name, password string, logout bool) error {
	if err := s.checkNewPassword(password); err != nil {
		return err
	}
	userID, err := s.existingUser(ctx, name)
	if err != nil {
		return err
	}
	return s.changePassword(ctx, passwordChange{userID: userID, password: password, logout: logout}, approval{})
}

// passwordChange is one change of a password; keep is the device that stays
// logged in whatever logout says.
type passwordChange struct {
	userID, password string
	logout           bool
	keep             string
}

func (s *Service) changePassword(ctx context.Context, c passwordChange, proof approval) error {
	hash, err := s.hasher.hash(ctx, c.password)
	if err != nil {
		return err
	}
	var revoked []tokenHash
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockLiveAccount(ctx, tx, c.userID); err != nil {
			return err
		}
		if err := proof.consume(ctx, tx); err != nil {
			return err
		}
		if proof.threepidSID != "" {
			if err := s.o.Threepids.ClaimOwned(ctx, tx, proof.threepidSID, c.userID); err != nil {
				return err
			}
		}
		if err := storePassword(ctx, tx, c.userID, hash); err != nil {
			return err
		}
		if err := deletePending(ctx, tx, c.userID); err != nil {
			return err
		}
		if !c.logout {
			return nil
		}
		revoked, err = removeOtherDevices(ctx, tx, c.userID, c.keep)
		return err
	})
	if err != nil {
		return fmt.Errorf("change the password of %s: %w", c.userID, err)
	}
	s.revoke(revoked)
	return nil
}

// randomBytes gives n bytes that nobody can guess.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	// crypto/rand.Read never returns an error: it ends the process instead.
	_, _ = rand.Read(b)
	return b
}
