package session

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
	"homeserver/internal/auth/uia"
	"homeserver/internal/matrix"
)

// loginTokenLifetime is the value that the specification recommends.
const loginTokenLifetime = 2 * time.Minute

// NewLoginToken is a token for one login. ExpiresInMS is how long it is good.
type NewLoginToken struct {
	Token       string `json:"login_token"`
	ExpiresInMS int64  `json:"expires_in_ms"`
}

// LoginToken makes a token by which another client can log in as the user who asks,
// once, after interactive authentication each time. Client-server API,
// POST /login/get_token.
func (s *Service) LoginToken(ctx context.Context, session matrix.Session, auth json.RawMessage) (NewLoginToken, error) {
	op := uia.ByPassword("POST /login/get_token", session).About("Log in another device as you")
	proof, err := s.o.Stages.Interact(ctx, op, auth)
	if err != nil {
		return NewLoginToken{}, err
	}
	token, err := s.IssueLoginToken(ctx, session.UserID, loginTokenLifetime, func(ctx context.Context, tx pgx.Tx, _ secret.Hash) error {
		return proof.Consume(ctx, tx)
	})
	if err != nil {
		return NewLoginToken{}, err
	}
	return NewLoginToken{Token: token, ExpiresInMS: loginTokenLifetime.Milliseconds()}, nil
}

// IssueLoginToken makes a token by which somebody who has shown to be the user logs in, once, within a time. It
// calls a function in the same transaction. M_USER_DEACTIVATED.
func (s *Service) IssueLoginToken(ctx context.Context, userID string, lifetime time.Duration, then func(ctx context.Context, tx pgx.Tx, hash secret.Hash) error) (string, error) {
	token := secret.New("hsl_")
	err := pgx.BeginFunc(ctx, s.o.Pool, func(tx pgx.Tx) error {
		if err := account.LockLive(ctx, tx, userID); err != nil {
			return err
		}
		hash := secret.HashOf(token)
		if err := insertLoginToken(ctx, tx, hash, userID, s.nowMS()+lifetime.Milliseconds()); err != nil {
			return err
		}
		return then(ctx, tx, hash)
	})
	if err != nil {
		return "", fmt.Errorf("make a login token for %s: %w", userID, err)
	}
	return token, nil
}

// LogIn logs a device in, and uses the token up in the same transaction.
func (s *Service) LogIn(ctx context.Context, token string, device NewDevice, client matrix.Client) (Credentials, error) {
	if token == "" {
		return Credentials{}, matrix.Errorf(matrix.MissingParam, "token is missing")
	}
	if err := device.Check(); err != nil {
		return Credentials{}, err
	}
	// Read first, since an account is always locked before its other rows.
	userID, err := findLoginToken(ctx, s.o.Pool, secret.HashOf(token), s.nowMS())
	if err != nil {
		return Credentials{}, err
	}
	var credentials Credentials
	var revoked []secret.Hash
	err = pgx.BeginFunc(ctx, s.o.Pool, func(tx pgx.Tx) error {
		a, err := account.Lock(ctx, tx, userID)
		if err != nil {
			return err
		}
		if a.Deactivated {
			return errLoginToken()
		}
		if a.Locked {
			return matrix.ErrLocked()
		}
		if credentials, revoked, err = s.Begin(ctx, tx, userID, device, client); err != nil {
			return err
		}
		for _, follow := range s.onTokenLogin {
			if err := follow(ctx, tx, secret.HashOf(token), userID, credentials.DeviceID); err != nil {
				return err
			}
		}
		deleted, err := DeleteLoginTokens(ctx, tx, []secret.Hash{secret.HashOf(token)})
		if err == nil && deleted == 0 { // another login has used it, before this one could lock the account
			err = errLoginToken()
		}
		return err
	})
	if err != nil {
		return Credentials{}, fmt.Errorf("log in by a token: %w", err)
	}
	s.Revoke(revoked)
	return credentials, nil
}

func errLoginToken() *matrix.Error {
	return matrix.Errorf(matrix.Forbidden, "The login token is unknown, used or expired")
}
