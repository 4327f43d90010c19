package client

import (
	"time"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/personal/presence"
	"homeserver/internal/syncstream"
)

// sync returns what is new for the user, waiting for it if asked to. Section "Syncing",
// GET /sync.
func (a *api) sync(r *httpapi.Request, who matrix.Session) (any, error) {
	q, err := syncQuery(r, who)
	if err != nil {
		return nil, err
	}
	answer, err := a.Stream.Sync(r.Context(), *q)
	if err != nil || r.Generation() != httpapi.V2Alpha {
		return answer, err
	}
	return syncstream.V2Alpha{Answer: answer}, nil
}

// syncQuery reads the parameters of /sync. M_INVALID_PARAM for invalid ones.
func syncQuery(r *httpapi.Request, who matrix.Session) (*syncstream.Query, error) {
	q := &syncstream.Query{
		UserID: who.UserID, DeviceID: who.DeviceID, Since: r.Query("since"), Filter: r.Query("filter"),
		V2Alpha: r.Generation() == httpapi.V2Alpha,
	}
	switch q.SetPresence = r.Query("set_presence"); q.SetPresence {
	case "", presence.Online, presence.Offline, presence.Unavailable:
	default:
		return q, matrix.Errorf(matrix.InvalidParam, `set_presence must be "online", "offline" or "unavailable"`)
	}
	var err error
	if q.FullState, err = r.QueryBool("full_state"); err != nil {
		return q, err
	}
	if err = stateAfter(r, q); err != nil {
		return q, err
	}
	timeout, err := r.QueryInt("timeout", 0)
	if err != nil {
		return q, err
	}
	q.Timeout = time.Duration(min(timeout, 1<<31)) * time.Millisecond
	return q, nil
}

// stateAfter reads whether the state at the end of timelines is asked for. Clients
// know it by its name in the specification or by that of the proposal, and look for
// the answer by the name that they have asked by.
func stateAfter(r *httpapi.Request, q *syncstream.Query) (err error) {
	const proposal = "org.matrix.msc4222."
	if q.UseStateAfter, err = r.QueryBool("use_state_after"); err != nil || q.UseStateAfter {
		return err
	}
	q.StateAfter = proposal + "state_after"
	q.UseStateAfter, err = r.QueryBool(proposal + "use_state_after")
	return err
}
