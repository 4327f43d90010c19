package client

import (
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// redact strips an event. Section "Redactions",
// PUT /rooms/{roomId}/redact/{eventId}/{txnId}.
func (a *api) redact(r *httpapi.Request, who matrix.Session) (any, error) {
	var body struct {
		Reason string `json:"reason"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	id, err := a.Rooms.Redact(r.Context(), roomRequest(r, who), r.Param("eventId"), body.Reason)
	return eventIDAnswer{id}, err
}
