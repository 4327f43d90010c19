package client

import (
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

type aliasAnswer struct {
	RoomID  string   `json:"room_id"`
	Servers []string `json:"servers"`
}

// getAlias returns the room that an alias points to. Anybody may ask. Section "Room
// aliases", GET /directory/room/{roomAlias}.
func (a *api) getAlias(r *httpapi.Request) (any, error) {
	roomID, err := a.Rooms.Directory.ResolveAlias(r.Context(), r.Param("roomAlias"))
	return aliasAnswer{roomID, []string{a.ServerName}}, err
}

// putAlias makes an alias point to a room. Section "Room aliases",
// PUT /directory/room/{roomAlias}.
func (a *api) putAlias(r *httpapi.Request, who matrix.Session) (any, error) {
	var body struct {
		RoomID string `json:"room_id"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if body.RoomID == "" {
		return nil, matrix.Errorf(matrix.MissingParam, "room_id is missing")
	}
	return httpapi.Empty{}, a.Rooms.CreateAlias(r.Context(), who.UserID, r.Param("roomAlias"), body.RoomID)
}

// deleteAlias deletes an alias. Section "Room aliases", DELETE
// /directory/room/{roomAlias}.
func (a *api) deleteAlias(r *httpapi.Request, who matrix.Session) (any, error) {
	return httpapi.Empty{}, a.Rooms.DeleteAlias(r.Context(), who.UserID, r.Param("roomAlias"), who.Admin)
}

type aliasesAnswer struct {
	Aliases []string `json:"aliases"`
}

// aliases lists the aliases that point to a room. Section "Room aliases",
// GET /rooms/{roomId}/aliases.
func (a *api) aliases(r *httpapi.Request, who matrix.Session) (any, error) {
	list, err := a.Rooms.Aliases(r.Context(), who.UserID, r.Param("roomId"))
	return aliasesAnswer{list}, err
}
