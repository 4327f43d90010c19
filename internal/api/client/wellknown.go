package client

import (
	"strings"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

type discovery struct {
	Homeserver struct {
		BaseURL string `json:"base_url"`
	} `json:"m.homeserver"`
}

// wellKnown returns the address of the server, for clients that only know its name. 404
// M_NOT_FOUND if no public address is configured. Section "Well-known URIs", GET
// /.well-known/matrix/client.
func (a *api) wellKnown(*httpapi.Request) (any, error) {
	if a.PublicBaseURL == "" {
		return nil, matrix.Errorf(matrix.NotFound, "This server has no public address configured")
	}
	var answer discovery
	answer.Homeserver.BaseURL = strings.TrimSuffix(a.PublicBaseURL, "/")
	return answer, nil
}
