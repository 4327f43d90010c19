package auth

import (
	"testing"
	"time"

	"homeserver/internal/auth/session"
	"homeserver/internal/clock"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

func mustOpenIDToken(t testing.TB, s *Service, userID string) session.OpenIDToken {
	t.Helper()
	made, err := s.Sessions.OpenIDToken(t.Context(), userID)
	must(t, err)
	return made
}

// wantOpenIDUser checks the user of a token; "": the token is not valid.
func wantOpenIDUser(t testing.TB, s *Service, token, want string) {
	t.Helper()
	got, err := s.Sessions.OpenIDUser(t.Context(), token)
	if want == "" {
		if e := matrixtest.WantCode(t, err, matrix.UnknownToken); e.HTTPStatus() != 401 {
			t.Errorf("got %d, want 401", e.HTTPStatus())
		}
		return
	}
	must(t, err)
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOpenIDTokenTellsItsUserForAnHour(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	alice, bob := mustRegister(t, s, "alice").UserID, mustRegister(t, s, "bob").UserID
	made, other := mustOpenIDToken(t, s, alice), mustOpenIDToken(t, s, bob)
	if made.TokenType != "Bearer" || made.ServerName != testServer || made.ExpiresIn != 3600 {
		t.Errorf("got %+v", made)
	}
	c.Pass(time.Hour - time.Millisecond)
	wantOpenIDUser(t, s, made.AccessToken, alice)
	wantOpenIDUser(t, sibling(s), made.AccessToken, alice)
	wantOpenIDUser(t, s, other.AccessToken, bob)
	c.Pass(time.Millisecond)
	wantOpenIDUser(t, s, made.AccessToken, "")
	must(t, s.tidy(t.Context()))
	if n := count(t, s, `SELECT count(*) FROM openid_tokens`); n != 0 {
		t.Errorf("%d expired tokens are kept", n)
	}
}

func TestExpiredTokensAreDeletedOnceTheClockIsMoved(t *testing.T) {
	t.Parallel()
	c := &clock.Clock{}
	s, _ := newTestService(t, func(o *Options) { o.Now, o.Clock = c.Now, c })
	s.Start(t.Context())
	defer s.Stop()
	mustOpenIDToken(t, s, mustRegister(t, s, "alice").UserID)
	c.Advance(2 * time.Hour)
	matrixtest.Until(t, "the token is deleted", func() bool { return count(t, s, `SELECT count(*) FROM openid_tokens`) == 0 })
}

func TestOpenIDTokenIsGoodForNothingElse(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	alice := mustRegister(t, s, "alice")
	made := mustOpenIDToken(t, s, alice.UserID)
	wantUnknown(t, s, made.AccessToken, false)
	_, err := s.Login(t.Context(), tokenLogin(made.AccessToken), testClient)
	matrixtest.WantCode(t, err, matrix.Forbidden)
	wantOpenIDUser(t, s, alice.AccessToken, "")
	wantOpenIDUser(t, s, "", "")
	wantOpenIDUser(t, s, "no\x00text\xff", "")
}

func TestOpenIDTokensEndWithThePasswordAndTheAccount(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	alice, bob := mustRegister(t, s, "alice").UserID, mustRegister(t, s, "bob").UserID
	first, other := mustOpenIDToken(t, s, alice), mustOpenIDToken(t, s, bob)
	must(t, s.SetPassword(t.Context(), "alice", testPassword, false))
	wantOpenIDUser(t, s, first.AccessToken, "")
	second := mustOpenIDToken(t, s, alice)
	must(t, s.DeactivateAccount(t.Context(), "alice", false))
	wantOpenIDUser(t, s, second.AccessToken, "")
	wantOpenIDUser(t, s, other.AccessToken, bob)
	_, err := s.Sessions.OpenIDToken(t.Context(), alice)
	matrixtest.WantCode(t, err, matrix.UserDeactivated)
}

func TestOpenIDTokensAreBounded(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	alice, bob := mustRegister(t, s, "alice").UserID, mustRegister(t, s, "bob").UserID
	other := mustOpenIDToken(t, s, bob)
	first := mustOpenIDToken(t, s, alice)
	c.Pass(time.Second)
	second := mustOpenIDToken(t, s, alice)
	c.Pass(time.Second)
	for range maxOpenIDTokens - 1 {
		mustOpenIDToken(t, s, alice)
	}
	wantOpenIDUser(t, s, first.AccessToken, "")
	wantOpenIDUser(t, s, second.AccessToken, alice)
	wantOpenIDUser(t, s, other.AccessToken, bob)
}

func TestOpenIDTokenIsStoredAsAHash(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	made := mustOpenIDToken(t, s, mustRegister(t, s, "alice").UserID)
	if n := count(t, s, `SELECT count(*) FROM openid_tokens WHERE position($1 IN openid_tokens::text) > 0`, made.AccessToken); n != 0 {
		t.Error("the token stands in the database")
	}
}

func TestOpenIDFaults(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	alice := mustRegister(t, s, "alice").UserID
	if _, err := s.Sessions.OpenIDToken(canceled(t), alice); err == nil || matrix.IsCode(err, matrix.UnknownToken) {
		t.Errorf("making a token: got %v", err)
	}
	if _, err := s.Sessions.OpenIDUser(canceled(t), "x"); err == nil || matrix.IsCode(err, matrix.UnknownToken) {
		t.Errorf("asking for the user: got %v", err)
	}
}
