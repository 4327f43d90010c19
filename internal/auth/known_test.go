package auth

import "testing"

func TestKnowsWhoWasHereLately(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	token := mustRegister(t, s, "example").AccessToken
	if s.Knows(token) || s.Knows("guessed") || s.Knows("") {
		t.Error("a token is known that was never used")
	}
	session := mustAuthenticate(t, s, token)
	if !s.Knows(token) {
		t.Error("a token that was used is not known")
	}
	must(t, s.Logout(t.Context(), session))
	if s.Knows(token) {
		t.Error("a revoked token is known")
	}
}
