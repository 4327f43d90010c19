package session

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
	"homeserver/internal/auth/uia"
	"homeserver/internal/matrix"
	"homeserver/internal/postgres/postgrestest"
)

// Most of what sessions do is tested where people log in: in internal/auth.

func TestMain(m *testing.M) { postgrestest.Main(m) }

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newService makes a service on a database of its own, with a device that is logged in.
func newService(t testing.TB) (*Service, Credentials) {
	t.Helper()
	pool := postgrestest.New(t)
	now := func() time.Time { return time.UnixMilli(1_700_000_000_000) }
	s := New(Options{Pool: pool, ServerName: "localhost", Stages: uia.New(pool, now), Now: now})
	var got Credentials
	ok(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		err := account.Insert(t.Context(), tx, account.Account{UserID: "@example:localhost"}, s.nowMS())
		if err == nil {
			got, _, err = s.Begin(t.Context(), tx, "@example:localhost", NewDevice{}, matrix.Client{})
		}
		return err
	}))
	return s, got
}

func TestAuthenticateRefusesATokenThatWasRevokedWhileItWasRead(t *testing.T) {
	t.Parallel()
	s, got := newService(t)
	hash := secret.HashOf(got.AccessToken)
	_, version, _ := s.cache.get(hash, s.o.Now())
	read, err := s.loadToken(t.Context(), hash)
	ok(t, err)
	ok(t, s.Logout(t.Context(), read.session))

	s.cache.put(hash, read, version, s.o.Now())

	if _, err := s.Authenticate(t.Context(), got.AccessToken); !matrix.IsCode(err, matrix.UnknownToken) {
		t.Errorf("got %v", err)
	}
}

// What a request has found when its token ends is for nobody any more.
func TestAnAnswerCameAfterItsTokenHadEnded(t *testing.T) {
	t.Parallel()
	s, got := newService(t)
	waiting, end, err := s.Watch(t.Context(), got.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.LogoutAll(t.Context(), got.UserID); err != nil {
		t.Fatal(err)
	}
	if <-waiting.Done(); !matrix.IsCode(end(), matrix.UnknownToken) {
		t.Error("the answer is for somebody")
	}
	if _, _, err := s.Watch(t.Context(), got.AccessToken); !matrix.IsCode(err, matrix.UnknownToken) {
		t.Errorf("got %v", err)
	}
	if len(s.watches.waiting) != 0 || len(s.watches.byToken) != 0 {
		t.Error("the request is remembered")
	}
}

func TestTokensThatCanBeRefreshedLiveForAnHour(t *testing.T) {
	t.Parallel()
	if got := New(Options{}).o.AccessTokenLifetime; got != time.Hour {
		t.Errorf("got %v", got)
	}
}
