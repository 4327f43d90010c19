package client

import (
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// turnServer returns the means to use a TURN server, {} where there is none. Section
// "Voice over IP", GET /voip/turnServer.
func (a *api) turnServer(_ *httpapi.Request, who matrix.Session) (any, error) {
	credentials, err := a.Turn.Credentials(who.UserID, who.Guest)
	if err != nil {
		return nil, err
	}
	if credentials == nil {
		return httpapi.Empty{}, nil
	}
	return credentials, nil
}
