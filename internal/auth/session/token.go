package session

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/secret"
	"homeserver/internal/matrix"
)

// Tokens are the tokens with which a client authenticates. ExpiresInMS is 0 if the
// access token does not expire, which is the case if there is no refresh token.
type Tokens struct {
	AccessToken  string `json:"access_token,omitzero"`
	RefreshToken string `json:"refresh_token,omitzero"`
	ExpiresInMS  int64  `json:"expires_in_ms,omitzero"`
}

// Credentials is the answer to a login or a registration.
type Credentials struct {
	UserID     string `json:"user_id"`
	HomeServer string `json:"home_server"`
	DeviceID   string `json:"device_id,omitzero"`
	Tokens
}

// Authenticate returns the session of an access token, from memory in the usual case.
// M_UNKNOWN_TOKEN for any other token, with soft_logout true if it has expired, or
// another has taken its place, and the device still exists. The session of a locked account is returned as such: it can
// be logged out, and no more. Client-server API, "Using
// access tokens" and "Soft logout".
func (s *Service) Authenticate(ctx context.Context, token string) (matrix.Session, error) {
	known, err := s.authenticate(ctx, token)
	return known.session, err
}

func (s *Service) authenticate(ctx context.Context, token string) (knownToken, error) {
	hash, now := secret.HashOf(token), s.o.Now()
	known, version, ok := s.cache.get(hash, now)
	if !ok {
		var err error
		if known, err = s.loadToken(ctx, hash); err != nil {
			return knownToken{}, err
		}
		s.cache.put(hash, known, version, now)
	}
	if known.session.Locked {
		return known, nil // expired or not: that is for later
	}
	if known.expiresAt != 0 && now.UnixMilli() >= known.expiresAt {
		return knownToken{}, unknownToken(true)
	}
	return known, nil
}

// usable is authenticate for what is refused in a locked account: M_USER_LOCKED.
func (s *Service) usable(ctx context.Context, token string) (knownToken, error) {
	known, err := s.authenticate(ctx, token)
	if err == nil && known.session.Locked {
		return knownToken{}, matrix.ErrLocked()
	}
	return known, err
}

// Moderated is called once an account has been locked or suspended, or made free again, with the access tokens whose
// waiting requests end.
func (s *Service) Moderated(userID string, ended []secret.Hash) {
	s.cache.forgetUser(userID)
	s.watches.end(ended)
}

// Revoke forgets tokens that have been revoked, and ends the requests that wait with
// them. It is called once their removal has been committed, and before any answer is
// sent.
func (s *Service) Revoke(hashes []secret.Hash) {
	s.cache.remove(hashes)
	s.watches.end(hashes)
}

// loadToken reads an access token from the database. Where it is the first use of
// a refreshed token, its predecessors are revoked: "Refreshing access tokens".
func (s *Service) loadToken(ctx context.Context, hash secret.Hash) (knownToken, error) {
	row, err := findAccessToken(ctx, s.o.Pool, hash)
	if err != nil {
		return knownToken{}, err
	}
	if !row.hasPredecessor {
		return row.knownToken, nil
	}
	var revoked []secret.Hash
	err = pgx.BeginFunc(ctx, s.o.Pool, func(tx pgx.Tx) error {
		if err := lockDeviceOfAccessToken(ctx, tx, hash); err != nil {
			return err
		}
		if row, err = findAccessToken(ctx, tx, hash); err != nil {
			return err
		}
		revoked, err = revokeBefore(ctx, tx, row.session, row.generation, s.nowMS())
		return err
	})
	if err != nil {
		return knownToken{}, fmt.Errorf("take a refreshed token into use: %w", err)
	}
	s.Revoke(revoked)
	return row.knownToken, nil
}

// Knows reports whether the access token has been used lately, as far as this process
// remembers; it never asks the database. It does not report whether the token is
// still good.
func (s *Service) Knows(token string) bool {
	_, _, ok := s.cache.get(secret.HashOf(token), s.o.Now())
	return ok
}

// Forget has tokens read again that remain good, whose account has changed.
func (s *Service) Forget(hashes []secret.Hash) { s.cache.remove(hashes) }

// unknownToken returns the error for a token that is unknown or no longer valid. With soft
// the client learns that its device still exists.
func unknownToken(soft bool) *matrix.Error {
	err := matrix.Errorf(matrix.UnknownToken, "The access token is unknown or no longer valid")
	if soft {
		err.Message = "The token has expired or was replaced: refresh it, or log in again"
	}
	err.Fields = map[string]any{"soft_logout": soft}
	return err
}

// lifetime returns how long an access token of a device lives that can be refreshed.
func (s *Service) lifetime(d NewDevice) time.Duration {
	return cmp.Or(d.AccessTokenLifetime, s.o.AccessTokenLifetime)
}

// issueTokens makes the tokens of a generation, for a device that wants them so. An
// access token expires only if its client can refresh it.
func (s *Service) issueTokens(ctx context.Context, tx pgx.Tx, session matrix.Session, generation int64, d NewDevice) (Tokens, error) {
	tokens := Tokens{AccessToken: cmp.Or(d.AccessToken, secret.New("hs_"))}
	var expiresAt *int64
	if d.Refreshable {
		tokens.RefreshToken = secret.New("hsr_")
		tokens.ExpiresInMS = s.lifetime(d).Milliseconds()
		at := s.nowMS() + tokens.ExpiresInMS
		expiresAt = &at
		if err := insertRefreshToken(ctx, tx, session, secret.HashOf(tokens.RefreshToken), generation, s.nowMS()); err != nil {
			return Tokens{}, err
		}
	}
	err := insertAccessToken(ctx, tx, session, secret.HashOf(tokens.AccessToken), generation, expiresAt)
	return tokens, err
}
