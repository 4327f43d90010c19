package client

import (
	"time"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// putTyping sets whether the user is typing. Section "Typing Notifications", PUT
// /rooms/{roomId}/typing/{userId}.
func (a *api) putTyping(r *httpapi.Request, who matrix.Session) (any, error) {
	if err := r.CheckOwn(who); err != nil {
		return nil, err
	}
	var body struct {
		Typing  *bool `json:"typing"`
		Timeout int64 `json:"timeout"` // milliseconds
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if body.Typing == nil {
		return nil, matrix.Errorf(matrix.MissingParam, "typing is missing")
	}
	timeout := time.Duration(min(body.Timeout, int64(time.Hour/time.Millisecond))) * time.Millisecond
	return httpapi.Empty{}, a.Typing.Set(r.Context(), who.UserID, r.Param("roomId"), *body.Typing, timeout)
}
