package api

import (
	"net/http"

	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
)

// createRoom makes a room. Section "Creation", POST /createRoom.
func (a *API) createRoom(r *http.Request, who matrix.Session) (any, error) {
	var body rooms.CreateRequest
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	if len(body.Invite3PID) > 0 {
		return a.invitations.Create(r.Context(), who.UserID, body)
	}
	return a.rooms.Create(r.Context(), who.UserID, body)
}
