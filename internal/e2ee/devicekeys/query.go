package devicekeys

import (
	"context"

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
	timeout, err := parseTimeout(q.Timeout)
	if err != nil {
		return nil, err
	}
	local, others, err := split(q.DeviceKeys, s.o.ServerName)
	if err != nil {
		return nil, err
	}
	a := &QueryAnswer{viewer: who.UserID, devicesOf: q.DeviceKeys}
	if err := s.findPublic(ctx, a, local); err != nil {
		return nil, err
	}
	if a.signed, err = s.readSignedBy(ctx, who.UserID, a.users); err != nil {
		return nil, err
	}
	if _, own := q.DeviceKeys[who.UserID]; own {
		if a.userSigning, err = s.readSigningKeys(ctx, []string{who.UserID}, UserSigning); err != nil {
			return nil, err
		}
	}
	if len(others) > 0 {
		a.remote, a.failures = s.o.Remote.Query(ctx, others, timeout)
	}
	return a, a.ahead(ctx)
}

// ahead waits for the memory of what is read while the answer is written, now that all else is
// in memory.
func (a *QueryAnswer) ahead(ctx context.Context) error {
	err := a.devices.ahead(ctx)
	for _, keys := range []*byUser[*shownKey]{a.masters, a.selfSigning, a.userSigning} {
		if err == nil {
			err = keys.ahead(ctx)
		}
	}
	return err
}

// ahead waits for the memory of a part of the list.
func (b *byUser[T]) ahead(ctx context.Context) error {
	if b == nil {
		return nil
	}
	return b.parts.Ahead(ctx) //nolint:wrapcheck // it becomes the answer
}

// done frees the memory of what was read last, once the list has been written.
func (b *byUser[T]) done(ctx context.Context) {
	if b != nil {
		b.parts.Done(ctx)
	}
}
