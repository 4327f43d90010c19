package client

import (
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/personal/receipts"
)

// postReceipt sets how far the user has read. Section "Receipts", POST
// /rooms/{roomId}/receipt/{receiptType}/{eventId}.
func (a *api) postReceipt(r *httpapi.Request, who matrix.Session) (any, error) {
	var body struct {
		ThreadID any `json:"thread_id"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	var thread *string
	switch id := body.ThreadID.(type) {
	case nil:
	case string:
		thread = &id
	default:
		return nil, matrix.Errorf(matrix.InvalidParam, "thread_id must be a string")
	}
	return httpapi.Empty{}, a.Receipts.Send(r.Context(), who.UserID, r.Param("roomId"), r.Param("receiptType"), r.Param("eventId"), thread)
}

// postReadMarkers sets several markers of a room at once. Section "Read and
// unread markers", POST /rooms/{roomId}/read_markers.
func (a *api) postReadMarkers(r *httpapi.Request, who matrix.Session) (any, error) {
	var body receipts.Markers
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.Receipts.SetMarkers(r.Context(), who.UserID, r.Param("roomId"), body)
}
