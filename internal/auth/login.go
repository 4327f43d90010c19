package auth

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/matrix"
)

// Identifier names a user in one of several ways. Client-server API, "Identifier
// types".
type Identifier struct {
	Type    string `json:"type"`
	User    string `json:"user"`
	Medium  string `json:"medium"`
	Address string `json:"address"`
	Country string `json:"country"`
	Phone   string `json:"phone"`
}

// LoginRequest is the body of POST /login. User, Medium and Address are the
// deprecated forms of Identifier.
type LoginRequest struct {
	Type                     string      `json:"type"`
	Identifier               *Identifier `json:"identifier"`
	User                     string      `json:"user"`
	Medium                   string      `json:"medium"`
	Address                  string      `json:"address"`
	Password                 string      `json:"password"`
	DeviceID                 string      `json:"device_id"`
	InitialDeviceDisplayName string      `json:"initial_device_display_name"`
	RefreshToken             bool        `json:"refresh_token"`
}

// Credentials is the answer to a login or a registration.
type Credentials struct {
	UserID     string `json:"user_id"`
	HomeServer string `json:"home_server"`
	DeviceID   string `json:"device_id,omitzero"`
	Tokens
}

// LoginTypes lists the values that the type of a LoginRequest may have, for
// GET /login.
func (s *Service) LoginTypes() []string { return []string{StagePassword} }

// Login checks a password and logs a device in: the one named by device_id, whose
// earlier tokens become void, or a new one. Client-server API, POST /login.
//
// M_FORBIDDEN for a wrong user or password, M_USER_DEACTIVATED, M_LIMIT_EXCEEDED,
// M_UNKNOWN for another type of login, M_MISSING_PARAM, M_INVALID_PARAM.
func (s *Service) Login(ctx context.Context, r LoginRequest, client Client) (Credentials, error) {
	if r.Type == "" {
		return Credentials{}, matrix.Errorf(matrix.MissingParam, "type is missing")
	}
	if r.Type != StagePassword {
		return Credentials{}, matrix.Errorf(matrix.Unknown, "This type of login is not supported")
	}
	name, err := userName(r.Identifier, r.User, r.Medium, r.Address)
	if err != nil {
		return Credentials{}, err
	}
	device := newDevice{r.DeviceID, r.InitialDeviceDisplayName, r.RefreshToken}
	if err := device.check(); err != nil {
		return Credentials{}, err
	}
	a, err := s.checkPassword(ctx, name, r.Password, client)
	if err != nil {
		return Credentials{}, err
	}
	rehashed := ""
	if s.hasher.outdated(a.passwordHash) {
		if rehashed, err = s.hasher.hash(ctx, r.Password); err != nil {
			return Credentials{}, err
		}
	}
	return s.logIn(ctx, a, rehashed, device, client)
}

// logIn starts a session on an account whose password has been checked. A password
// that was changed since then was wrong after all.
func (s *Service) logIn(ctx context.Context, checked account, rehashed string, device newDevice, client Client) (Credentials, error) {
	var credentials Credentials
	var revoked []tokenHash
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		now, err := lockAccount(ctx, tx, checked.userID)
		if err != nil {
			return err
		}
		if now.deactivated || now.passwordHash != checked.passwordHash {
			return errLogin()
		}
		if rehashed != "" {
			if err := storePassword(ctx, tx, checked.userID, rehashed); err != nil {
				return err
			}
		}
		credentials, revoked, err = s.startSession(ctx, tx, checked.userID, device, client)
		return err
	})
	if err != nil {
		return Credentials{}, fmt.Errorf("log in %s: %w", checked.userID, err)
	}
	s.cache.remove(revoked)
	return credentials, nil
}

// userName takes the name of a user out of what a client sent to identify one.
// Third-party identifiers are unknown to this server, which is M_FORBIDDEN.
func userName(id *Identifier, user, medium, address string) (string, error) {
	if id == nil {
		id = &Identifier{User: user, Medium: medium, Address: address}
		if user != "" {
			id.Type = "m.id.user"
		}
	}
	thirdParty := id.Type == "" && (id.Medium != "" || id.Address != "")
	switch {
	case id.Type == "m.id.user" && id.User == "":
		return "", matrix.Errorf(matrix.MissingParam, "The name of the user is missing")
	case id.Type == "m.id.user":
		return id.User, nil
	case id.Type == "m.id.thirdparty", id.Type == "m.id.phone", thirdParty:
		return "", errLogin()
	case id.Type == "":
		return "", matrix.Errorf(matrix.MissingParam, "identifier is missing")
	default:
		return "", matrix.Errorf(matrix.InvalidParam, "This type of identifier is not supported")
	}
}
