package client

import (
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/spaces"
)

// hierarchy returns a page of the tree of a space. Section "Spaces", GET
// /rooms/{roomId}/hierarchy.
func (a *api) hierarchy(r *httpapi.Request, who matrix.Session) (any, error) {
	q := spaces.Query{UserID: who.UserID, RoomID: r.Param("roomId"), From: r.Query("from")}
	var err error
	if q.Limit, err = r.QueryInt("limit", spaces.UsualLimit); err != nil {
		return nil, err
	}
	if q.Depth, err = r.QueryInt("max_depth", spaces.MaxDepth); err != nil {
		return nil, err
	}
	if q.Suggested, err = r.QueryBool("suggested_only"); err != nil {
		return nil, err
	}
	return a.Spaces.Hierarchy(r.Context(), q)
}
