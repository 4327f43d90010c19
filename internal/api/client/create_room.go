package client

import (
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
)

// createRoom makes a room. Section "Creation", POST /createRoom.
func (a *api) createRoom(r *httpapi.Request, who matrix.Session) (any, error) {
	var body rooms.CreateRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if len(body.Invite3PID) > 0 {
		return a.Invitations.Create(r.Context(), who.UserID, body)
	}
	return a.Rooms.Create(r.Context(), who.UserID, body)
}
