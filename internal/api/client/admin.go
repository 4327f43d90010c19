package client

import (
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// whois lists from where a user uses the server. Section "Server Administration", GET
// /admin/whois/{userId}.
func (a *api) whois(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.Auth.Sessions.Whois(r.Context(), who, r.Param("userId"))
}
