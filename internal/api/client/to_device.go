package client

import (
	"homeserver/internal/event"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// sendToDevice sends messages to devices. Section "Send-to-Device messaging", PUT
// /sendToDevice/{eventType}/{txnId}.
func (a *api) sendToDevice(r *httpapi.Request, who matrix.Session) (any, error) {
	body, err := r.RawObject()
	if err != nil {
		return nil, err
	}
	messages := event.Field(body, "messages")
	return httpapi.Empty{}, a.ToDevice.Send(r.Context(), who, r.Param("eventType"), r.Param("txnId"), messages)
}
