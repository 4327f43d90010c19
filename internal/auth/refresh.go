package auth

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/matrix"
)

// Refresh gives new tokens for a refresh token. The old one remains good until one
// of the new ones is used, so that a client that never got the answer can ask
// again; what it got the first time is void then. M_UNKNOWN_TOKEN where the token
// is not good, with soft_logout true where its successor has been used and the
// device still exists; M_MISSING_PARAM without a token.
// Client-server API, POST /refresh and "Refreshing access tokens".
func (s *Service) Refresh(ctx context.Context, refreshToken string) (Tokens, error) {
	if refreshToken == "" {
		return Tokens{}, matrix.Errorf(matrix.MissingParam, "refresh_token is missing")
	}
	var tokens Tokens
	var revoked []tokenHash
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		session, err := lockDeviceOfRefreshToken(ctx, tx, hashToken(refreshToken))
		if err != nil {
			return err
		}
		row, err := findRefreshToken(ctx, tx, hashToken(refreshToken))
		if err != nil {
			return err
		}
		if row.Revoked {
			return unknownToken(true)
		}
		older, err := revokeBefore(ctx, tx, session, row.Generation)
		if err != nil {
			return err
		}
		newer, err := deleteAfter(ctx, tx, session, row.Generation)
		if err != nil {
			return err
		}
		revoked = append(older, newer...)
		tokens, err = s.issueTokens(ctx, tx, session, row.Generation+1, true)
		return err
	})
	if err != nil {
		return Tokens{}, fmt.Errorf("refresh a token: %w", err)
	}
	s.cache.remove(revoked)
	return tokens, nil
}
