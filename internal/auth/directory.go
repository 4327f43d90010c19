package auth

import (
	"context"
	"strings"

	"homeserver/internal/auth/account"
	"homeserver/internal/matrix"
)

// Directory has passwords of people outside of this server.
type Directory interface {
	// CheckDirectory checks a name and a password, and returns the account of the person; "": they are wrong.
	CheckDirectory(ctx context.Context, name, password string) (userID string, err error)
	// IsOfDirectory reports whether the password of a user is in the directory.
	IsOfDirectory(ctx context.Context, userID string) (bool, error)
}

// AskDirectory has the passwords of accounts that have none here checked by a directory. It is meant for wiring,
// before the first request.
func (s *Service) AskDirectory(d Directory) { s.directory = d }

// checkElsewhere checks a password by the directory, if there is one. The zero value for a wrong one.
func (s *Service) checkElsewhere(ctx context.Context, name userName, password string) (account.Account, error) {
	if s.directory == nil || name.name == "" {
		return account.Account{}, nil
	}
	typed := name.name
	if strings.HasPrefix(typed, "@") {
		localpart, _, err := matrix.ParseUserID(typed)
		if err != nil {
			return account.Account{}, nil
		}
		typed = localpart
	}
	userID, err := s.directory.CheckDirectory(ctx, typed, password)
	if err != nil || userID == "" {
		return account.Account{}, err
	}
	return account.Find(ctx, s.pool, []string{userID})
}

// checkPasswordIsHere refuses to change the password of a user who has it in a directory: M_FORBIDDEN.
func (s *Service) checkPasswordIsHere(ctx context.Context, userID string) error {
	if s.directory == nil {
		return nil
	}
	elsewhere, err := s.directory.IsOfDirectory(ctx, userID)
	if err == nil && elsewhere {
		err = matrix.Errorf(matrix.Forbidden, "Your password is that of your organisation: it is changed there")
	}
	return err
}
