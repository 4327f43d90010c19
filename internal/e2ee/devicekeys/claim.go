package devicekeys

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/reserve"
)

// maxClaims bounds the devices of one claim. Clients ask for at most a few hundred.
const maxClaims = 10_000

// ClaimRequest is the body of POST /keys/claim.
type ClaimRequest struct {
	// Timeout is how many milliseconds to wait for other servers.
	Timeout *int64 `json:"timeout"`
	// OneTimeKeys names the algorithm of the key that is asked for, by user and device.
	OneTimeKeys map[string]map[string]string `json:"one_time_keys"`
}

// Devices is of how many devices keys are asked for.
func (q *ClaimRequest) Devices() (n int) {
	for _, byDevice := range q.OneTimeKeys {
		n += len(byDevice)
	}
	return n
}

// claim is a key that is asked for.
type claim struct {
	device
	algorithm string
}

// claimed is a key that was given out.
type claimed struct {
	UserID, DeviceID, Algorithm, KeyID string
	Key                                []byte
}

func (c *claimed) cost() int {
	const beside = 300
	return 2*(len(c.UserID)+len(c.DeviceID)+len(c.KeyID)+len(c.Key)) + beside
}

// Claim gives out a key of each of the devices that are named: the one-time key that was
// uploaded first or, where none is left, the fallback key. Devices that have neither, or do
// not exist, are missing in the answer. Once it returns, the keys are given out to nobody
// else, whatever becomes of the answer. M_MISSING_PARAM without one_time_keys,
// M_INVALID_PARAM for what is no user ID, a negative timeout, and too many devices.
// Client-server API, POST /keys/claim.
func (s *Service) Claim(ctx context.Context, q ClaimRequest) (*ClaimAnswer, error) {
	if q.OneTimeKeys == nil {
		return nil, matrix.Errorf(matrix.MissingParam, "one_time_keys is missing")
	}
	timeout, err := parseTimeout(q.Timeout)
	if err != nil {
		return nil, err
	}
	local, others, err := split(q.OneTimeKeys, s.o.ServerName)
	if err != nil {
		return nil, err
	}
	wanted := []claim{}
	for _, userID := range local {
		for deviceID, algorithm := range q.OneTimeKeys[userID] {
			wanted = append(wanted, claim{device{userID, deviceID}, algorithm})
		}
	}
	if len(wanted) > maxClaims {
		return nil, matrix.Errorf(matrix.InvalidParam, "keys of at most %d devices may be claimed at once", maxClaims)
	}
	a := &ClaimAnswer{}
	if len(wanted) > 0 {
		if a.keys, err = s.claim(ctx, wanted); err != nil {
			return nil, err
		}
	}
	if len(others) > 0 {
		a.remote, a.failures = s.o.Remote.Claim(ctx, others, timeout)
	}
	return a, nil
}

// ClaimAnswer is the answer to POST /keys/claim, which writes itself.
type ClaimAnswer struct {
	keys     []*claimed                                       // in the order of users, and of their devices
	remote   map[string]map[string]map[string]json.RawMessage // by user, device and name
	failures Failures
}

// WriteJSON writes the answer.
func (a *ClaimAnswer) WriteJSON(_ context.Context, w *reserve.Writer) error {
	w.B = appendFailures(append(w.B, `{"failures":`...), a.failures)
	w.B = append(w.B, `,"one_time_keys":{`...)
	users := members{w: w}
	for keys := a.keys; len(keys) > 0; {
		n := 1
		for n < len(keys) && keys[n].UserID == keys[0].UserID {
			n++
		}
		users.begin(keys[0].UserID)
		if err := writeClaimed(w, keys[:n]); err != nil {
			return err
		}
		keys = keys[n:]
	}
	for _, userID := range slices.Sorted(maps.Keys(a.remote)) {
		users.begin(userID)
		w.B = append(w.B, '{')
		devices := members{w: w}
		for _, deviceID := range slices.Sorted(maps.Keys(a.remote[userID])) {
			devices.begin(deviceID)
			w.B = append(w.B, '{')
			if err := (&members{w: w}).addRaw(a.remote[userID][deviceID]); err != nil {
				return err
			}
			w.B = append(w.B, '}')
		}
		w.B = append(w.B, '}')
	}
	w.B = append(w.B, `}}`...)
	return nil
}

// writeClaimed writes the keys of one user, by device.
func writeClaimed(w *reserve.Writer, keys []*claimed) error {
	w.B = append(w.B, '{')
	devices := members{w: w}
	for _, k := range keys {
		devices.begin(k.DeviceID)
		w.B = append(event.AppendString(append(w.B, '{'), k.Algorithm+":"+k.KeyID), ':')
		w.B = append(append(w.B, k.Key...), '}')
		if err := w.Pass(); err != nil {
			return err
		}
	}
	w.B = append(w.B, '}')
	return nil
}

// owners returns whose keys were given out, each once.
func owners(keys []*claimed) (users []string) {
	for i, k := range keys { // they are in the order of users
		if i == 0 || keys[i-1].UserID != k.UserID {
			users = append(users, k.UserID)
		}
	}
	return users
}
