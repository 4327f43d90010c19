package api

import (
	"net/http"
	"time"

	"homeserver/internal/matrix"
)

// putTyping tells that one is typing, or has stopped. Section "Typing
// Notifications", PUT /rooms/{roomId}/typing/{userId}.
func (a *API) putTyping(r *http.Request, who matrix.Session) (any, error) {
	if err := own(r, who); err != nil {
		return nil, err
	}
	var body struct {
		Typing  *bool `json:"typing"`
		Timeout int64 `json:"timeout"` // milliseconds
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	if body.Typing == nil {
		return nil, matrix.Errorf(matrix.MissingParam, "typing is missing")
	}
	timeout := time.Duration(min(body.Timeout, int64(time.Hour/time.Millisecond))) * time.Millisecond
	return empty{}, a.typing.Set(r.Context(), who.UserID, param(r, "roomId"), *body.Typing, timeout)
}
