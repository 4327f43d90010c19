package auth

import (
	"regexp"
	"sync"
	"testing"
	"time"

	"homeserver/internal/matrix"
)

func refreshable(r *LoginRequest) { r.RefreshToken = true }

func mustRefresh(t *testing.T, s *Service, token string) Tokens {
	t.Helper()
	got, err := s.Refresh(t.Context(), token)
	if err != nil {
		t.Fatalf("refresh: %v", err)
	}
	return got
}

func wantNoRefresh(t *testing.T, s *Service, token string, soft bool) {
	t.Helper()
	_, err := s.Refresh(t.Context(), token)
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
	c.advance(2 * time.Hour)
	wantUnknown(t, s, first.AccessToken, true)

	second := mustRefresh(t, s, first.RefreshToken)

	want := Session{UserID: userID("example"), DeviceID: first.DeviceID}
	if got := mustAuthenticate(t, s, second.AccessToken); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if second.ExpiresInMS != time.Hour.Milliseconds() || second.RefreshToken == first.RefreshToken {
		t.Errorf("got %+v", second)
	}
}

func TestRefreshRevokesTheOldTokensOnceTheNewAccessTokenIsUsed(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	first := mustLogin(t, s, "example", refreshable)
	second := mustRefresh(t, s, first.RefreshToken)
	mustAuthenticate(t, s, first.AccessToken)

	mustAuthenticate(t, s, second.AccessToken)

	wantUnknown(t, s, first.AccessToken, false)
	wantNoRefresh(t, s, first.RefreshToken, true)
	mustAuthenticate(t, s, second.AccessToken)
	mustRefresh(t, s, second.RefreshToken)
}

func TestRefreshRevokesTheOldTokensOnceTheNewRefreshTokenIsUsed(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	first := mustLogin(t, s, "example", refreshable)
	second := mustRefresh(t, s, first.RefreshToken)

	third := mustRefresh(t, s, second.RefreshToken)

	wantNoRefresh(t, s, first.RefreshToken, true)
	wantUnknown(t, s, first.AccessToken, false)
	mustAuthenticate(t, s, second.AccessToken)
	mustAuthenticate(t, s, third.AccessToken)
	wantUnknown(t, s, second.AccessToken, false)
}

func TestRefreshCanBeRepeatedWhenTheAnswerWasLost(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	first := mustLogin(t, s, "example", refreshable)
	lost := mustRefresh(t, s, first.RefreshToken)

	again := mustRefresh(t, s, first.RefreshToken)

	wantUnknown(t, s, lost.AccessToken, false)
	wantNoRefresh(t, s, lost.RefreshToken, false)
	mustAuthenticate(t, s, again.AccessToken)
	mustRefresh(t, s, again.RefreshToken)
}

func TestRefreshKeepsFewTokens(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example", func(r *RegisterRequest) { r.InhibitLogin = true })
	tokens := mustLogin(t, s, "example", refreshable).Tokens
	for range 10 {
		tokens = mustRefresh(t, s, tokens.RefreshToken)
	}

	if n := count(t, s, `SELECT count(*) FROM access_tokens`); n != 2 {
		t.Errorf("got %d access tokens, want 2", n)
	}
	if n := count(t, s, `SELECT count(*) FROM refresh_tokens`); n != 3 {
		t.Errorf("got %d refresh tokens, want the new, the current and the last revoked one", n)
	}
}

func TestRefreshOfADeletedDevice(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	first := mustLogin(t, s, "example", refreshable)
	must(t, s.Logout(t.Context(), mustAuthenticate(t, s, first.AccessToken)))

	wantNoRefresh(t, s, first.RefreshToken, false)
	wantUnknown(t, s, first.AccessToken, false)
}

func TestRefreshRefusesOtherTokens(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	first := mustRegister(t, s, "example", func(r *RegisterRequest) { r.RefreshToken = true })

	_, err := s.Refresh(t.Context(), "")
	wantCode(t, err, matrix.MissingParam)
	wantNoRefresh(t, s, "nonsense", false)
	wantNoRefresh(t, s, first.AccessToken, false)
	wantUnknown(t, s, first.RefreshToken, false)
}

func TestRefreshManyTimesAtOnce(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	first := mustLogin(t, s, "example", refreshable)
	results := make(chan Tokens, 6)
	var group sync.WaitGroup
	for range cap(results) {
		group.Go(func() {
			got, err := s.Refresh(t.Context(), first.RefreshToken)
			if err != nil {
				t.Error(err)
			}
			results <- got
		})
	}
	group.Wait()
	close(results)

	good := 0
	for tokens := range results {
		if _, err := s.Authenticate(t.Context(), tokens.AccessToken); err == nil {
			good++
		}
	}
	if good != 1 {
		t.Errorf("%d of the access tokens are good, want that of the last answer", good)
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
	group.Go(func() { _, used = s.Authenticate(t.Context(), second.AccessToken) })
	group.Go(func() { _, repeated = s.Refresh(t.Context(), first.RefreshToken) })
	group.Wait()

	if (used == nil) == (repeated == nil) {
		t.Errorf("got %v for the use and %v for the repetition, want exactly one to succeed", used, repeated)
	}
}
