package api

import (
	"net/http"
	"time"

	"homeserver/internal/auth"
	"homeserver/internal/matrix"
	"homeserver/internal/syncstream"
)

// sync gives what is new for the user, waiting for it if asked to. Section
// "Syncing", GET /sync.
func (a *API) sync(r *http.Request, who auth.Session) (any, error) {
	q := syncstream.Query{
		UserID: who.UserID, DeviceID: who.DeviceID, Since: query(r, "since"), Filter: query(r, "filter"),
	}
	switch query(r, "set_presence") {
	case "", "online", "offline", "unavailable":
	default:
		return nil, matrix.Errorf(matrix.InvalidParam, `set_presence must be "online", "offline" or "unavailable"`)
	}
	var err error
	if q.FullState, err = queryBool(r, "full_state"); err != nil {
		return nil, err
	}
	if q.UseStateAfter, err = queryBool(r, "use_state_after"); err != nil {
		return nil, err
	}
	timeout, err := queryInt(r, "timeout", 0)
	if err != nil {
		return nil, err
	}
	q.Timeout = time.Duration(min(timeout, 1<<31)) * time.Millisecond
	return a.stream.Sync(r.Context(), q)
}
