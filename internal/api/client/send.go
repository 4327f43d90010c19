package client

import (
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
)

type eventIDAnswer struct {
	EventID string `json:"event_id"`
}

// send adds a message event, with a transaction ID in the path or without.
// Section "Sending events to a room", PUT /rooms/{roomId}/send/{eventType}/{txnId}.
func (a *api) send(r *httpapi.Request, who matrix.Session) (any, error) {
	content, err := r.RawObject()
	if err != nil {
		return nil, err
	}
	id, err := a.Rooms.Send(r.Context(), roomRequest(r, who), r.Param("eventType"), content)
	return eventIDAnswer{id}, err
}

// roomRequest returns the sender, the room and the transaction of a request.
func roomRequest(r *httpapi.Request, who matrix.Session) rooms.Request {
	return rooms.Request{
		UserID: who.UserID, DeviceID: who.DeviceID, RoomID: r.Param("roomId"), TxnID: r.Param("txnId"), Guest: who.Guest,
	}
}
