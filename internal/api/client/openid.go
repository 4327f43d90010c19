package client

import (
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// requestOpenIDToken makes a token by which another service can verify the user's
// identity. Section "OpenID", POST /user/{userId}/openid/request_token.
func (a *api) requestOpenIDToken(r *httpapi.Request, who matrix.Session) (any, error) {
	if err := r.CheckOwn(who); err != nil {
		return nil, err
	}
	var body struct{} // reserved by the specification
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return a.Auth.Sessions.OpenIDToken(r.Context(), who.UserID)
}
