package sso

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/session"
	"homeserver/internal/matrix"
)

// logoutEvent is the event of a token of back-channel logout.
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// maxLogoutAge is how old a token of back-channel logout may be, and by how much a clock may be fast.
const maxLogoutAge = 5 * time.Minute

// LogOut is called with the token of a provider, which says that a session there has ended: the devices that
// logged in by it are logged out. M_NOT_FOUND for no provider, M_INVALID_PARAM for a token that is not good.
// OpenID Connect Back-Channel Logout 1.0.
func (s *Service) LogOut(ctx context.Context, providerID, token string) error {
	p, err := s.provider(providerID)
	if err != nil {
		return err
	}
	of, providerSession, err := p.ended(ctx, token)
	if err != nil {
		s.o.Log.WarnContext(ctx, "a logout by an identity provider was refused", "provider", p.ID, "error", err)
		return matrix.Errorf(matrix.InvalidParam, "logout_token is not good")
	}
	return s.endSession(ctx, of, providerSession)
}

// ended checks a token of back-channel logout: sections 2.4 and 2.6.
func (p *provider) ended(ctx context.Context, text string) (of identity, providerSession string, err error) {
	known, err := p.discover(ctx)
	if err != nil {
		return identity{}, "", err
	}
	token, err := known.logout.Verify(p.inContext(ctx), text)
	if err != nil {
		return identity{}, "", fmt.Errorf("check it: %w", err)
	}
	var claims struct {
		Session string                    `json:"sid"`
		Events  map[string]map[string]any `json:"events"`
		Nonce   *string                   `json:"nonce"`
	}
	if err := token.Claims(&claims); err != nil {
		return identity{}, "", fmt.Errorf("read it: %w", err)
	}
	_, isLogout := claims.Events[logoutEvent]
	age := p.now().Sub(token.IssuedAt)
	switch {
	case !isLogout || claims.Nonce != nil:
		return identity{}, "", errors.New("it is no token of back-channel logout")
	case token.Subject == "" && claims.Session == "":
		return identity{}, "", errors.New("it names neither a session nor a subject")
	case age > maxLogoutAge || age < -maxLogoutAge:
		return identity{}, "", fmt.Errorf("it was made at %s", token.IssuedAt)
	}
	return identity{p.ID, token.Subject}, claims.Session, nil
}

// endSession logs out the devices of a session at a provider, or of all sessions of a subject.
func (s *Service) endSession(ctx context.Context, of identity, providerSession string) error {
	// The tokens come first: a device that logs in by one meanwhile is found among the devices.
	if err := s.voidTokens(ctx, of, providerSession); err != nil {
		return err
	}
	devices, err := findDevices(ctx, s.o.Pool, of, providerSession)
	if err != nil {
		return err
	}
	byUser := map[string][]string{}
	for _, d := range devices {
		byUser[d.UserID] = append(byUser[d.UserID], d.DeviceID)
	}
	for userID, ids := range byUser { // mostly one
		if err := s.o.Accounts.Sessions.LogOutDevices(ctx, userID, ids); err != nil {
			return err
		}
	}
	return nil
}

// voidTokens makes the login tokens of a session at a provider, or of a subject, worth nothing.
func (s *Service) voidTokens(ctx context.Context, of identity, providerSession string) error {
	err := pgx.BeginFunc(ctx, s.o.Pool, func(tx pgx.Tx) error {
		hashes, err := findTokens(ctx, tx, of, providerSession)
		if err != nil {
			return err
		}
		_, err = session.DeleteLoginTokens(ctx, tx, hashes)
		return err
	})
	if err != nil {
		return fmt.Errorf("void the login tokens of a session at %s: %w", of.Provider, err)
	}
	return nil
}
