package auth

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/matrix"
)

// generatedNameLength is the length of a made-up local part; two users get the same
// one once in 2^80.
const generatedNameLength = 16

// RegisterRequest is the body of POST /register. Kind is its query parameter; ""
// means "user".
type RegisterRequest struct {
	Kind                     string          `json:"-"`
	Username                 string          `json:"username"`
	Password                 string          `json:"password"`
	DeviceID                 string          `json:"device_id"`
	InitialDeviceDisplayName string          `json:"initial_device_display_name"`
	InhibitLogin             bool            `json:"inhibit_login"`
	RefreshToken             bool            `json:"refresh_token"`
	Auth                     json.RawMessage `json:"auth"`
}

// Register makes an account for a stranger, after interactive authentication, and
// logs a device in unless inhibit_login is set. Without a username one is made up;
// without a password the account works, but nobody can log in to it later.
// Client-server API, POST /register.
//
// M_FORBIDDEN where registration is disabled, M_USER_IN_USE, M_INVALID_USERNAME,
// M_WEAK_PASSWORD, M_INVALID_PARAM, M_LIMIT_EXCEEDED, M_GUEST_ACCESS_FORBIDDEN for
// a guest account. As the specification demands, all of this is checked before
// authentication is asked for.
func (s *Service) Register(ctx context.Context, r RegisterRequest, client Client) (Credentials, error) {
	if _, err := s.limits.registration.take(addressKey(client.Address)); err != nil {
		return Credentials{}, err
	}
	userID, err := s.checkRegistration(ctx, r)
	if err != nil {
		return Credentials{}, err
	}
	operation := operation{name: "POST /register", flows: [][]string{{StageDummy}}}
	proof, err := s.interact(ctx, operation, r.Auth, client)
	if err != nil {
		return Credentials{}, err
	}
	wanted := registration{
		account: account{userID: userID},
		device:  newDevice{r.DeviceID, r.InitialDeviceDisplayName, r.RefreshToken},
		inhibit: r.InhibitLogin,
	}
	return s.register(ctx, wanted, r.Password, client, proof)
}

// checkRegistration checks everything about a registration but its authentication,
// and returns the user ID for it.
func (s *Service) checkRegistration(ctx context.Context, r RegisterRequest) (string, error) {
	if !s.o.RegistrationEnabled {
		return "", matrix.Errorf(matrix.Forbidden, "Registration is disabled")
	}
	switch r.Kind {
	case "", "user":
	case "guest":
		return "", matrix.Errorf(matrix.GuestAccessForbidden, "Guest accounts are not allowed")
	default:
		return "", matrix.Errorf(matrix.InvalidParam, "kind must be user or guest")
	}
	if err := (newDevice{r.DeviceID, r.InitialDeviceDisplayName, r.RefreshToken}).check(); err != nil {
		return "", err
	}
	if r.Password != "" {
		if err := s.checkNewPassword(r.Password); err != nil {
			return "", err
		}
	}
	if r.Username == "" {
		r.Username = generatedName()
	}
	return s.availableUserID(ctx, r.Username)
}

// availableUserID makes the user ID for a name that nobody has; M_USER_IN_USE,
// M_INVALID_USERNAME.
func (s *Service) availableUserID(ctx context.Context, username string) (string, error) {
	userID, err := s.newUserID(username)
	if err != nil {
		return "", err
	}
	a, err := findAccount(ctx, s.pool, []string{userID})
	if err != nil {
		return "", err
	}
	if a.userID != "" {
		return "", errUserInUse()
	}
	return userID, nil
}

// CheckAvailable returns nil for a user name that can be registered. M_USER_IN_USE,
// also for the name of a deactivated account, M_INVALID_USERNAME, M_MISSING_PARAM,
// M_LIMIT_EXCEEDED, and M_FORBIDDEN where registration is disabled.
// Client-server API, GET /register/available.
func (s *Service) CheckAvailable(ctx context.Context, username string, client Client) error {
	if _, err := s.limits.availability.take(addressKey(client.Address)); err != nil {
		return err
	}
	if !s.o.RegistrationEnabled {
		return matrix.Errorf(matrix.Forbidden, "Registration is disabled")
	}
	if username == "" {
		return matrix.Errorf(matrix.MissingParam, "username is missing")
	}
	_, err := s.availableUserID(ctx, username)
	return err
}

// registration is an account to be made, with what is to be logged in.
type registration struct {
	account account
	device  newDevice
	inhibit bool
}

// register makes the account, its device and its tokens in one transaction.
func (s *Service) register(ctx context.Context, r registration, password string, client Client, proof approval) (Credentials, error) {
	var err error
	if r.account.passwordHash, err = s.newPasswordHash(ctx, password); err != nil {
		return Credentials{}, err
	}
	credentials := Credentials{UserID: r.account.userID, HomeServer: s.o.ServerName}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := proof.consume(ctx, tx); err != nil {
			return err
		}
		if err := insertAccount(ctx, tx, r.account, s.nowMS()); err != nil {
			return err
		}
		if r.inhibit {
			return nil
		}
		var err error
		credentials, _, err = s.startSession(ctx, tx, r.account.userID, r.device, client)
		return err
	})
	if err != nil {
		return Credentials{}, fmt.Errorf("register %s: %w", r.account.userID, err)
	}
	return credentials, nil
}

// errUserInUse is the answer to a name that is taken.
func errUserInUse() *matrix.Error {
	return matrix.Errorf(matrix.UserInUse, "This user ID is already taken")
}

// generatedName makes up a local part.
func generatedName() string {
	return strings.ToLower(rand.Text()[:generatedNameLength])
}
