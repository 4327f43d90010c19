package turn

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // G505: TURN servers know no other hash; as an HMAC it is sound
	"encoding/base64"
	"strconv"
	"time"

	"homeserver/internal/matrix"
)

// Options says which TURN servers there are.
type Options struct {
	// URIs are those of the TURN servers; empty: there is none.
	URIs []string
	// SharedSecret is that of the TURN servers; empty: all users have Username and
	// Password.
	SharedSecret       string
	Username, Password string
	// Lifetime is how long credentials are valid.
	Lifetime time.Duration
	// AllowGuests allows guests to use the TURN servers, too.
	AllowGuests bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Credentials is the answer to clients. Lifetime is in seconds.
type Credentials struct {
	Username string   `json:"username"`
	Password string   `json:"password"`
	URIs     []string `json:"uris"`
	Lifetime int64    `json:"ttl"`
}

// Service makes credentials. It may be used concurrently.
type Service struct{ o Options }

// New makes a Service.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{o}
}

// Credentials returns the credentials with which a user may use the TURN servers; nil
// if there are none. M_GUEST_ACCESS_FORBIDDEN for a guest where guests may not.
// Client-server API, GET /voip/turnServer.
func (s *Service) Credentials(userID string, guest bool) (*Credentials, error) {
	if len(s.o.URIs) == 0 {
		return nil, nil
	}
	if guest && !s.o.AllowGuests {
		return nil, matrix.Errorf(matrix.GuestAccessForbidden, "guests may not use the TURN server")
	}
	c := &Credentials{
		Username: s.o.Username, Password: s.o.Password, URIs: s.o.URIs, Lifetime: int64(s.o.Lifetime.Seconds()),
	}
	if s.o.SharedSecret != "" {
		c.Username = strconv.FormatInt(s.o.Now().Add(s.o.Lifetime).Unix(), 10) + ":" + userID
		mac := hmac.New(sha1.New, []byte(s.o.SharedSecret))
		mac.Write([]byte(c.Username))
		c.Password = base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return c, nil
}
