package auth

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
	"homeserver/internal/auth/session"
	"homeserver/internal/auth/uia"
	"homeserver/internal/matrix"
)

// generatedNameLength is the length of a made-up local part; two users get the same
// one once in 2^80.
const generatedNameLength = 16

// RegisterRequest is the body of POST /register. Kind is its query parameter; ""
// means "user".
type RegisterRequest struct {
	Kind                     string          `json:"-"`
	Type                     string          `json:"type"` // of application services: ByAppService
	Username                 string          `json:"username"`
	Password                 string          `json:"password"`
	DeviceID                 string          `json:"device_id"`
	InitialDeviceDisplayName string          `json:"initial_device_display_name"`
	InhibitLogin             bool            `json:"inhibit_login"`
	RefreshToken             bool            `json:"refresh_token"`
	GuestAccessToken         string          `json:"guest_access_token"`
	Auth                     json.RawMessage `json:"auth"`
}

// Register makes an account after interactive authentication, and logs a device in
// unless inhibit_login is set. Anybody may call it. Without a username one is made up;
// without a password the account works, but nobody can log in to it later. An address
// that was proved in the authentication becomes the account's. A guest needs no
// authentication; with guest_access_token a guest becomes a user. Client-server API,
// POST /register, and "Guest Access".
//
// M_FORBIDDEN where registration is disabled, M_USER_IN_USE, M_INVALID_USERNAME,
// M_EXCLUSIVE for a name of an application service, M_WEAK_PASSWORD, M_INVALID_PARAM, M_THREEPID_IN_USE, M_GUEST_ACCESS_FORBIDDEN for a
// guest account where there are none, and for guest_access_token M_MISSING_PARAM and
// M_UNKNOWN_TOKEN. As the specification demands, everything that can be is checked
// before authentication is asked for.
func (s *Service) Register(ctx context.Context, r RegisterRequest, client matrix.Client) (session.Credentials, error) {
	wanted, err := s.checkRegistration(ctx, r)
	if err != nil {
		return session.Credentials{}, err
	}
	if wanted.account.Guest {
		return s.register(ctx, wanted, "", client, uia.Approval{})
	}
	op := uia.Operation{Name: uia.Register, Flows: s.registrationFlows()}
	proof, err := s.o.Stages.Interact(ctx, op, r.Auth)
	if err != nil {
		return session.Credentials{}, err
	}
	return s.register(ctx, wanted, r.Password, client, proof)
}

// checkRegistration checks everything about a registration but its authentication.
func (s *Service) checkRegistration(ctx context.Context, r RegisterRequest) (registration, error) {
	switch r.Kind {
	case "", "user":
	case "guest":
		return s.checkGuest(r)
	default:
		return registration{}, matrix.Errorf(matrix.InvalidParam, "kind must be user or guest")
	}
	if !s.o.RegistrationEnabled {
		return registration{}, matrix.Errorf(matrix.Forbidden, "Registration is disabled")
	}
	wanted := registration{
		device:  session.NewDevice{ID: r.DeviceID, DisplayName: r.InitialDeviceDisplayName, Refreshable: r.RefreshToken},
		inhibit: r.InhibitLogin,
		upgrade: r.GuestAccessToken != "",
	}
	if err := wanted.device.Check(); err != nil {
		return registration{}, err
	}
	if r.Password != "" {
		if err := s.checkNewPassword(r.Password); err != nil {
			return registration{}, err
		}
	}
	var err error
	if wanted.upgrade {
		wanted.account.UserID, err = s.checkUpgrade(ctx, r)
	} else {
		if r.Username != "" {
			err = s.o.Policy.checkName(lowerASCII(r.Username))
		}
		if err == nil {
			wanted.account.UserID, err = s.registrable(ctx, cmp.Or(r.Username, generatedName()))
		}
	}
	return wanted, err
}

// availableUserID makes the user ID for a name that nobody has; M_USER_IN_USE,
// M_INVALID_USERNAME, M_EXCLUSIVE for one of an application service.
func (s *Service) availableUserID(ctx context.Context, username string) (string, error) {
	userID, err := s.newUserID(username)
	if err != nil {
		return "", err
	}
	if err := s.mayMake("", userID); err != nil {
		return "", err
	}
	return userID, s.checkFree(ctx, userID)
}

// checkFree returns M_USER_IN_USE where there is an account.
func (s *Service) checkFree(ctx context.Context, userID string) error {
	a, err := account.Find(ctx, s.pool, []string{userID})
	if err == nil && a.UserID != "" {
		err = account.ErrInUse()
	}
	return err
}

// registrable is availableUserID for those who register themselves: M_FORBIDDEN, too, for a
// name that RegisterBy refuses.
func (s *Service) registrable(ctx context.Context, username string) (string, error) {
	userID, err := s.availableUserID(ctx, username)
	if err == nil && s.mayRegister != nil {
		err = s.mayRegister(ctx, userID)
	}
	return userID, err
}

// RegisterBy sets a check of the user IDs of those who register themselves. Accounts that the
// operator makes, or who knows the shared secret, are not checked. Call it before the service
// is used.
func (s *Service) RegisterBy(check func(ctx context.Context, userID string) error) {
	s.mayRegister = check
}

// CheckAvailable returns nil for a user name that can be registered. M_USER_IN_USE,
// also for the name of a deactivated account, M_INVALID_USERNAME, M_EXCLUSIVE, M_MISSING_PARAM,
// and M_FORBIDDEN where registration is disabled.
// Client-server API, GET /register/available.
func (s *Service) CheckAvailable(ctx context.Context, username string) error {
	if !s.o.RegistrationEnabled {
		return matrix.Errorf(matrix.Forbidden, "Registration is disabled")
	}
	if username == "" {
		return matrix.Errorf(matrix.MissingParam, "username is missing")
	}
	if err := s.o.Policy.checkName(lowerASCII(username)); err != nil {
		return err
	}
	_, err := s.registrable(ctx, username)
	return err
}

// RegisterElsewhere makes an account without a password for a person whom another service has registered, whether or
// not people may register here, and calls a function in the same transaction. It returns the user ID. M_USER_IN_USE,
// M_INVALID_USERNAME, M_EXCLUSIVE, M_FORBIDDEN for a name that RegisterBy refuses, and the errors of the function.
func (s *Service) RegisterElsewhere(ctx context.Context, username string, then func(tx pgx.Tx, userID string) error) (string, error) {
	userID, err := s.registrable(ctx, username)
	if err != nil {
		return "", err
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := account.Insert(ctx, tx, account.Account{UserID: userID}, s.nowMS()); err != nil {
			return err
		}
		return then(tx, userID)
	})
	if err != nil {
		return "", fmt.Errorf("register %s: %w", userID, err)
	}
	return userID, nil
}

// registration is an account to be made, with the device to be logged in. With upgrade
// the account is a guest's already.
type registration struct {
	account          account.Account
	device           session.NewDevice
	inhibit, upgrade bool
}

// register makes the account, its address, its device and its tokens in one
// transaction.
func (s *Service) register(ctx context.Context, r registration, password string, client matrix.Client, proof uia.Approval) (session.Credentials, error) {
	var err error
	if r.account.PasswordHash, err = s.newPasswordHash(ctx, password); err != nil {
		return session.Credentials{}, err
	}
	credentials := session.Credentials{UserID: r.account.UserID, HomeServer: s.o.ServerName}
	var stale, revoked []secret.Hash
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := proof.Consume(ctx, tx); err != nil {
			return err
		}
		var err error
		if stale, err = s.makeAccount(ctx, tx, r); err != nil {
			return err
		}
		if err := proof.Claim(ctx, tx, r.account.UserID); err != nil {
			return err
		}
		if r.inhibit {
			return nil
		}
		credentials, revoked, err = s.Sessions.Begin(ctx, tx, r.account.UserID, r.device, client)
		return err
	})
	if err != nil {
		return session.Credentials{}, fmt.Errorf("register %s: %w", r.account.UserID, err)
	}
	s.Sessions.Forget(stale) // they remain good
	s.Sessions.Revoke(revoked)
	return credentials, nil
}

// makeAccount makes the account, or makes a guest's account a user's. It returns the
// access tokens whose owner in the cache is out of date.
func (s *Service) makeAccount(ctx context.Context, tx pgx.Tx, r registration) ([]secret.Hash, error) {
	if r.upgrade {
		return upgrade(ctx, tx, r.account)
	}
	return nil, account.Insert(ctx, tx, r.account, s.nowMS())
}

// generatedName makes up a local part.
func generatedName() string {
	return strings.ToLower(rand.Text()[:generatedNameLength])
}
