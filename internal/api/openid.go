package api

import (
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// requestOpenIDToken makes a token by which a service of somebody else can verify
// who the user is. Section "OpenID", POST /user/{userId}/openid/request_token.
func (a *API) requestOpenIDToken(r *httpapi.Request, who matrix.Session) (any, error) {
	if err := own(r, who); err != nil {
		return nil, err
	}
	var body struct{} // reserved by the specification
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return a.auth.Sessions.OpenIDToken(r.Context(), who.UserID)
}

type userInfoAnswer struct {
	Subject string `json:"sub"`
}

// openIDUserInfo tells such a service whose token it has. Server-server API, section
// "OpenID", GET /openid/userinfo.
func (a *API) openIDUserInfo(r *httpapi.Request) (any, error) {
	token := r.Query("access_token")
	if token == "" {
		return nil, httpapi.ErrMissingToken
	}
	userID, err := a.auth.Sessions.OpenIDUser(r.Context(), token)
	return userInfoAnswer{userID}, err
}
