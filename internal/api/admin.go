package api

import (
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// whois tells from where a user uses the server. Section "Server Administration",
// GET /admin/whois/{userId}.
func (a *API) whois(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.auth.Sessions.Whois(r.Context(), who, r.Param("userId"))
}

// putNetworkVisibility refuses to publish a room in the directory of a network, which
// belongs to its application service: users have no say in it. Application service
// API, "Application service room directory management",
// PUT /directory/list/appservice/{networkId}/{roomId}.
func (a *API) putNetworkVisibility(r *httpapi.Request, _ matrix.Session) (any, error) {
	var body visibilityAnswer
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return nil, matrix.Errorf(matrix.Forbidden, "only application services may do that")
}
