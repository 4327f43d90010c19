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
	var err error
	if q.SetPresence, err = presenceWhileAsking(r); err != nil {
		return q, err
	}
	if q.FullState, err = r.QueryBool("full_state"); err != nil {
		return q, err
	}
	if err = stateAfter(r, q); err != nil {
		return q, err
	}
	q.Timeout, err = timeToWait(r)
	return q, err
}

// presenceWhileAsking reads how the user is shown while asking.
func presenceWhileAsking(r *httpapi.Request) (string, error) {
	switch p := r.Query("set_presence"); p {
	case "", presence.Online, presence.Offline, presence.Unavailable:
		return p, nil
	}
	return "", matrix.Errorf(matrix.InvalidParam, `set_presence must be "online", "offline" or "unavailable"`)
}

// timeToWait reads how long to wait if there is nothing new.
func timeToWait(r *httpapi.Request) (time.Duration, error) {
	timeout, err := r.QueryInt("timeout", 0)
	return time.Duration(min(timeout, 1<<31)) * time.Millisecond, err
}

// slidingSync returns what is new on a connection, in the rooms that the client asks for. MSC4186,
// by its unstable name.
func (a *api) slidingSync(r *httpapi.Request, who matrix.Session) (any, error) {
	q := syncstream.SlidingQuery{UserID: who.UserID, DeviceID: who.DeviceID, Pos: r.Query("pos")}
	if err := r.Decode(&q.SlidingRequest); err != nil {
		return nil, err
	}
	var err error
	if q.SetPresence, err = presenceWhileAsking(r); err != nil {
		return nil, err
	}
	if q.Timeout, err = timeToWait(r); err != nil {
		return nil, err
	}
	return a.Stream.SlidingSync(r.Context(), q)
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
