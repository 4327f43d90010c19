package legacy

import (
	"time"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/personal/presence"
)

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
func (a *api) getPresenceList(r *httpapi.Request, who matrix.Session) (any, error) {
	if err := r.CheckOwn(who); err != nil {
		return nil, err
	}
	states, err := a.Presence.List(r.Context(), who.UserID)
	return presenceList{states, a.Now()}, err
}

// postPresenceList adds users to one's own presence list, and removes others from it.
// Of r0.2 and before: section "Presence", POST /presence/list/{userId}.
func (a *api) postPresenceList(r *httpapi.Request, who matrix.Session) (any, error) {
	if err := r.CheckOwn(who); err != nil {
		return nil, err
	}
	var body struct {
		Invite []string `json:"invite"`
		Drop   []string `json:"drop"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.Presence.ChangeList(r.Context(), who.UserID, body.Invite, body.Drop)
}
