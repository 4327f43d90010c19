package client

import (
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// pingAppService has the server call the application service that asks. Application Service
// API, "Pinging", POST /appservice/{appserviceId}/ping.
func (a *api) pingAppService(r *httpapi.Request, who matrix.Session) (any, error) {
	var body struct {
		TransactionID string `json:"transaction_id"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return a.AppServices.Ping(r.Context(), who.AppService, r.Param("appserviceId"), body.TransactionID)
}
