package api

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

// getPresence tells whether a user is online. Section "Presence",
// GET /presence/{userId}/status.
func (a *API) getPresence(r *httpapi.Request, who matrix.Session) (any, error) {
	state, err := a.presence.Get(r.Context(), who.UserID, r.Param("userId"))
	return presenceAnswer{state, a.now()}, err
}

// putPresence sets one's own presence. Section "Presence",
// PUT /presence/{userId}/status.
func (a *API) putPresence(r *httpapi.Request, who matrix.Session) (any, error) {
	if err := own(r, who); err != nil {
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
	return httpapi.Empty{}, a.presence.Set(r.Context(), who.UserID, body.Presence, body.StatusMsg)
}

// presenceList is how those on a presence list are shown.
type presenceList struct {
	states []presence.State
	now    time.Time
}

// AppendJSON writes the list.
func (l presenceList) AppendJSON(dst []byte) []byte {
	return presence.AppendOldList(dst, l.states, l.now)
}

// getPresenceList shows those on one's own presence list. Of r0.2 and before: section
// "Presence", GET /presence/list/{userId}.
func (a *API) getPresenceList(r *httpapi.Request, who matrix.Session) (any, error) {
	if err := own(r, who); err != nil {
		return nil, err
	}
	states, err := a.presence.List(r.Context(), who.UserID)
	return presenceList{states, a.now()}, err
}

// postPresenceList puts users on one's own presence list, and takes others off it. Of
// r0.2 and before: section "Presence", POST /presence/list/{userId}.
func (a *API) postPresenceList(r *httpapi.Request, who matrix.Session) (any, error) {
	if err := own(r, who); err != nil {
		return nil, err
	}
	var body struct {
		Invite []string `json:"invite"`
		Drop   []string `json:"drop"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.presence.ChangeList(r.Context(), who.UserID, body.Invite, body.Drop)
}
