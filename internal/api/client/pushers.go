package client

import (
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/personal/push"
)

type pushersAnswer struct {
	Pushers []push.Pusher `json:"pushers"`
}

// getPushers lists the pushers of the user who asks. Section "Push Notifications",
// GET /pushers.
func (a *api) getPushers(r *httpapi.Request, who matrix.Session) (any, error) {
	list, err := a.Push.Pushers(r.Context(), who.UserID)
	return pushersAnswer{list}, err
}

// setPusher makes, changes or deletes a pusher. POST /pushers/set.
func (a *api) setPusher(r *httpapi.Request, who matrix.Session) (any, error) {
	var body push.PusherRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.Push.SetPusher(r.Context(), who.UserID, who.DeviceID, body)
}
