package devkit

import (
	"context"
	"fmt"

	"homeserver/internal/auth"
	"homeserver/internal/auth/session"
)

// MakeUsers makes accounts and logs a device in to each.
func MakeUsers(ctx context.Context, accounts *auth.Service, wanted []auth.NewAccount) ([]User, error) {
	users := make([]User, 0, len(wanted))
	for _, w := range wanted {
		userID, err := accounts.CreateAccount(ctx, w)
		if err != nil {
			return nil, fmt.Errorf("make the account %s: %w", w.Username, err)
		}
		made, err := accounts.LogIn(ctx, userID, session.NewDevice{})
		if err != nil {
			return nil, err
		}
		users = append(users, User{
			UserID: made.UserID, DeviceID: made.DeviceID, AccessToken: made.AccessToken, Password: w.Password, Admin: w.Admin,
		})
	}
	return users, nil
}
