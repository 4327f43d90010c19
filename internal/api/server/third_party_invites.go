package server

import (
	"homeserver/internal/httpapi"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/personal/thirdpartyinvite"
)

// onBind is called by an identity server when an address is bound to a user, who gets
// the invitations to the address then. Anybody may call it: the body is signed.
// Server-server API, section "Third-party invites", PUT /3pid/onbind; the identity
// service API, "Invitation storage", has it as a POST.
func (a *api) onBind(r *httpapi.Request) (any, error) {
	var body thirdpartyinvite.Binding
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if err := body.Check(); err != nil {
		return nil, err
	}
	if more := len(body.Invites) - 1; more > 0 { // each is as much work as a request
		if err := r.Charge(ratelimit.Requests, more); err != nil {
			return nil, err
		}
	}
	return httpapi.Empty{}, a.Invitations.OnBind(r.Context(), body)
}
