package oauth

import (
	"net/url"
	"testing"
	"time"

	"homeserver/internal/auth"
	"homeserver/internal/auth/uia"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// What nobody uses any more is removed, but never a client with a device.
func TestWhatIsNotUsedIsForgotten(t *testing.T) {
	t.Parallel()
	var clock matrixtest.Clock
	pool := postgrestest.New(t)
	stages := uia.New(pool, clock.Now)
	accounts := auth.New(pool, auth.Options{ServerName: "localhost", Stages: stages, Argon: auth.ArgonParams{MemoryKiB: 64, Passes: 1, Threads: 1}, Now: clock.Now})
	s := New(Options{Pool: pool, Accounts: accounts, Stages: stages, BaseURL: "http://localhost:8008", ServerName: "localhost", Now: clock.Now})
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	userID, err := accounts.CreateAccount(t.Context(), auth.NewAccount{Username: "alice", Password: "wordpass"})
	ok(err)
	register := func(name string) RegisteredClient {
		made, err := s.RegisterClient(t.Context(), Client{ClientName: name, ClientURI: "https://example.org/", GrantTypes: []string{GrantDeviceCode}})
		ok(err)
		return made
	}
	used, unused := register("Used"), register("Unused")
	begun, err := s.AuthorizeDevice(t.Context(), url.Values{"client_id": {used.ClientID}, "scope": {scopeAPI + " " + scopeDevice + "DEVICE1234"}})
	ok(err)
	cookie, err := s.SignIn(t.Context(), "alice", "wordpass")
	ok(err)
	browser, err := s.Browser(t.Context(), cookie)
	ok(err)
	if browser.UserID != userID || !s.IsFresh(browser) {
		t.Errorf("got %+v", browser)
	}
	ok(s.DecideDevice(t.Context(), browser, begun.UserCode, true))
	tokens, err := s.Exchange(t.Context(), url.Values{"grant_type": {GrantDeviceCode}, "device_code": {begun.DeviceCode}, "client_id": {used.ClientID}}, matrix.Client{})
	ok(err)

	clock.Pass(clientMemory + time.Hour)
	ok(s.tidy(t.Context()))

	if browser, err = s.Browser(t.Context(), cookie); err != nil || browser.UserID != "" {
		t.Errorf("the browser is signed in for ever: %+v (%v)", browser, err)
	}
	if _, err := findClient(t.Context(), pool, unused.ClientID); err == nil {
		t.Error("a client without a device is kept")
	}
	_, err = s.Exchange(t.Context(), url.Values{"grant_type": {GrantRefreshToken}, "refresh_token": {tokens.RefreshToken}, "client_id": {used.ClientID}}, matrix.Client{})
	ok(err)
}
