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

// roomSummary returns what may be shown of a room. Anybody may ask, and gets those rooms
// that are for everybody without a token. Section "Room Summaries", GET
// /room_summary/{roomIdOrAlias}.
func (a *api) roomSummary(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.summary(r, who)
}

// proposedSummary is roomSummary as it was proposed, with two members by other names.
type proposedSummary struct {
	*spaces.Summary
	Version    string `json:"im.nheko.summary.room_version"`
	Encryption string `json:"im.nheko.summary.encryption,omitempty"`
}

// proposedRoomSummary returns the same where clients ask that know the proposal only.
// MSC3266, GET /summary/{roomIdOrAlias} and /rooms/{roomIdOrAlias}/summary.
func (a *api) proposedRoomSummary(r *httpapi.Request, who matrix.Session) (any, error) {
	summary, err := a.summary(r, who)
	if err != nil {
		return nil, err
	}
	return proposedSummary{summary, summary.RoomVersion, summary.Encryption}, nil
}

func (a *api) summary(r *httpapi.Request, who matrix.Session) (*spaces.Summary, error) {
	roomID, err := a.Rooms.Directory.Resolve(r.Context(), r.Param("roomIdOrAlias"))
	if err != nil {
		return nil, err
	}
	return a.Spaces.Summary(r.Context(), who.UserID, roomID)
}
