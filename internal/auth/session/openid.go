package session

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
	"homeserver/internal/matrix"
)

const (
	openIDLifetime = time.Hour
	// maxOpenIDTokens bounds the tokens of a user that are good at the same time.
	maxOpenIDTokens = 100
)

// OpenIDToken allows another service to ask this server for the user's identity, and
// nothing more. ExpiresIn is in seconds. Client-server API, "OpenID".
type OpenIDToken struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ServerName  string `json:"matrix_server_name"`
	ExpiresIn   int64  `json:"expires_in"`
}

// OpenIDToken makes a token by which others can verify the user's identity. If there
// are more than 100 valid ones, the oldest are deleted. Client-server API, POST
// /user/{userId}/openid/request_token. M_USER_DEACTIVATED.
func (s *Service) OpenIDToken(ctx context.Context, userID string) (OpenIDToken, error) {
	made := OpenIDToken{
		AccessToken: secret.New("hso_"),
		TokenType:   "Bearer",
		ServerName:  s.o.ServerName,
		ExpiresIn:   int64(openIDLifetime.Seconds()),
	}
	err := pgx.BeginFunc(ctx, s.o.Pool, func(tx pgx.Tx) error {
		if err := account.LockLive(ctx, tx, userID); err != nil {
			return err
		}
		return insertOpenIDToken(ctx, tx, secret.HashOf(made.AccessToken), userID, s.nowMS()+openIDLifetime.Milliseconds())
	})
	if err != nil {
		return OpenIDToken{}, fmt.Errorf("make an OpenID token for %s: %w", userID, err)
	}
	return made, nil
}

// OpenIDUser returns the user of an OpenID token. Anybody may ask, more than once.
// M_UNKNOWN_TOKEN if it is unknown or has expired. Server-server API, "OpenID", GET
// /openid/userinfo.
func (s *Service) OpenIDUser(ctx context.Context, token string) (string, error) {
	return findOpenIDToken(ctx, s.o.Pool, secret.HashOf(token), s.nowMS())
}

func errOpenIDToken() *matrix.Error {
	return matrix.Errorf(matrix.UnknownToken, "The OpenID token is unknown or has expired")
}
