package legacy

import (
	"net/http"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// noStream refuses the WebSocket that a draft of November 2015 wanted to have.
// Clients were to use /sync then.
func (a *api) noStream(*httpapi.Request) (any, error) {
	return nil, &matrix.Error{
		Code: matrix.Unknown, Status: http.StatusForbidden,
		Message: "events over WebSockets have never left their draft: ask GET /sync again and again",
	}
}
