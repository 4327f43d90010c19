package server

import (
	"homeserver/internal/httpapi"
)

type userInfoAnswer struct {
	Subject string `json:"sub"`
}

// openIDUserInfo returns the user of a token to such a service. Server-server API,
// section "OpenID", GET /openid/userinfo.
func (a *api) openIDUserInfo(r *httpapi.Request) (any, error) {
	token := r.Query("access_token")
	if token == "" {
		return nil, httpapi.ErrMissingToken
	}
	userID, err := a.Auth.Sessions.OpenIDUser(r.Context(), token)
	return userInfoAnswer{userID}, err
}
