package session

import (
	"context"

	"homeserver/internal/auth/account"
	"homeserver/internal/matrix"
)

// Whois lists from where a user uses the server, by device ID. Client-server API, GET
// /admin/whois/{userId}.
type Whois struct {
	UserID  string                 `json:"user_id"`
	Devices map[string]WhoisDevice `json:"devices"`
}

// WhoisDevice is a device in Whois: one session.
type WhoisDevice struct {
	Sessions []WhoisSession `json:"sessions"`
}

// WhoisSession is a session in Whois, with the latest connection only.
type WhoisSession struct {
	Connections []Connection `json:"connections"`
}

// Connection is from where a device was last seen. LastSeen is in milliseconds since
// the epoch, up to a minute behind.
type Connection struct {
	IP        string `json:"ip"`
	LastSeen  int64  `json:"last_seen"`
	UserAgent string `json:"user_agent"`
}

// Whois returns the devices of a user, to that user and to administrators of the
// server: M_FORBIDDEN for others, whether there is such a user or not. M_NOT_FOUND.
func (s *Service) Whois(ctx context.Context, session matrix.Session, userID string) (Whois, error) {
	if userID != session.UserID && !session.Admin {
		return Whois{}, matrix.Errorf(matrix.Forbidden, "Only administrators may look up other users")
	}
	exists, err := account.Exists(ctx, s.o.Pool, userID)
	if err != nil {
		return Whois{}, err
	}
	if !exists {
		return Whois{}, matrix.Errorf(matrix.NotFound, "There is no such user")
	}
	devices, err := listConnections(ctx, s.o.Pool, userID)
	return Whois{UserID: userID, Devices: devices}, err
}
