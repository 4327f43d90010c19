package client

import (
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// reportEvent reports an event to the operator. Section "Reporting Content", POST
// /rooms/{roomId}/report/{eventId}. The score was removed in v1.18; requests with one
// still work.
func (a *api) reportEvent(r *httpapi.Request, who matrix.Session) (any, error) {
	var body struct {
		Reason string `json:"reason"`
		Score  *int   `json:"score"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.Reports.Event(r.Context(), who.UserID, r.Param("roomId"), r.Param("eventId"), body.Reason, body.Score)
}

// reportRoom reports a room to the operator. Section "Reporting Content", POST
// /rooms/{roomId}/report.
func (a *api) reportRoom(r *httpapi.Request, who matrix.Session) (any, error) {
	reason, err := requiredReason(r)
	if err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.Reports.Room(r.Context(), who.UserID, r.Param("roomId"), reason)
}

// reportUser reports a user to the operator. Section "Reporting Content", POST
// /users/{userId}/report.
func (a *api) reportUser(r *httpapi.Request, who matrix.Session) (any, error) {
	reason, err := requiredReason(r)
	if err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.Reports.User(r.Context(), who.UserID, r.Param("userId"), reason)
}

// requiredReason reads a reason that must be there, though it may be empty.
func requiredReason(r *httpapi.Request) (string, error) {
	var body struct {
		Reason *string `json:"reason"`
	}
	if err := r.Decode(&body); err != nil {
		return "", err
	}
	if body.Reason == nil {
		return "", matrix.Errorf(matrix.MissingParam, "reason is missing")
	}
	return *body.Reason, nil
}
