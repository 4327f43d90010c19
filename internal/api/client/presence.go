package client

import (
	"time"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/personal/presence"
)

// presenceAnswer is how a user is shown.
type presenceAnswer struct {
	presence.State
	now time.Time
}

// AppendJSON writes the state.
func (p presenceAnswer) AppendJSON(dst []byte) []byte { return p.AppendContent(dst, p.now, false) }

// getPresence reports whether a user is online. Section "Presence", GET
// /presence/{userId}/status.
func (a *api) getPresence(r *httpapi.Request, who matrix.Session) (any, error) {
	state, err := a.Presence.Get(r.Context(), who.UserID, r.Param("userId"))
	return presenceAnswer{state, a.Now()}, err
}

// putPresence sets one's own presence. Section "Presence",
// PUT /presence/{userId}/status.
func (a *api) putPresence(r *httpapi.Request, who matrix.Session) (any, error) {
	if err := r.CheckOwn(who); err != nil {
		return nil, err
	}
	var body struct {
		Presence  string `json:"presence"`
		StatusMsg string `json:"status_msg"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if body.Presence == "" {
		return nil, matrix.Errorf(matrix.MissingParam, "presence is missing")
	}
	return httpapi.Empty{}, a.Presence.Set(r.Context(), who.UserID, body.Presence, body.StatusMsg)
}
