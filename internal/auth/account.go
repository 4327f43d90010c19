package auth

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
	"homeserver/internal/auth/session"
	"homeserver/internal/matrix"
)

// maxAccountsListed is the most that Accounts returns at once.
const maxAccountsListed = 1000

// NewAccount is an account that the operator makes. With an empty password nobody
// can log in.
type NewAccount struct {
	Username, Password string
	Admin              bool
}

// CreateAccount makes an account, whether or not registration is enabled, and
// returns its user ID. For the operator. M_INVALID_USERNAME, M_USER_IN_USE,
// M_WEAK_PASSWORD.
func (s *Service) CreateAccount(ctx context.Context, n NewAccount) (string, error) {
	userID, err := s.newUserID(n.Username)
	if err != nil {
		return "", err
	}
	hash, err := s.newPasswordHash(ctx, n.Password)
	if err != nil {
		return "", err
	}
	row := account.Account{UserID: userID, PasswordHash: hash, Admin: n.Admin}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		return account.Insert(ctx, tx, row, s.nowMS())
	})
	if err != nil {
		return "", fmt.Errorf("create the account %s: %w", userID, err)
	}
	return userID, nil
}

// LogIn logs a device in to an account, with no password: for the operator, who may also choose the
// device's access token. M_NOT_FOUND, M_USER_DEACTIVATED, M_INVALID_PARAM for a device that cannot be,
// or a token that another device has.
func (s *Service) LogIn(ctx context.Context, userID string, device session.NewDevice) (session.Credentials, error) {
	if err := device.Check(); err != nil {
		return session.Credentials{}, err
	}
	var credentials session.Credentials
	var revoked []secret.Hash
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		err := account.LockLive(ctx, tx, userID)
		if err == nil {
			credentials, revoked, err = s.Sessions.Begin(ctx, tx, userID, device, matrix.Client{})
		}
		return err
	})
	if err != nil {
		return session.Credentials{}, fmt.Errorf("log in %s: %w", userID, err)
	}
	s.Sessions.Revoke(revoked)
	return credentials, nil
}

// Accounts lists the accounts whose user ID comes after the one given ("" for the
// first page), in the order of their user IDs: at most limit, and never more than
// 1,000. For the operator.
func (s *Service) Accounts(ctx context.Context, after string, limit int) ([]account.Account, error) {
	return account.List(ctx, s.pool, after, max(1, min(limit, maxAccountsListed)))
}

// Admins returns those of the user IDs that belong to administrators of this server.
func (s *Service) Admins(ctx context.Context, userIDs []string) ([]string, error) {
	return account.Admins(ctx, s.pool, userIDs)
}

// Count counts the accounts, by reading all of them.
func (s *Service) Count(ctx context.Context) (account.Counts, error) {
	return account.Count(ctx, s.pool)
}

// newUserID makes the user ID for a wanted name. Upper-case letters become
// lower-case ones, as the appendices demand of new users; anything else outside
// the grammar is M_INVALID_USERNAME. Appendices, "User Identifiers".
func (s *Service) newUserID(username string) (string, error) {
	localpart := lowerASCII(username)
	if !matrix.IsUserLocalpart(localpart) {
		return "", matrix.Errorf(matrix.InvalidUsername, "A user name may only contain a-z, 0-9 and . _ = - / +")
	}
	userID := "@" + localpart + ":" + s.o.ServerName
	if len(userID) > matrix.MaxIDBytes {
		return "", matrix.Errorf(matrix.InvalidUsername, "The user ID must not be longer than %d bytes", matrix.MaxIDBytes)
	}
	return userID, nil
}

// lowerASCII lowers A-Z only: a letter outside the grammar must not become one
// inside it, as the Kelvin sign would.
func lowerASCII(text string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
}

// localUserIDs lists the user IDs that a name of a user may mean, the likelier first:
// as it was typed, and in lower case. The name is a user ID or the local part of one.
// M_FORBIDDEN for a user of another server. For a name that nobody can have it is "",
// which nobody has.
func (s *Service) localUserIDs(name string) ([]string, error) {
	userID := name
	if !strings.HasPrefix(name, "@") {
		userID = "@" + name + ":" + s.o.ServerName
	}
	localpart, server, err := matrix.ParseUserID(userID)
	if err != nil || localpart == "" {
		return []string{""}, nil
	}
	if server != s.o.ServerName {
		return nil, matrix.Errorf(matrix.Forbidden, "This user belongs to another server")
	}
	return []string{userID, "@" + lowerASCII(localpart) + ":" + server}, nil
}

// existingUser finds the user ID of an account by name; M_NOT_FOUND.
func (s *Service) existingUser(ctx context.Context, name string) (string, error) {
	candidates, err := s.localUserIDs(name)
	if err != nil {
		return "", err
	}
	a, err := account.Find(ctx, s.pool, candidates)
	if err != nil {
		return "", err
	}
	if a.UserID == "" {
		return "", matrix.Errorf(matrix.NotFound, "There is no such user")
	}
	return a.UserID, nil
}

// newPasswordHash checks and hashes the password of a new account; an empty one
// has no hash.
func (s *Service) newPasswordHash(ctx context.Context, password string) (string, error) {
	if password == "" {
		return "", nil
	}
	if err := s.checkNewPassword(password); err != nil {
		return "", err
	}
	return s.hasher.hash(ctx, preparePassword(password))
}
