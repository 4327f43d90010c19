package auth

import (
	"regexp"
	"sync"
	"testing"
	"time"

	"homeserver/internal/auth/session"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

func refreshable(r *LoginRequest) { r.RefreshToken = true }

func mustRefresh(t *testing.T, s *Service, token string) session.Tokens {
	t.Helper()
	got, err := s.Sessions.Refresh(t.Context(), token)
	if err != nil {
		t.Fatalf("refresh: %v", err)
	}
	return got
}

func wantNoRefresh(t *testing.T, s *Service, token string, soft bool) {
	t.Helper()
	_, err := s.Sessions.Refresh(t.Context(), token)
	wantSoftLogout(t, err, soft)
}

func TestRefreshGivesNewTokensForTheSameDevice(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	mustRegister(t, s, "example")
	first := mustLogin(t, s, "example", refreshable)
	if !regexp.MustCompile(`^hsr_[A-Za-z0-9_-]{32}$`).MatchString(first.RefreshToken) {
		t.Fatalf("got the refresh token %q", first.RefreshToken)
	}
	if first.ExpiresInMS != time.Hour.Milliseconds() {
		t.Errorf("got a lifetime of %d ms, want an hour", first.ExpiresInMS)
	}
	c.Pass(2 * time.Hour)
	wantUnknown(t, s, first.AccessToken, true)

	second := mustRefresh(t, s, first.RefreshToken)

	want := matrix.Session{UserID: userID("example"), DeviceID: first.DeviceID}
	if got := mustAuthenticate(t, s, second.AccessToken); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if second.ExpiresInMS != time.Hour.Milliseconds() || second.RefreshToken == first.RefreshToken {
		t.Errorf("got %+v", second)
	}
}

func TestRefreshRevokesTheOldTokensOnceTheNewAccessTokenIsUsed(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	mustRegister(t, s, "example")
	first := mustLogin(t, s, "example", refreshable)
	second := mustRefresh(t, s, first.RefreshToken)
	mustAuthenticate(t, s, first.AccessToken)

	mustAuthenticate(t, s, second.AccessToken)

	wantUnknown(t, s, first.AccessToken, true)
	c.Pass(repeatWindow + time.Second)
	wantNoRefresh(t, s, first.RefreshToken, true)
	mustAuthenticate(t, s, second.AccessToken)
	mustRefresh(t, s, second.RefreshToken)
}

func TestRefreshRevokesTheOldTokensOnceTheNewRefreshTokenIsUsed(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	mustRegister(t, s, "example")
	first := mustLogin(t, s, "example", refreshable)
	second := mustRefresh(t, s, first.RefreshToken)

	third := mustRefresh(t, s, second.RefreshToken)

	wantUnknown(t, s, first.AccessToken, true)
	c.Pass(repeatWindow + time.Second)
	wantNoRefresh(t, s, first.RefreshToken, true)
	mustAuthenticate(t, s, second.AccessToken)
	mustAuthenticate(t, s, third.AccessToken)
	wantUnknown(t, s, second.AccessToken, true)
}

func TestRefreshCanBeRepeatedWhenTheAnswerWasLost(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	mustRegister(t, s, "example")
	first := mustLogin(t, s, "example", refreshable)
	lost := mustRefresh(t, s, first.RefreshToken)
	c.Pass(repeatWindow + time.Second)

	again := mustRefresh(t, s, first.RefreshToken)

	wantUnknown(t, s, lost.AccessToken, true)
	wantNoRefresh(t, s, lost.RefreshToken, true)
	mustAuthenticate(t, s, again.AccessToken)
	mustRefresh(t, s, again.RefreshToken)
}

// Two tabs of a client, or two processes, ask at about the same time.
func TestARepeatedRefreshVoidedWhatWasJustGiven(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]func(s *Service, c *matrixtest.Clock, one session.Tokens){
		"at once":                   func(*Service, *matrixtest.Clock, session.Tokens) {},
		"after the first is in use": func(s *Service, _ *matrixtest.Clock, one session.Tokens) { mustAuthenticate(t, s, one.AccessToken) },
		"after half a minute":       func(_ *Service, c *matrixtest.Clock, _ session.Tokens) { c.Pass(repeatWindow / 2) },
		"after the first is refreshed": func(s *Service, _ *matrixtest.Clock, one session.Tokens) {
			mustAuthenticate(t, s, mustRefresh(t, s, one.RefreshToken).AccessToken)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c := newTestService(t)
			mustRegister(t, s, "example")
			first := mustLogin(t, s, "example", refreshable)
			one := mustRefresh(t, s, first.RefreshToken)
			between(s, c, one)
			other := mustRefresh(t, s, first.RefreshToken)
			c.Pass(2 * repeatWindow)
			if name != "after the first is refreshed" {
				mustAuthenticate(t, s, one.AccessToken)
				mustRefresh(t, s, one.RefreshToken)
			}
			// The other tab has an old token now, and can refresh at once, too.
			mustAuthenticate(t, s, mustRefresh(t, s, other.RefreshToken).AccessToken)
		})
	}
}

// Endless repetitions of a refresh do not fill the database.
func TestRepeatedRefreshesAreBounded(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	first := mustLogin(t, s, "example", refreshable)
	for range maxRepeatedRefreshes {
		mustRefresh(t, s, first.RefreshToken)
	}
	wantNoRefresh(t, s, first.RefreshToken, true)
}

func TestRefreshKeepsFewTokens(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example", func(r *RegisterRequest) { r.InhibitLogin = true })
	tokens := mustLogin(t, s, "example", refreshable).Tokens
	for range 3 * rememberedTokens {
		tokens = mustRefresh(t, s, tokens.RefreshToken)
	}

	if n := count(t, s, `SELECT count(*) FROM access_tokens WHERE void_at IS NULL`); n != 2 {
		t.Errorf("got %d access tokens, want 2", n)
	}
	if n := count(t, s, `SELECT count(*) FROM access_tokens`); n != 2+rememberedTokens {
		t.Errorf("got %d access tokens with those that are void", n)
	}
	if n := count(t, s, `SELECT count(*) FROM refresh_tokens`); n != 2+rememberedTokens {
		t.Errorf("got %d refresh tokens, want the new, the current and the last revoked ones", n)
	}
}

// A repeated refresh returned valid tokens after a new login.
func TestARefreshWasRepeatedAfterANewLogin(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	mustRegister(t, s, "example")
	first := mustLogin(t, s, "example", refreshable, onDevice("phone"))
	mustAuthenticate(t, s, mustRefresh(t, s, first.RefreshToken).AccessToken)
	mustRefresh(t, s, first.RefreshToken)
	c.Pass(time.Second)
	mustLogin(t, s, "example", onDevice("phone"))
	wantNoRefresh(t, s, first.RefreshToken, true)
}

// A client that slept before it used its new tokens, while another one of the same device
// refreshed, got the error for a device that is gone, and threw away its keys.
func TestTokensThatCountedAsLostLoggedOutHard(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	mustRegister(t, s, "example")
	first := mustLogin(t, s, "example", refreshable)
	slept := mustRefresh(t, s, first.RefreshToken)
	c.Pass(2 * repeatWindow)
	mustRefresh(t, s, first.RefreshToken)
	wantUnknown(t, s, slept.AccessToken, true)
	wantNoRefresh(t, s, slept.RefreshToken, true)

	for range 3 * maxRepeatedRefreshes {
		c.Pass(2 * repeatWindow)
		mustRefresh(t, s, first.RefreshToken)
	}
	if n := count(t, s, `SELECT count(*) FROM refresh_tokens`); n > 2+rememberedTokens {
		t.Errorf("%d refresh tokens are kept", n)
	}
	if n := count(t, s, `SELECT count(*) FROM access_tokens`); n > 3+rememberedTokens+1 {
		t.Errorf("%d access tokens are kept", n)
	}
}

func TestRefreshOfADeletedDevice(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	first := mustLogin(t, s, "example", refreshable)
	must(t, s.Sessions.Logout(t.Context(), mustAuthenticate(t, s, first.AccessToken)))

	wantNoRefresh(t, s, first.RefreshToken, false)
	wantUnknown(t, s, first.AccessToken, false)
}

func TestRefreshRefusesOtherTokens(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	first := mustRegister(t, s, "example", func(r *RegisterRequest) { r.RefreshToken = true })

	_, err := s.Sessions.Refresh(t.Context(), "")
	matrixtest.WantCode(t, err, matrix.MissingParam)
	wantNoRefresh(t, s, "nonsense", false)
	wantNoRefresh(t, s, first.AccessToken, false)
	wantUnknown(t, s, first.RefreshToken, false)
}

func TestRefreshManyTimesAtOnce(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	first := mustLogin(t, s, "example", refreshable)
	results := make(chan session.Tokens, 6)
	var group sync.WaitGroup
	for range cap(results) {
		group.Go(func() {
			got, err := s.Sessions.Refresh(t.Context(), first.RefreshToken)
			if err != nil {
				t.Error(err)
			}
			results <- got
		})
	}
	group.Wait()
	close(results)

	for tokens := range results {
		mustAuthenticate(t, s, tokens.AccessToken)
	}
}

func TestRefreshWhileTheNewTokenIsTakenIntoUse(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	first := mustLogin(t, s, "example", refreshable)
	second := mustRefresh(t, s, first.RefreshToken)
	var used, repeated error
	var group sync.WaitGroup
	group.Go(func() { _, used = s.Sessions.Authenticate(t.Context(), second.AccessToken) })
	group.Go(func() { _, repeated = s.Sessions.Refresh(t.Context(), first.RefreshToken) })
	group.Wait()

	if used != nil || repeated != nil {
		t.Errorf("got %v for the use and %v for the repetition", used, repeated)
	}
}

// A client that gets the error for a device that is gone throws away its keys.
func TestSoftLogoutWasFalseForSupersededTokensOfADeviceThatLives(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	first := mustLogin(t, s, "example", refreshable, onDevice("phone"))
	second := mustRefresh(t, s, first.RefreshToken)
	mustAuthenticate(t, s, second.AccessToken)
	wantUnknown(t, s, first.AccessToken, true)

	third := mustLogin(t, s, "example", onDevice("phone"))
	wantUnknown(t, s, first.AccessToken, true)
	wantUnknown(t, s, second.AccessToken, true)

	must(t, s.Sessions.Logout(t.Context(), mustAuthenticate(t, s, third.AccessToken)))
	for _, token := range []string{first.AccessToken, second.AccessToken, third.AccessToken} {
		wantUnknown(t, s, token, false)
	}
}
