package session

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/secret"
	"homeserver/internal/matrix"
)

const (
	// repeatWindow is how long a refresh may be repeated after its outcome is in use: by
	// a second tab or process of the client, or because the answer was lost.
	repeatWindow = time.Minute
	// maxRepeatedRefreshes bounds the tokens that one refresh token is exchanged for.
	maxRepeatedRefreshes = 10
	// rememberedTokens is how many void access tokens of a device are remembered, how
	// many generations of its refresh tokens, and how many of these that were lost.
	rememberedTokens = 5
)

// Refresh returns new tokens for a refresh token. The old one remains good until a
// minute after one of the new ones was used, so that a client that never got the
// answer, or has asked twice at once, can ask again; each answer's tokens are good,
// if they are used within a minute where there are several. M_UNKNOWN_TOKEN where the
// token is not good, with soft_logout true where it was and the device still exists, as
// long as that is remembered; M_USER_LOCKED in a locked account, where the token stays good; M_MISSING_PARAM without a
// token.
// Client-server API, POST /refresh and "Refreshing access tokens".
func (s *Service) Refresh(ctx context.Context, refreshToken string) (Tokens, error) {
	if refreshToken == "" {
		return Tokens{}, matrix.Errorf(matrix.MissingParam, "refresh_token is missing")
	}
	var tokens Tokens
	var revoked []secret.Hash
	err := pgx.BeginFunc(ctx, s.o.Pool, func(tx pgx.Tx) (err error) {
		hash := secret.HashOf(refreshToken)
		device, err := lockDeviceOfClient(ctx, tx, hash, "")
		if err == nil {
			tokens, revoked, err = s.refresh(ctx, tx, device, hash, NewDevice{Refreshable: true})
		}
		return err
	})
	if err != nil {
		return Tokens{}, fmt.Errorf("refresh a token: %w", err)
	}
	s.Revoke(revoked)
	return tokens, nil
}

// refresh exchanges a refresh token of a device that is locked.
func (s *Service) refresh(ctx context.Context, tx pgx.Tx, session matrix.Session, hash secret.Hash, d NewDevice) (tokens Tokens, revoked []secret.Hash, err error) {
	row, err := findRefreshToken(ctx, tx, hash)
	if err != nil {
		return Tokens{}, nil, err
	}
	if row.Locked && d.OAuthClient == "" {
		return Tokens{}, nil, matrix.ErrLocked()
	}
	if revoked, err = s.settleBefore(ctx, tx, session, row, s.lifetime(d)); err != nil {
		return Tokens{}, nil, err
	}
	n, err := countNewer(ctx, tx, session, row.Generation)
	if err != nil {
		return Tokens{}, nil, err
	}
	if n >= maxRepeatedRefreshes {
		return Tokens{}, nil, unknownToken(true)
	}
	tokens, err = s.issueTokens(ctx, tx, session, row.Generation+1, d)
	return tokens, revoked, err
}

// settleBefore decides whether a refresh token is good. It makes void the tokens before
// it, and those that it was exchanged for but that nobody has used, and returns the
// access tokens among them.
func (s *Service) settleBefore(ctx context.Context, tx pgx.Tx, session matrix.Session, row refreshTokenRow, lifetime time.Duration) ([]secret.Hash, error) {
	now := s.nowMS()
	before := now - repeatWindow.Milliseconds()
	if row.Revoked {
		if row.RevokedAt < before {
			return nil, unknownToken(true)
		}
		return nil, nil
	}
	older, err := revokeBefore(ctx, tx, session, row.Generation, now)
	if err != nil {
		return nil, err
	}
	lost, err := voidLost(ctx, tx, session, row.Generation, before, lifetime.Milliseconds(), now)
	return append(older, lost...), err
}
