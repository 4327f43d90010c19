package client

import (
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
)

// upgradeRoom replaces a room by one of another version. Section "Room Upgrades",
// POST /rooms/{roomId}/upgrade.
func (a *api) upgradeRoom(r *httpapi.Request, who matrix.Session) (any, error) {
	var body rooms.UpgradeRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return a.Rooms.Upgrade(r.Context(), who.UserID, r.Param("roomId"), body)
}
