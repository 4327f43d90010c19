package session

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/secret"
	"homeserver/internal/matrix"
)

// The methods in this file are for devices that are signed in by the OAuth 2.0 API.

// RefreshGrant is [Service.Refresh] for the device of a client of OAuth, whose new access token lives
// for a time. M_UNKNOWN_TOKEN where the token is not one of the client's. A refresh token that is not good any more,
// since one of those that it was exchanged for is in use for a minute, ends the session: two
// have the tokens. In a locked account it goes on, since apps take a refusal for the end of their session; the new tokens
// are refused like the old ones. Client-server API, "Refresh token grant".
func (s *Service) RefreshGrant(ctx context.Context, refreshToken, client string, lifetime time.Duration) (Tokens, error) {
	var tokens Tokens
	var revoked []secret.Hash
	var stolen matrix.Session
	err := pgx.BeginFunc(ctx, s.o.Pool, func(tx pgx.Tx) (err error) {
		hash := secret.HashOf(refreshToken)
		device, err := lockDeviceOfClient(ctx, tx, hash, client)
		if err != nil {
			return err
		}
		tokens, revoked, err = s.refresh(ctx, tx, device, hash, NewDevice{Refreshable: true, AccessTokenLifetime: lifetime, OAuthClient: client})
		if matrix.IsCode(err, matrix.UnknownToken) {
			stolen = device
		}
		return err
	})
	if stolen.UserID != "" {
		if err := s.EndGrant(ctx, stolen.UserID, stolen.DeviceID, client); err != nil {
			return Tokens{}, err
		}
	}
	if err != nil {
		return Tokens{}, fmt.Errorf("refresh a token of a client: %w", err)
	}
	s.Revoke(revoked)
	return tokens, nil
}

// EndGrant deletes a device with all its tokens, if it is signed in by the client.
func (s *Service) EndGrant(ctx context.Context, userID, deviceID, client string) error {
	return s.logOut(ctx, userID, func(tx pgx.Tx) ([]secret.Hash, error) {
		found, err := clientOf(ctx, tx, matrix.Session{UserID: userID, DeviceID: deviceID})
		if err != nil || found != client {
			return nil, err
		}
		return s.Remove(ctx, tx, userID, []string{deviceID})
	})
}

// EndGrantOf does the same for the device of an access token or a refresh token. It does
// nothing for a token that is not one of a client of OAuth.
func (s *Service) EndGrantOf(ctx context.Context, token string) error {
	owner, client, err := findGrant(ctx, s.o.Pool, secret.HashOf(token))
	if err != nil || client == "" {
		return err
	}
	return s.EndGrant(ctx, owner.UserID, owner.DeviceID, client)
}

// lockDeviceOfClient locks the device that a refresh token belongs to. M_UNKNOWN_TOKEN unless it is signed in by the
// client of OAuth; "" for the legacy API.
func lockDeviceOfClient(ctx context.Context, tx pgx.Tx, hash secret.Hash, client string) (matrix.Session, error) {
	device, err := lockDeviceOfRefreshToken(ctx, tx, hash)
	if err != nil {
		return matrix.Session{}, err
	}
	found, err := clientOf(ctx, tx, device)
	if err == nil && found != client {
		err = unknownToken(false)
	}
	return device, err
}
