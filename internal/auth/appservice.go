package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/session"
	"homeserver/internal/auth/uia"
	"homeserver/internal/matrix"
)

// ByAppService is the type of registrations and logins by application services.
const ByAppService = "m.login.application_service"

// RegisterByAppService makes a user of an application service, whose token the caller has
// checked: without authentication and without a password, whether or not registration is
// enabled. A device is logged in unless inhibit_login is set. The name may have capital letters
// and whatever else user IDs of old may have, since bridges make names of those elsewhere.
// Application Service API, "Server admin style permissions".
//
// M_EXCLUSIVE for a user who is not the service's, M_USER_IN_USE, M_INVALID_USERNAME,
// M_MISSING_PARAM, M_INVALID_PARAM.
func (s *Service) RegisterByAppService(ctx context.Context, service string, r RegisterRequest, client matrix.Client) (session.Credentials, error) {
	if r.Kind != "" && r.Kind != "user" {
		return session.Credentials{}, matrix.Errorf(matrix.InvalidParam, "kind must be user, for an application service")
	}
	if r.Username == "" {
		return session.Credentials{}, matrix.Errorf(matrix.MissingParam, "username is missing")
	}
	wanted := registration{
		device:  session.NewDevice{ID: r.DeviceID, DisplayName: r.InitialDeviceDisplayName, Refreshable: r.RefreshToken},
		inhibit: r.InhibitLogin,
	}
	if err := wanted.device.Check(); err != nil {
		return session.Credentials{}, err
	}
	var err error
	if wanted.account.UserID, err = s.appServiceUserID(r.Username); err != nil {
		return session.Credentials{}, err
	}
	if err := s.mayMake(service, wanted.account.UserID); err != nil {
		return session.Credentials{}, err
	}
	if err := s.checkFree(ctx, wanted.account.UserID); err != nil {
		return session.Credentials{}, err
	}
	return s.register(ctx, wanted, "", client, uia.Approval{})
}

// appServiceUserID makes the user ID for a name that an application service has chosen;
// M_INVALID_USERNAME. Appendices, "User Identifiers".
func (s *Service) appServiceUserID(username string) (string, error) {
	userID := "@" + username + ":" + s.o.ServerName
	localpart, _, err := matrix.ParseUserID(userID)
	if err != nil || localpart != username {
		return "", matrix.Errorf(matrix.InvalidUsername, "A user name may have printable ASCII characters only, no colon and no space, in a user ID of at most %d bytes",
			matrix.MaxIDBytes)
	}
	return userID, nil
}

// LoginByAppService logs a device of a user in for an application service, whose token the
// caller has checked. M_EXCLUSIVE for a user who is not the service's, M_FORBIDDEN where there is
// no such user, M_USER_DEACTIVATED, M_MISSING_PARAM, M_INVALID_PARAM. Application Service
// API, "Server admin style permissions".
func (s *Service) LoginByAppService(ctx context.Context, service string, r LoginRequest, client matrix.Client) (session.Credentials, error) {
	name, err := readName(r.Identifier, r.User, "", "")
	if err != nil {
		return session.Credentials{}, err
	}
	if name.name == "" {
		return session.Credentials{}, matrix.Errorf(matrix.InvalidParam, "An application service names users by identifiers of the type m.id.user")
	}
	device := session.NewDevice{ID: r.DeviceID, DisplayName: r.InitialDeviceDisplayName, Refreshable: r.RefreshToken}
	if err := device.Check(); err != nil {
		return session.Credentials{}, err
	}
	candidates, err := s.localUserIDs(name.name)
	if err != nil {
		return session.Credentials{}, err
	}
	if err := s.mayMake(service, candidates[0]); err != nil {
		return session.Credentials{}, err
	}
	found, err := account.Find(ctx, s.pool, candidates[:1])
	switch {
	case err != nil:
		return session.Credentials{}, err
	case found.UserID == "":
		return session.Credentials{}, matrix.Errorf(matrix.Forbidden, "There is no such user")
	case found.Deactivated:
		return session.Credentials{}, account.ErrDeactivated()
	case found.Locked:
		return session.Credentials{}, matrix.ErrLocked()
	}
	return s.logIn(ctx, found, device, client)
}

// EnsureAccount makes an account without a password, unless there is one. It is for the users
// of application services themselves.
func (s *Service) EnsureAccount(ctx context.Context, userID string) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		return account.Insert(ctx, tx, account.Account{UserID: userID}, s.nowMS())
	})
	if taken, ok := errors.AsType[*matrix.Error](err); ok && taken.Code == matrix.UserInUse {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create the account %s: %w", userID, err)
	}
	return nil
}

// mayMake returns whether an application service may make, or log in to, a user; "" means
// anybody else. M_EXCLUSIVE.
func (s *Service) mayMake(service, userID string) error {
	if s.o.MayMake == nil {
		return nil
	}
	return s.o.MayMake(service, userID)
}

// belongsTo reports whether a user is one that only this application service may make.
func (s *Service) belongsTo(service, userID string) bool {
	return service != "" && s.mayMake("", userID) != nil && s.mayMake(service, userID) == nil
}
