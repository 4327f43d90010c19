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

// wellKnown tells clients that only know the server name where the server is.
// 404 M_NOT_FOUND where no public address is configured. Section "Well-known
// URIs", GET /.well-known/matrix/client.
func (a *api) wellKnown(*httpapi.Request) (any, error) {
	if a.PublicBaseURL == "" {
		return nil, matrix.Errorf(matrix.NotFound, "This server has no public address configured")
	}
	var answer discovery
	answer.Homeserver.BaseURL = strings.TrimSuffix(a.PublicBaseURL, "/")
	return answer, nil
}
