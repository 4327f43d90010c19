package client

import (
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/directory"
)

// getPublicRooms lists the published rooms. Anybody may ask. Section "Published room
// directory", GET /publicRooms.
func (a *api) getPublicRooms(r *httpapi.Request) (any, error) {
	limit, err := r.QueryInt("limit", 0)
	if err != nil {
		return nil, err
	}
	if err := a.ownDirectory(r); err != nil {
		return nil, err
	}
	return a.Rooms.Directory.PublicRooms(r.Context(), directory.PublicQuery{Limit: limit, Since: r.Query("since")})
}

// postPublicRooms does the same with a filter. Section "Published room directory",
// POST /publicRooms.
func (a *api) postPublicRooms(r *httpapi.Request, _ matrix.Session) (any, error) {
	var body struct {
		Limit  int    `json:"limit"`
		Since  string `json:"since"`
		Filter struct {
			Term      string    `json:"generic_search_term"`
			RoomTypes []*string `json:"room_types"`
		} `json:"filter"`
		AllNetworks bool   `json:"include_all_networks"`
		Network     string `json:"third_party_instance_id"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if err := a.ownDirectory(r); err != nil {
		return nil, err
	}
	q := directory.PublicQuery{
		Limit: body.Limit, Since: body.Since, Term: body.Filter.Term, RoomTypes: body.Filter.RoomTypes, AllNetworks: body.AllNetworks,
	}
	switch {
	case body.Network != "" && body.AllNetworks:
		return nil, matrix.Errorf(matrix.InvalidParam, "third_party_instance_id cannot be used with include_all_networks")
	case body.Network != "":
		q.Network.Service, q.Network.ID = a.AppServices.Network(body.Network)
		if q.Network == (directory.Network{}) {
			return &directory.PublicPage{Chunk: []*directory.RoomSummary{}}, nil // there is no such network
		}
	}
	return a.Rooms.Directory.PublicRooms(r.Context(), q)
}

// ownDirectory refuses to ask other servers for their directories: M_FORBIDDEN.
func (a *api) ownDirectory(r *httpapi.Request) error {
	if server := r.Query("server"); server != "" && server != a.ServerName {
		return matrix.Errorf(matrix.Forbidden, "this server does not federate: %q is out of its reach", httpapi.Clip(server, 64))
	}
	return nil
}

// The visibilities of a room in the directory.
const (
	visibilityPublic  = "public"
	visibilityPrivate = "private"
)

type visibilityAnswer struct {
	Visibility string `json:"visibility"`
}

// getVisibility reports whether a room is published. Anybody may ask. Section
// "Published room directory", GET /directory/list/room/{roomId}.
func (a *api) getVisibility(r *httpapi.Request) (any, error) {
	listed, err := a.Rooms.Directory.Listed(r.Context(), r.Param("roomId"))
	if listed {
		return visibilityAnswer{visibilityPublic}, err
	}
	return visibilityAnswer{visibilityPrivate}, err
}

// putVisibility publishes a room, or removes it from the directory. Section "Published
// room directory", PUT /directory/list/room/{roomId}.
func (a *api) putVisibility(r *httpapi.Request, who matrix.Session) (any, error) {
	body := visibilityAnswer{visibilityPublic}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if body.Visibility != visibilityPublic && body.Visibility != visibilityPrivate {
		return nil, matrix.Errorf(matrix.InvalidParam, `visibility must be "public" or "private"`)
	}
	return httpapi.Empty{}, a.Rooms.SetListed(r.Context(), who.UserID, r.Param("roomId"), who.Admin, body.Visibility == visibilityPublic)
}

// putNetworkVisibility publishes a room in the directory of a third-party network, or removes it,
// for the network's application service. M_FORBIDDEN for users, who have no say in it. Application
// Service API, "Published room directories", PUT /directory/list/appservice/{networkId}/{roomId}.
func (a *api) putNetworkVisibility(r *httpapi.Request, who matrix.Session) (any, error) {
	var body struct {
		Visibility *string `json:"visibility"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	switch {
	case who.AppService == "":
		return nil, matrix.Errorf(matrix.Forbidden, "only application services may do that")
	case body.Visibility == nil:
		return nil, matrix.Errorf(matrix.MissingParam, "visibility is missing")
	case *body.Visibility != visibilityPublic && *body.Visibility != visibilityPrivate:
		return nil, matrix.Errorf(matrix.InvalidParam, `visibility must be "public" or "private"`)
	}
	in := directory.Network{Service: who.AppService, ID: r.Param("networkId")}
	return httpapi.Empty{}, a.Rooms.SetNetworkListed(r.Context(), who.UserID, r.Param("roomId"), in, *body.Visibility == visibilityPublic)
}
