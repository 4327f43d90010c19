package auth

import "testing"

func TestKnowsWhoWasHereLately(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	token := mustRegister(t, s, "example").AccessToken
	if s.Sessions.Knows(token) || s.Sessions.Knows("guessed") || s.Sessions.Knows("") {
		t.Error("a token is known that was never used")
	}
	session := mustAuthenticate(t, s, token)
	if !s.Sessions.Knows(token) {
		t.Error("a token that was used is not known")
	}
	must(t, s.Sessions.Logout(t.Context(), session))
	if s.Sessions.Knows(token) {
		t.Error("a revoked token is known")
	}
}
