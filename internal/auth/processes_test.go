package auth

import (
	"testing"
	"time"

	"homeserver/internal/auth/session"
	"homeserver/internal/auth/uia"
	"homeserver/internal/journal/replica"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

// processes returns two services on one database that receive each other's messages.
func processes(t *testing.T) (a, b *Service) {
	t.Helper()
	first, _ := newTestService(t)
	start := func() *Service {
		o := first.o
		o.Channel = replica.New(first.pool, o.Logger)
		s := New(first.pool, o)
		must(t, o.Channel.Start(t.Context()))
		t.Cleanup(o.Channel.Stop)
		return s
	}
	return start(), start()
}

// awaitRefused waits until a token is refused. No clock moves: the token does not expire.
func awaitRefused(t *testing.T, s *Service, token string) {
	t.Helper()
	matrixtest.Until(t, "the token is refused here", func() bool {
		_, err := s.Sessions.Authenticate(t.Context(), token)
		return matrix.IsCode(err, matrix.UnknownToken)
	})
}

func TestOtherProcessesForgetRevokedTokens(t *testing.T) {
	t.Parallel()
	for name, revoke := range map[string]func(s *Service, c session.Credentials) error{
		"logout": func(s *Service, c session.Credentials) error {
			return s.Sessions.Logout(t.Context(), matrix.Session{UserID: c.UserID, DeviceID: c.DeviceID})
		},
		"another password": func(s *Service, _ session.Credentials) error {
			return s.SetPassword(t.Context(), "example", "another", true)
		},
		"SQL of the operator": func(s *Service, c session.Credentials) error {
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
			if _, err := b.Sessions.Authenticate(canceled(t), kept.AccessToken); err != nil {
				t.Errorf("the token of somebody else is not in memory any more: %v", err)
			}
		})
	}
}

// poll waits with a token until the request ends, and returns a channel with the error
// that it ends with.
func poll(t *testing.T, s *Service, token string) <-chan error {
	t.Helper()
	waiting, end, err := s.Sessions.Watch(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		<-waiting.Done()
		ended <- end()
	}()
	return ended
}

func TestARequestWentOnWaitingAfterItsTokenHadEnded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end  func(s *Service, c session.Credentials) error
		soft bool
	}{
		"logout": {func(s *Service, c session.Credentials) error {
			return s.Sessions.Logout(t.Context(), matrix.Session{UserID: c.UserID, DeviceID: c.DeviceID})
		}, false},
		"logout of all": {func(s *Service, c session.Credentials) error { return s.Sessions.LogoutAll(t.Context(), c.UserID) }, false},
		"another password": {func(s *Service, _ session.Credentials) error {
			return s.SetPassword(t.Context(), "example", "another", true)
		}, false},
		"the device logs in anew": {func(s *Service, c session.Credentials) error {
			_, err := s.Login(t.Context(), LoginRequest{
				Type: uia.StagePassword, User: "example", Password: testPassword, DeviceID: c.DeviceID,
			}, matrix.Client{})
			return err
		}, true},
		"deactivation": {func(s *Service, _ session.Credentials) error {
			return s.DeactivateAccount(t.Context(), "example", false)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := processes(t)
			b.Start(t.Context())
			t.Cleanup(b.Stop)
			got := mustRegister(t, a, "example")
			other := mustRegister(t, a, "somebody")
			here, there := poll(t, a, got.AccessToken), poll(t, b, got.AccessToken)
			goesOn := poll(t, b, other.AccessToken)
			must(t, test.end(a, got))
			wantSoftLogout(t, <-here, test.soft)
			wantSoftLogout(t, <-there, test.soft)
			select {
			case err := <-goesOn:
				t.Errorf("the request of somebody else has ended: %v", err)
			default:
			}
		})
	}
}

func TestARequestWentOnWaitingAfterItsTokenHadExpired(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t, func(o *Options) { o.AccessTokenLifetime = time.Millisecond })
	mustRegister(t, s, "example")
	got := mustLogin(t, s, "example", refreshable)
	wantSoftLogout(t, <-poll(t, s, got.AccessToken), true)
}

func TestOtherProcessesHearOfLocksAndSuspensions(t *testing.T) {
	t.Parallel()
	a, b := processes(t)
	b.Start(t.Context())
	t.Cleanup(b.Stop)
	got := mustRegister(t, a, "example")
	mustAuthenticate(t, b, got.AccessToken)
	there := poll(t, b, got.AccessToken)
	await := func(what string, yes func(matrix.Session) bool) {
		matrixtest.Until(t, what, func() bool {
			who, err := b.Sessions.Authenticate(t.Context(), got.AccessToken)
			return err == nil && yes(who)
		})
	}
	yes, no := true, false
	change := func(c Change) {
		_, err := a.ModerateAccount(t.Context(), "example", c)
		must(t, err)
	}
	change(Change{Suspended: &yes})
	await("suspended there", func(who matrix.Session) bool { return who.Suspended && !who.Locked })
	select {
	case err := <-there:
		t.Fatalf("a suspended user hears no more: %v", err)
	default:
	}
	change(Change{Locked: &yes})
	matrixtest.WantCode(t, <-there, matrix.UserLocked)
	await("locked there", func(who matrix.Session) bool { return who.Locked })
	change(Change{Locked: &no, Suspended: &no})
	await("free there", func(who matrix.Session) bool { return !who.Locked && !who.Suspended })
}
