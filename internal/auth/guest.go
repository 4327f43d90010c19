package auth

import (
	"context"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
	"homeserver/internal/auth/session"
	"homeserver/internal/matrix"
)

// checkGuest prepares the registration of a guest, of whose request nothing counts
// but the name of the device. M_GUEST_ACCESS_FORBIDDEN where there are no guests,
// M_INVALID_PARAM. Client-server API, "Guest Access".
func (s *Service) checkGuest(r RegisterRequest) (registration, error) {
	if !s.o.GuestsEnabled {
		return registration{}, matrix.Errorf(matrix.GuestAccessForbidden, "Guest accounts are not allowed")
	}
	device := session.NewDevice{DisplayName: r.InitialDeviceDisplayName}
	if err := device.Check(); err != nil {
		return registration{}, err
	}
	userID, err := s.newUserID("guest-" + generatedName())
	return registration{account: account.Account{UserID: userID, Guest: true}, device: device}, err
}

// checkUpgrade returns the guest who becomes a user. M_MISSING_PARAM without a user
// name, M_UNKNOWN_TOKEN, M_INVALID_PARAM if the token is no guest's or the name is
// another's. Client-server API, "Guest Access".
func (s *Service) checkUpgrade(ctx context.Context, r RegisterRequest) (userID string, err error) {
	if r.Username == "" {
		return "", matrix.Errorf(matrix.MissingParam, "username is needed beside guest_access_token")
	}
	session, err := s.Sessions.Authenticate(ctx, r.GuestAccessToken)
	if err != nil {
		return "", err
	}
	userID, err = s.newUserID(r.Username)
	if err != nil {
		return "", err
	}
	if session.Locked {
		return "", matrix.ErrLocked()
	}
	if !session.Guest || session.UserID != userID {
		return "", matrix.Errorf(matrix.InvalidParam, "guest_access_token is not that of the guest with this user name")
	}
	return userID, nil
}

// upgrade makes a user of a guest. It returns the access tokens of the guest, which
// remain good, but are no longer a guest's. M_USER_IN_USE where the account is no
// guest's any more.
func upgrade(ctx context.Context, tx pgx.Tx, a account.Account) ([]secret.Hash, error) {
	now, err := account.Lock(ctx, tx, a.UserID)
	if err != nil {
		return nil, err
	}
	if !now.Guest || now.Deactivated {
		return nil, account.ErrInUse()
	}
	if err := account.Upgrade(ctx, tx, a); err != nil {
		return nil, err
	}
	return session.AccessTokens(ctx, tx, a.UserID)
}

// Existing picks those out of a list of users who have an account, be it deactivated or not.
func (s *Service) Existing(ctx context.Context, userIDs []string) ([]string, error) {
	return account.Existing(ctx, s.pool, userIDs)
}

// Guests picks the guests out of a list of users.
func (s *Service) Guests(ctx context.Context, userIDs []string) ([]string, error) {
	return account.Guests(ctx, s.pool, userIDs)
}
