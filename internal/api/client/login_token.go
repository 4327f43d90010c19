package client

import (
	"encoding/json"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// getLoginToken makes a token by which another client can log in as the same user,
// after interactive authentication. Section "Login", POST /login/get_token.
func (a *api) getLoginToken(r *httpapi.Request, who matrix.Session) (any, error) {
	var body struct {
		Auth json.RawMessage `json:"auth"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return a.Auth.Sessions.LoginToken(r.Context(), who, body.Auth)
}
