package auth

import (
	"testing"
	"time"
)

func TestTokensWhenTheClockJumps(t *testing.T) {
	t.Parallel()
	s, clock := newTestService(t, func(o *Options) { o.AccessTokenLifetime = 5 * time.Minute })
	lasting := mustRegister(t, s, "lasting") // asked for no refresh token: its token does not expire
	short := mustRegister(t, s, "short", func(r *RegisterRequest) { r.RefreshToken = true })
	for _, jump := range []time.Duration{-time.Hour, time.Hour, 3 * time.Hour, -3 * time.Hour} {
		clock.Pass(jump)
		for _, process := range []*Service{s, sibling(s)} {
			mustAuthenticate(t, process, lasting.AccessToken)
		}
		// Users who were logged in may go on, if need be with a new token, ...
		tokens := mustRefresh(t, s, short.RefreshToken)
		if tokens.ExpiresInMS != (5 * time.Minute).Milliseconds() {
			t.Errorf("after a jump by %v the new token lasts %d ms", jump, tokens.ExpiresInMS)
		}
		mustAuthenticate(t, s, tokens.AccessToken)
		short.RefreshToken = tokens.RefreshToken
		clock.Pass(5 * time.Minute)
		wantUnknown(t, s, tokens.AccessToken, true)
		// ... and others may log in.
		mustAuthenticate(t, s, mustLogin(t, s, "short").AccessToken)
	}
}

func TestLoginTokenWhenTheClockJumps(t *testing.T) {
	t.Parallel()
	s, clock := newTestService(t)
	own := mustRegister(t, s, "example")
	token := mustLoginToken(t, s, own, "example")
	clock.Pass(-time.Hour)
	if _, err := s.Login(t.Context(), tokenLogin(token.Token), testClient); err != nil {
		t.Errorf("after a jump back: %v", err)
	}
	token = mustLoginToken(t, s, own, "example")
	clock.Pass(time.Hour)
	if _, err := s.Login(t.Context(), tokenLogin(token.Token), testClient); err == nil {
		t.Error("a token is good for an hour")
	}
}
