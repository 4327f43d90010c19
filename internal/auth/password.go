package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"golang.org/x/text/unicode/norm"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
	"homeserver/internal/auth/uia"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
)

// preparePassword brings a password into the form in which it is compared, so that it
// does not matter how a keyboard writes a letter: all spaces are the ASCII one, and
// letters are composed (NFC). This is the rule of PRECIS for passwords, RFC 8265,
// section 4.2.2, without the classes of characters that it refuses: emoji made of several are
// among them, and people have them in passwords.
func preparePassword(password string) string {
	return norm.NFC.String(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Zs, r) {
			return ' '
		}
		return r
	}, password))
}

// checkNewPassword refuses a password that is too short, in characters as they are
// compared: M_WEAK_PASSWORD; and one with a control character, which another keyboard
// may not have: M_INVALID_PARAM.
func (s *Service) checkNewPassword(password string) error {
	password = preparePassword(password)
	if strings.ContainsFunc(password, unicode.IsControl) {
		return matrix.Errorf(matrix.InvalidParam, "The password must not have control characters")
	}
	if n := utf8.RuneCountInString(password); n < s.o.MinPasswordLength {
		return matrix.Errorf(matrix.WeakPassword, "The password must have at least %d characters", s.o.MinPasswordLength)
	}
	if password == "" {
		return matrix.Errorf(matrix.WeakPassword, "The password must not be empty")
	}
	return nil
}

// errLogin returns the same error for a wrong user, a wrong password, and a user who has no
// password, so that it does not show which users exist.
func errLogin() *matrix.Error {
	return matrix.Errorf(matrix.Forbidden, "Invalid username or password")
}

// checkPassword finds the account of a user name and checks its password.
// M_FORBIDDEN for a wrong one, M_USER_DEACTIVATED for the right one of a
// deactivated account, M_USER_LOCKED for that of a locked one, M_LIMIT_EXCEEDED after too many wrong ones. outdated says that
// the right one should be hashed anew.
func (s *Service) checkPassword(ctx context.Context, name userName, password string) (found account.Account, outdated bool, err error) {
	candidates, key, err := s.candidates(ctx, name)
	if err != nil {
		return account.Account{}, false, err
	}
	attempt, err := s.countAttempt(matrix.Caller(ctx), key, candidates)
	if err != nil {
		return account.Account{}, false, err
	}
	a, err := account.Find(ctx, s.pool, candidates)
	if err != nil {
		attempt.giveBack()
		return account.Account{}, false, err
	}
	ok, outdated, err := s.verify(ctx, password, a.PasswordHash)
	if err != nil {
		attempt.giveBack()
		return account.Account{}, false, err
	}
	if !ok && a.PasswordHash == "" {
		if a, err = s.checkElsewhere(ctx, name, password); err != nil {
			attempt.giveBack()
			return account.Account{}, false, err
		}
		ok, outdated = a.UserID != "", false
	}
	if !ok {
		return account.Account{}, false, errLogin()
	}
	attempt.giveBack()
	if a.Deactivated {
		return account.Account{}, false, account.ErrDeactivated()
	}
	if a.Locked {
		return account.Account{}, false, matrix.ErrLocked()
	}
	s.hasher.familiar.add(matrix.Caller(ctx), a.UserID)
	return a, outdated, nil
}

// verify checks a password, and whether its hash is not as it would be made today:
// old hashes may be those of the password as it was typed.
func (s *Service) verify(ctx context.Context, password, phc string) (ok, outdated bool, err error) {
	prepared := preparePassword(password)
	ok, err = s.hasher.verify(ctx, prepared, phc)
	if ok || err != nil || prepared == password {
		return ok, s.hasher.outdated(phc), err
	}
	ok, err = s.hasher.verify(ctx, password, phc)
	return ok, true, err
}

// checkPasswordStage returns the stage m.login.password: "Password-based".
func (s *Service) checkPasswordStage(ctx context.Context, a uia.Attempt) (uia.Evidence, error) {
	var sent struct {
		Identifier *Identifier `json:"identifier"`
		User       string      `json:"user"`
		Medium     string      `json:"medium"`
		Address    string      `json:"address"`
		Password   string      `json:"password"`
	}
	if err := a.Decode(&sent); err != nil {
		return uia.Evidence{}, matrix.Errorf(matrix.BadJSON, "A member of auth has a wrong type")
	}
	name, err := readName(sent.Identifier, sent.User, sent.Medium, sent.Address)
	if err != nil {
		return uia.Evidence{}, err
	}
	found, _, err := s.checkPassword(ctx, name, sent.Password)
	return uia.Evidence{UserID: found.UserID}, err
}

// attempts are the claims of one try of a password.
type attempts []*ratelimit.Claim

func (as attempts) giveBack() {
	for _, a := range as {
		a.GiveBack()
	}
}

// countAttempt counts a password that may be wrong, against two limits: that of the caller
// at this account, and that of the account for all callers together. The second limit does
// not apply to a user who is logged in to the account, nor to addresses from which the
// user was logged in before, so that the guesses of others do not lock the user out. The
// first applies to them, too: an access token may be stolen. M_LIMIT_EXCEEDED.
func (s *Service) countAttempt(caller, key string, candidates []string) (attempts, error) {
	own, err := s.o.Limits.Take(ratelimit.FailedLogin, key+" "+caller)
	loggedIn := caller != "" && slices.Contains(candidates, caller)
	if err != nil || loggedIn || s.hasher.familiar.knowsAt(caller, candidates) {
		return attempts{own}, err
	}
	all, err := s.o.Limits.Take(ratelimit.FailedLoginAccount, key)
	if err != nil {
		own.GiveBack()
	}
	return attempts{own, all}, err
}

// ChangePasswordRequest is the body of POST /account/password.
type ChangePasswordRequest struct {
	NewPassword   string          `json:"new_password"`
	LogoutDevices *bool           `json:"logout_devices"` // nil means true
	Auth          json.RawMessage `json:"auth"`
}

// ChangePassword sets a user's password after interactive authentication, and logs out
// all devices but the one that asks unless logout_devices is false. With a zero
// session, that is without an access token, the user is the one that the authentication
// proves: by the old password, or by an address of the account. The addresses of the
// account get a message. M_MISSING_PARAM, M_WEAK_PASSWORD. Client-server API, POST
// /account/password.
func (s *Service) ChangePassword(ctx context.Context, session matrix.Session, r ChangePasswordRequest) error {
	if r.NewPassword == "" {
		return matrix.Errorf(matrix.MissingParam, "new_password is missing")
	}
	if err := s.checkNewPassword(r.NewPassword); err != nil {
		return err
	}
	op := uia.ByPassword(uia.ChangePassword, session).About("Give your account a new password", r.NewPassword, r.LogoutDevices)
	op.Flows = append(op.Flows, s.o.Stages.Alone(uia.ChangePassword)...)
	proof, err := s.o.Stages.Interact(ctx, op, r.Auth)
	if err != nil {
		return err
	}
	if err := s.checkPasswordIsHere(ctx, proof.UserID); err != nil {
		return err
	}
	change := passwordChange{
		userID: proof.UserID, password: r.NewPassword,
		logout: r.LogoutDevices == nil || *r.LogoutDevices, keep: session.DeviceID, byUser: true,
	}
	if err := s.changePassword(ctx, change, proof); err != nil {
		return err
	}
	s.o.Threepids.NotifyNewPassword(ctx, proof.UserID)
	return nil
}

// SetPassword sets the password of an account, named by its user ID or the local part
// of it, without asking for the old one, and logs out all its devices if logout is set.
// For the operator. M_NOT_FOUND, M_WEAK_PASSWORD.
func (s *Service) SetPassword(ctx context.Context, name, password string, logout bool) error {
	if err := s.checkNewPassword(password); err != nil {
		return err
	}
	userID, err := s.existingUser(ctx, name)
	if err != nil {
		return err
	}
	return s.changePassword(ctx, passwordChange{userID: userID, password: password, logout: logout}, uia.Approval{})
}

// passwordChange is one change of a password; keep is the device that stays logged in
// even with logout.
type passwordChange struct {
	userID, password string
	logout           bool
	keep             string
	byUser           bool // and not by the operator, who may change that of a locked account
}

func (s *Service) changePassword(ctx context.Context, c passwordChange, proof uia.Approval) error {
	hash, err := s.hasher.hash(ctx, preparePassword(c.password))
	if err != nil {
		return err
	}
	var revoked []secret.Hash
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		lock := account.LockLive
		if c.byUser {
			lock = account.LockUsable
		}
		if err := lock(ctx, tx, c.userID); err != nil {
			return err
		}
		if err := proof.Consume(ctx, tx); err != nil {
			return err
		}
		if err := proof.Claim(ctx, tx, c.userID); err != nil {
			return err
		}
		if err := account.SetPassword(ctx, tx, c.userID, hash); err != nil {
			return err
		}
		if err := s.deletePending(ctx, tx, c.userID); err != nil {
			return err
		}
		if !c.logout {
			return nil
		}
		revoked, err = s.Sessions.RemoveOthers(ctx, tx, c.userID, c.keep)
		return err
	})
	if err != nil {
		return fmt.Errorf("change the password of %s: %w", c.userID, err)
	}
	s.Sessions.Removed(ctx, revoked)
	return nil
}
