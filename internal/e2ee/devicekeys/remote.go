package devicekeys

import (
	"context"
	"encoding/json"
	"time"

	"homeserver/internal/matrix"
)

// Remote asks other servers for the keys of their users: server-server API, "End-to-End
// Encryption". What it returns was checked as far as what is stored here is.
type Remote interface {
	// Query reads keys of users of other servers: of the devices that are named, or of all
	// where none is. It returns when all servers have answered, or the time is over.
	Query(ctx context.Context, devicesOf map[string][]string, timeout time.Duration) (RemoteKeys, Failures)
	// Claim claims keys, by user, device and algorithm, in the same way. It returns them by
	// user, device and name.
	Claim(ctx context.Context, wanted map[string]map[string]string, timeout time.Duration) (map[string]map[string]map[string]json.RawMessage, Failures)
}

// RemoteKeys are the keys of users of other servers, as they are shown, by user ID, and
// those of devices by their IDs.
type RemoteKeys struct {
	Devices              map[string]map[string]json.RawMessage
	Masters, SelfSigning map[string]json.RawMessage
}

// Failures says why servers did not answer, by their names.
type Failures map[string]Failure

// Failure says why a server did not answer. Clients ask again later.
type Failure struct {
	Status  int    `json:"status"`
	Message string `json:"message"`
}

// unreachable is the Remote of a server that does not reach others.
type unreachable struct{}

// Query says that no server was reached.
func (unreachable) Query(_ context.Context, devicesOf map[string][]string, _ time.Duration) (RemoteKeys, Failures) {
	return RemoteKeys{}, unreached(devicesOf)
}

// Claim does the same.
func (unreachable) Claim(
	_ context.Context, wanted map[string]map[string]string, _ time.Duration,
) (map[string]map[string]map[string]json.RawMessage, Failures) {
	return nil, unreached(wanted)
}

// unreached are the failures of the servers of users, none of which was reached.
func unreached[V any](users map[string]V) Failures {
	failures := Failures{}
	for userID := range users {
		if _, server, err := matrix.ParseUserID(userID); err == nil {
			failures[server] = Failure{503, "this server does not reach others"}
		}
	}
	return failures
}

// How long other servers are waited for, where the client does not say, and at most.
const (
	usualTimeout = 10 * time.Second
	maxTimeout   = time.Minute
)

// parseTimeout reads how many milliseconds a client wants to wait for other servers.
// M_INVALID_PARAM for fewer than none.
func parseTimeout(ms *int64) (time.Duration, error) {
	switch {
	case ms == nil:
		return usualTimeout, nil
	case *ms < 0:
		return 0, matrix.Errorf(matrix.InvalidParam, "timeout must not be negative")
	}
	return time.Duration(min(*ms, maxTimeout.Milliseconds())) * time.Millisecond, nil
}

// split parts users into those of this server and the others. M_INVALID_PARAM for what is no
// user ID.
func split[V any](users map[string]V, here string) (local []string, others map[string]V, err error) {
	others = map[string]V{}
	for userID, wanted := range users {
		_, server, err := matrix.ParseUserID(userID)
		if err != nil {
			return nil, nil, err
		}
		if server == here {
			local = append(local, userID)
		} else {
			others[userID] = wanted
		}
	}
	return local, others, nil
}
