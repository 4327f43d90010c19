package auth

import (
	"testing"
	"time"

	"homeserver/internal/broadcast"
	"homeserver/internal/matrix"
)

// processes gives two services on one database that hear of each other.
func processes(t *testing.T) (a, b *Service) {
	t.Helper()
	first, _ := newTestService(t)
	start := func() *Service {
		o := first.o
		o.Channel = broadcast.New(first.pool, o.Logger)
		s := New(first.pool, o)
		must(t, o.Channel.Start(t.Context()))
		t.Cleanup(o.Channel.Stop)
		return s
	}
	return start(), start()
}

// awaitRefused waits until a token is not good any more. No clock moves: it is not
// its age that ends it.
func awaitRefused(t *testing.T, s *Service, token string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		_, err := s.Authenticate(t.Context(), token)
		if matrix.IsCode(err, matrix.UnknownToken) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the token is still good here: %v", err)
		}
		must(t, s.pool.Ping(t.Context())) // gives the message time
	}
}

func TestOtherProcessesForgetRevokedTokens(t *testing.T) {
	t.Parallel()
	for name, revoke := range map[string]func(s *Service, c Credentials) error{
		"logout": func(s *Service, c Credentials) error {
			return s.Logout(t.Context(), Session{UserID: c.UserID, DeviceID: c.DeviceID})
		},
		"another password": func(s *Service, _ Credentials) error {
			return s.SetPassword(t.Context(), "example", "another", true)
		},
		"SQL of the operator": func(s *Service, c Credentials) error {
			_, err := s.pool.Exec(t.Context(), `DELETE FROM devices WHERE user_id = $1`, c.UserID)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := processes(t)
			got := mustRegister(t, a, "example")
			kept := mustRegister(t, a, "somebody")
			for _, s := range []*Service{a, b} {
				mustAuthenticate(t, s, got.AccessToken)
				mustAuthenticate(t, s, kept.AccessToken)
			}
			must(t, revoke(a, got))
			awaitRefused(t, b, got.AccessToken)
			awaitRefused(t, a, got.AccessToken)
			if _, err := b.Authenticate(canceled(t), kept.AccessToken); err != nil {
				t.Errorf("the token of somebody else is not in memory any more: %v", err)
			}
		})
	}
}
