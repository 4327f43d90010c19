package devkit

import (
	"context"
	"fmt"

	"homeserver/internal/auth"
	"homeserver/internal/auth/session"
)

// MakeUsers makes accounts and logs a device in to each. Those that were made on another server before get the same
// device and token.
func MakeUsers(ctx context.Context, accounts *auth.Service, wanted []auth.NewAccount, before []User) ([]User, error) {
	users := make([]User, 0, len(wanted))
	for i, w := range wanted {
		var device session.NewDevice
		if i < len(before) {
			device = session.NewDevice{ID: before[i].DeviceID, AccessToken: before[i].AccessToken}
		}
		userID, err := accounts.CreateAccount(ctx, w)
		if err != nil {
			return nil, fmt.Errorf("make the account %s: %w", w.Username, err)
		}
		made, err := accounts.LogIn(ctx, userID, device)
		if err != nil {
			return nil, err
		}
		users = append(users, User{
			UserID: made.UserID, DeviceID: made.DeviceID, AccessToken: made.AccessToken, Password: w.Password, Admin: w.Admin,
		})
	}
	return users, nil
}
