package client

import (
	"homeserver/internal/auth"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

type whoamiAnswer struct {
	UserID   string `json:"user_id"`
	DeviceID string `json:"device_id,omitempty"`
	IsGuest  bool   `json:"is_guest"`
}

// whoami returns the user and the device of the access token. Section "Current account
// information", GET /account/whoami.
func (a *api) whoami(_ *httpapi.Request, who matrix.Session) (any, error) {
	return whoamiAnswer{UserID: who.UserID, DeviceID: who.DeviceID, IsGuest: who.Guest}, nil
}

// changePassword sets a new password after interactive authentication, also without an
// access token for a user who knows the old password. Section "Password management",
// POST /account/password.
func (a *api) changePassword(r *httpapi.Request, who matrix.Session) (any, error) {
	var body auth.ChangePasswordRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.Auth.ChangePassword(r.Context(), who, body)
}

// deactivate ends an account for good after interactive authentication. Section
// "Account deactivation", POST /account/deactivate.
func (a *api) deactivate(r *httpapi.Request, who matrix.Session) (any, error) {
	var body auth.DeactivateRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return a.Auth.Deactivate(r.Context(), who, body)
}
