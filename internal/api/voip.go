package api

import (
	"net/http"

	"homeserver/internal/matrix"
)

// turnServer gives the means to use a TURN server, {} where there is none. Section
// "Voice over IP", GET /voip/turnServer.
func (a *API) turnServer(_ *http.Request, who matrix.Session) (any, error) {
	credentials, err := a.turn.Credentials(who.UserID, who.Guest)
	if err != nil {
		return nil, err
	}
	if credentials == nil {
		return empty{}, nil
	}
	return credentials, nil
}
