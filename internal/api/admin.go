package api

import (
	"net/http"

	"homeserver/internal/matrix"
)

// whois tells from where a user uses the server. Section "Server Administration",
// GET /admin/whois/{userId}.
func (a *API) whois(r *http.Request, who matrix.Session) (any, error) {
	return a.auth.Whois(r.Context(), who, param(r, "userId"))
}

// putNetworkVisibility refuses to publish a room in the directory of a network, which
// belongs to its application service: users have no say in it. Application service
// API, "Application service room directory management",
// PUT /directory/list/appservice/{networkId}/{roomId}.
func (a *API) putNetworkVisibility(r *http.Request, _ matrix.Session) (any, error) {
	var body visibilityAnswer
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	return nil, matrix.Errorf(matrix.Forbidden, "only application services may do that")
}
