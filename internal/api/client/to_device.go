package client

import (
	"encoding/json"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// sendToDevice sends messages to devices. Section "Send-to-Device messaging", PUT
// /sendToDevice/{eventType}/{txnId}.
func (a *api) sendToDevice(r *httpapi.Request, who matrix.Session) (any, error) {
	var body struct {
		Messages map[string]map[string]json.RawMessage `json:"messages"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.ToDevice.Send(r.Context(), who, r.Param("eventType"), r.Param("txnId"), body.Messages)
}
