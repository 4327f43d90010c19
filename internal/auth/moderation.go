package auth

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
	"homeserver/internal/auth/session"
	"homeserver/internal/matrix"
)

// Moderation is what an administrator has decided about an account, and can take back. Client-server API, "Account
// moderation".
type Moderation struct{ Locked, Suspended bool }

// Change is what becomes of it; nil leaves it as it is.
type Change struct{ Locked, Suspended *bool }

// ErrNotAdmin is the answer to those who may not look up or moderate accounts.
func ErrNotAdmin() *matrix.Error {
	return matrix.Errorf(matrix.Forbidden, "Only administrators may do this")
}

// Moderation returns what was decided about an account, to administrators: M_FORBIDDEN for others, whether there is
// such a user or not, and about another administrator. M_INVALID_PARAM for a user of another server, M_NOT_FOUND, also
// for a deactivated account. Client-server API, GET /admin/lock/{userId} and GET /admin/suspend/{userId}.
func (s *Service) Moderation(ctx context.Context, by matrix.Session, userID string) (Moderation, error) {
	if err := s.checkModerated(by, userID); err != nil {
		return Moderation{}, err
	}
	a, err := account.Find(ctx, s.pool, []string{userID})
	if err == nil {
		err = moderated(by, a)
	}
	return Moderation{a.Locked, a.Suspended}, err
}

// Moderate locks or suspends an account, or ends that, for an administrator. Errors are those of Moderation, and
// M_FORBIDDEN for the administrator's own account. When it returns, this process acts by it, and requests that wait
// with a token of a locked account end; other processes do so once they have heard of it. Tokens stay good. Client-server
// API, PUT /admin/lock/{userId} and PUT /admin/suspend/{userId}.
func (s *Service) Moderate(ctx context.Context, by matrix.Session, userID string, c Change) error {
	if err := s.checkModerated(by, userID); err != nil {
		return err
	}
	if userID == by.UserID {
		return matrix.Errorf(matrix.Forbidden, "You cannot do this to your own account")
	}
	return s.moderate(ctx, userID, c, func(a account.Account) error { return moderated(by, a) })
}

// ModerateAccount does the same for the operator, who names the account by its user ID or the local part of it, and may
// moderate administrators. M_NOT_FOUND, M_USER_DEACTIVATED.
func (s *Service) ModerateAccount(ctx context.Context, name string, c Change) (userID string, err error) {
	if userID, err = s.existingUser(ctx, name); err != nil {
		return "", err
	}
	return userID, s.moderate(ctx, userID, c, func(a account.Account) error {
		if a.Deactivated {
			return account.ErrDeactivated()
		}
		return nil
	})
}

// checkModerated checks that an administrator asks, and then that the user is of this server.
func (s *Service) checkModerated(by matrix.Session, userID string) error {
	if !by.Admin {
		return ErrNotAdmin()
	}
	_, server, err := matrix.ParseUserID(userID)
	if err != nil || server != s.o.ServerName {
		return matrix.Errorf(matrix.InvalidParam, "This is not the ID of a user of this server")
	}
	return nil
}

// moderated checks the account that an administrator asks about.
func moderated(by matrix.Session, a account.Account) error {
	switch {
	case a.UserID == "" || a.Deactivated:
		return matrix.Errorf(matrix.NotFound, "There is no such user")
	case a.Admin && a.UserID != by.UserID:
		return matrix.Errorf(matrix.Forbidden, "The user is an administrator")
	}
	return nil
}

// moderate stores a change of an account that passes the check, and acts by it.
func (s *Service) moderate(ctx context.Context, userID string, c Change, check func(account.Account) error) error {
	var ended []secret.Hash
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		a, err := account.Lock(ctx, tx, userID)
		if err == nil {
			err = check(a)
		}
		if err != nil {
			return err
		}
		if c.Suspended != nil && *c.Suspended != a.Suspended {
			if err := account.SetSuspended(ctx, tx, userID, s.since(*c.Suspended)); err != nil {
				return err
			}
		}
		if c.Locked == nil || *c.Locked == a.Locked {
			return nil
		}
		if err := account.SetLocked(ctx, tx, userID, s.since(*c.Locked)); err != nil || !*c.Locked {
			return err
		}
		ended, err = session.AccessTokens(ctx, tx, userID)
		return err
	})
	if err != nil {
		return fmt.Errorf("moderate %s: %w", userID, err)
	}
	s.Sessions.Moderated(userID, ended)
	return nil
}

// since returns the present for what holds, and nil for what does not hold any more.
func (s *Service) since(holds bool) *int64 {
	if !holds {
		return nil
	}
	now := s.nowMS()
	return &now
}
