package devicekeys

import (
	"context"
	"slices"

	"homeserver/internal/auth/account"
	"homeserver/internal/matrix"
)

// QueryRequest is the body of POST /keys/query.
type QueryRequest struct {
	// Timeout is how many milliseconds to wait for other servers.
	Timeout *int64 `json:"timeout"`
	// DeviceKeys names users, and of each the devices that are asked for; none: all.
	DeviceKeys map[string][]string `json:"device_keys"`
}

// Query reads the keys of users: those of their devices, and their cross-signing keys, of
// which user-signing keys are shown to their owner alone. M_MISSING_PARAM without
// device_keys, M_INVALID_PARAM for what is no user ID and for a negative timeout.
// Client-server API, POST /keys/query.
func (s *Service) Query(ctx context.Context, who matrix.Session, q QueryRequest) (*QueryAnswer, error) {
	if q.DeviceKeys == nil {
		return nil, matrix.Errorf(matrix.MissingParam, "device_keys is missing")
	}
	if err := checkTimeout(q.Timeout); err != nil {
		return nil, err
	}
	local, others, err := split(q.DeviceKeys, s.o.ServerName)
	if err != nil {
		return nil, err
	}
	a := &QueryAnswer{viewer: who.UserID, devicesOf: q.DeviceKeys, failures: unreachable(others)}
	if a.users, err = account.Existing(ctx, s.pool, local); err != nil {
		return nil, err
	}
	slices.Sort(a.users)
	if a.devices, err = s.readDevices(ctx, a.users); err != nil {
		return nil, err
	}
	if a.masters, err = s.readSigningKeys(ctx, a.users, Master, who.UserID); err != nil {
		return nil, err
	}
	if a.selfSigning, err = s.readSigningKeys(ctx, a.users, SelfSigning, who.UserID); err != nil {
		return nil, err
	}
	if _, own := q.DeviceKeys[who.UserID]; own {
		a.userSigning, err = s.readSigningKeys(ctx, []string{who.UserID}, UserSigning, who.UserID)
	}
	return a, err
}

// checkTimeout refuses a time that cannot be waited for: M_INVALID_PARAM.
func checkTimeout(timeout *int64) error {
	if timeout != nil && *timeout < 0 {
		return matrix.Errorf(matrix.InvalidParam, "timeout must not be negative")
	}
	return nil
}

// split parts users into those of this server and the others, by their servers.
// M_INVALID_PARAM for what is no user ID.
func split[V any](users map[string]V, here string) (local []string, others map[string][]string, err error) {
	others = map[string][]string{}
	for userID := range users {
		_, server, err := matrix.ParseUserID(userID)
		if err != nil {
			return nil, nil, err
		}
		if server == here {
			local = append(local, userID)
		} else {
			others[server] = append(others[server], userID)
		}
	}
	return local, others, nil
}
