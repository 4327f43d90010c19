package api

import (
	"net/http"

	"homeserver/internal/matrix"
)

// redact strips an event. Section "Redactions",
// PUT /rooms/{roomId}/redact/{eventId}/{txnId}.
func (a *API) redact(r *http.Request, who matrix.Session) (any, error) {
	var body struct {
		Reason string `json:"reason"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	id, err := a.rooms.Redact(r.Context(), roomRequest(r, who), param(r, "eventId"), body.Reason)
	return eventIDAnswer{id}, err
}
