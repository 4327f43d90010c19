package auth

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"homeserver/internal/auth/session"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

// mustLoginToken makes a login token for a user who knows the test password.
func mustLoginToken(t testing.TB, s *Service, c session.Credentials, name string) session.NewLoginToken {
	t.Helper()
	got, err := s.Sessions.LoginToken(t.Context(), mustAuthenticate(t, s, c.AccessToken), passwordAuth(t, name, testPassword, ""))
	must(t, err)
	return got
}

func tokenLogin(token string) LoginRequest { return LoginRequest{Type: LoginByToken, Token: token} }

func TestLoginTokenIsGoodOnce(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	alice := mustRegister(t, s, "alice")
	session := mustAuthenticate(t, s, alice.AccessToken)
	_, err := s.Sessions.LoginToken(t.Context(), session, nil)
	if got := fmt.Sprint(wantChallenge(t, err, "").Flows); got != "[{[m.login.password]}]" {
		t.Errorf("got the flows %s", got)
	}
	made := mustLoginToken(t, s, alice, "alice")
	if made.ExpiresInMS != 120_000 || made.Token == "" {
		t.Fatalf("got %+v", made)
	}
	c.Pass(2*time.Minute - time.Millisecond)
	got, err := s.Login(t.Context(), LoginRequest{Type: LoginByToken, Token: made.Token, DeviceID: "PHONE"}, testClient)
	must(t, err)
	if session := mustAuthenticate(t, s, got.AccessToken); session.UserID != alice.UserID || session.DeviceID != "PHONE" {
		t.Errorf("got %+v", session)
	}
	mustAuthenticate(t, s, alice.AccessToken)
	_, err = s.Login(t.Context(), tokenLogin(made.Token), testClient)
	if e := matrixtest.WantCode(t, err, matrix.Forbidden); e.HTTPStatus() != 403 {
		t.Errorf("got %d", e.HTTPStatus())
	}
}

func TestLoginTokenAsksForAuthenticationEachTime(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	alice := mustRegister(t, s, "alice")
	session := mustAuthenticate(t, s, alice.AccessToken)
	_, err := s.Sessions.LoginToken(t.Context(), session, nil)
	auth := passwordAuth(t, "alice", testPassword, wantChallenge(t, err, "").Session)
	_, err = s.Sessions.LoginToken(t.Context(), session, auth)
	must(t, err)
	_, err = s.Sessions.LoginToken(t.Context(), session, nil)
	wantChallenge(t, err, "")
}

func TestLoginTokensThatAreNotGood(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	s, c := newTestService(t)
	alice := mustRegister(t, s, "alice")
	for name, spoil := range map[string]func(){
		"expired":          func() { c.Pass(2 * time.Minute) },
		"password changed": func() { must(t, s.SetPassword(t.Context(), "alice", testPassword, false)) },
	} {
		made := mustLoginToken(t, s, alice, "alice")
		spoil()
		if _, err := s.Login(t.Context(), tokenLogin(made.Token), testClient); !matrix.IsCode(err, matrix.Forbidden) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	made := mustLoginToken(t, s, alice, "alice")
	must(t, s.DeactivateAccount(t.Context(), "alice", false))
	_, err := s.Login(t.Context(), tokenLogin(made.Token), testClient)
	matrixtest.WantCode(t, err, matrix.Forbidden)

	_, err = s.Login(t.Context(), tokenLogin(""), testClient)
	matrixtest.WantCode(t, err, matrix.MissingParam)
	_, err = s.Login(t.Context(), tokenLogin("hsl_nonsense"), testClient)
	matrixtest.WantCode(t, err, matrix.Forbidden)
	_, err = s.Login(t.Context(), LoginRequest{Type: LoginByToken, Token: "x", DeviceID: "a\x00b"}, testClient)
	matrixtest.WantCode(t, err, matrix.InvalidParam)
}

func TestLoginTokenManyTimesAtOnce(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	made := mustLoginToken(t, s, mustRegister(t, s, "alice"), "alice")
	var succeeded atomic.Int32
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			_, err := s.Login(t.Context(), tokenLogin(made.Token), testClient)
			if err == nil {
				succeeded.Add(1)
			} else if !matrix.IsCode(err, matrix.Forbidden) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := succeeded.Load(); n != 1 {
		t.Errorf("%d logins succeeded", n)
	}
}

func TestLoginTokensAreTidiedUp(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	alice := mustRegister(t, s, "alice")
	mustLoginToken(t, s, alice, "alice")

	c.Pass(2 * time.Minute)
	must(t, s.tidy(t.Context()))
	if n := count(t, s, `SELECT count(*) FROM login_tokens`); n != 0 {
		t.Errorf("%d expired tokens are kept", n)
	}
}

func TestLoginTokenIsStoredAsAHash(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	made := mustLoginToken(t, s, mustRegister(t, s, "alice"), "alice")
	if n := count(t, s, `SELECT count(*) FROM login_tokens WHERE position($1 IN login_tokens::text) > 0`, made.Token); n != 0 {
		t.Error("the token stands in the database")
	}
}
