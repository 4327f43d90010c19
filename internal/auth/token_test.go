package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestTokensAreStoredAsSHA256(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	got := mustRegister(t, s, "example")

	hash := sha256.Sum256([]byte(got.AccessToken))
	if n := count(t, s, `SELECT count(*) FROM access_tokens WHERE token_hash = $1`, hash[:]); n != 1 {
		t.Errorf("got %d rows, want 1", n)
	}
}

func TestAuthenticateRefusesUnknownTokens(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	got := mustRegister(t, s, "example")

	for _, token := range []string{"", "nonsense", "hs_", got.AccessToken + "x", "\x00\xff", strings.Repeat("x", 100_000)} {
		wantUnknown(t, s, token, false)
	}
}

func TestAuthenticateTellsWhoIsAnAdministrator(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	_, err := s.CreateAccount(t.Context(), NewAccount{Username: "root", Password: testPassword, Admin: true})
	must(t, err)

	if got := mustAuthenticate(t, s, mustLogin(t, s, "root").AccessToken); !got.Admin || got.Guest {
		t.Errorf("got %+v", got)
	}
	if got := mustAuthenticate(t, s, mustRegister(t, s, "plain").AccessToken); got.Admin || got.Guest {
		t.Errorf("got %+v", got)
	}
}

func TestAuthenticateTellsWhoIsAGuest(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	got := mustRegister(t, s, "visitor")
	_, err := s.pool.Exec(t.Context(), `UPDATE accounts SET guest = true`)
	must(t, err)

	if session := mustAuthenticate(t, s, got.AccessToken); !session.Guest {
		t.Errorf("got %+v", session)
	}
}

func TestAuthenticateAnswersFromMemory(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	got := mustRegister(t, s, "example")
	mustAuthenticate(t, s, got.AccessToken)

	// No query can run in a context that has ended.
	if _, err := s.Sessions.Authenticate(canceled(t), got.AccessToken); err != nil {
		t.Errorf("got %v, want an answer from memory", err)
	}
	c.Pass(cacheLifetime)
	if _, err := s.Sessions.Authenticate(canceled(t), got.AccessToken); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the database to be asked again", err)
	}
}

func TestAuthenticateInAnotherProcess(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	other := sibling(s)
	got := mustRegister(t, s, "example")
	session := mustAuthenticate(t, other, got.AccessToken)

	must(t, s.Sessions.Logout(t.Context(), session))

	wantUnknown(t, s, got.AccessToken, false)
	c.Pass(cacheLifetime)
	wantUnknown(t, other, got.AccessToken, false)
}

func TestAuthenticateWhileOthersLogOut(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	stays := mustRegister(t, s, "stays")
	var group sync.WaitGroup
	for _, name := range []string{"a", "b", "c"} {
		leaves := mustRegister(t, s, name)
		group.Go(func() {
			session, err := s.Sessions.Authenticate(t.Context(), leaves.AccessToken)
			if err == nil {
				err = s.Sessions.Logout(t.Context(), session)
			}
			if err != nil {
				t.Errorf("log %s out: %v", name, err)
			}
			if _, err := s.Sessions.Authenticate(t.Context(), leaves.AccessToken); err == nil {
				t.Errorf("the token of %s is good after its logout", name)
			}
		})
		group.Go(func() {
			for range 50 {
				if _, err := s.Sessions.Authenticate(t.Context(), stays.AccessToken); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

func TestAuthenticateRefusesAnExpiredToken(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t, func(o *Options) { o.AccessTokenLifetime = 20 * time.Second })
	got := mustRegister(t, s, "example", func(r *RegisterRequest) { r.RefreshToken = true })
	if got.ExpiresInMS != 20_000 {
		t.Fatalf("got a lifetime of %d ms", got.ExpiresInMS)
	}
	lasting := mustLogin(t, s, "example")
	c.Pass(19 * time.Second)
	mustAuthenticate(t, s, got.AccessToken)

	c.Pass(time.Second)
	wantUnknown(t, s, got.AccessToken, true)
	c.Pass(time.Hour)
	wantUnknown(t, s, got.AccessToken, true)
	mustAuthenticate(t, s, lasting.AccessToken)
}

func BenchmarkAuthenticateCached(b *testing.B) {
	s, _ := newTestService(b)
	got := mustRegister(b, s, "example")
	mustAuthenticate(b, s, got.AccessToken)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Sessions.Authenticate(b.Context(), got.AccessToken); err != nil {
			b.Fatal(err)
		}
	}
}
