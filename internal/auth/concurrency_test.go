package auth

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"homeserver/internal/auth/session"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

// atOnce runs functions at the same time and waits for all of them.
func atOnce(functions ...func()) {
	start := make(chan struct{})
	var group sync.WaitGroup
	for _, f := range functions {
		group.Go(func() {
			<-start
			f()
		})
	}
	close(start)
	group.Wait()
}

// wantNilOr checks that an operation succeeded, or failed with one of the codes.
func wantNilOr(t *testing.T, what string, err error, codes ...matrix.Code) {
	t.Helper()
	if err == nil {
		return
	}
	for _, code := range codes {
		if matrix.IsCode(err, code) {
			return
		}
	}
	t.Errorf("%s: %v", what, err)
}

func TestNobodyIsLoggedInAfterADeactivation(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	for i := range 5 {
		name := fmt.Sprintf("user%d", i)
		own := mustRegister(t, s, name, func(r *RegisterRequest) { r.RefreshToken = true })
		var loggedIn session.Credentials
		var refreshed session.Tokens
		var login, refresh, deactivated error
		atOnce(
			func() { loggedIn, login = s.Login(t.Context(), loginRequest(name, testPassword), testClient) },
			func() { refreshed, refresh = s.Sessions.Refresh(t.Context(), own.RefreshToken) },
			func() { deactivated = s.DeactivateAccount(t.Context(), name, false) },
		)
		must(t, deactivated)
		wantNilOr(t, "log in", login, matrix.Forbidden, matrix.UserDeactivated)
		wantNilOr(t, "refresh", refresh, matrix.UnknownToken)

		for _, token := range []string{own.AccessToken, loggedIn.AccessToken, refreshed.AccessToken} {
			wantUnknown(t, s, token, false)
		}
	}
	if n := count(t, s, `SELECT (SELECT count(*) FROM devices) + (SELECT count(*) FROM access_tokens)`); n != 0 {
		t.Errorf("%d devices and tokens are left", n)
	}
}

func TestNobodyWithTheOldPasswordIsLoggedInAfterAChange(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example", func(r *RegisterRequest) { r.InhibitLogin = true })
	for i := range 5 {
		var loggedIn session.Credentials
		var login, changed error
		must(t, s.SetPassword(t.Context(), "example", testPassword, true))
		atOnce(
			func() { loggedIn, login = s.Login(t.Context(), loginRequest("example", testPassword), testClient) },
			func() { changed = s.SetPassword(t.Context(), "example", fmt.Sprint("new", i), true) },
		)
		must(t, changed)
		wantNilOr(t, "log in", login, matrix.Forbidden)
		wantUnknown(t, s, loggedIn.AccessToken, false)
	}
	if n := count(t, s, `SELECT count(*) FROM devices`); n != 0 {
		t.Errorf("%d devices are left", n)
	}
}

func TestDeletingDevicesWhileTheyAreRefreshedAndSeen(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	mustRegister(t, s, "example", func(r *RegisterRequest) { r.DeviceID = "keeps" })
	var ids []string
	functions := []func(){}
	for i := range 6 {
		got := mustLogin(t, s, "example", refreshable, onDevice(fmt.Sprint("d", i)))
		ids = append(ids, got.DeviceID)
		session := mustAuthenticate(t, s, got.AccessToken)
		functions = append(functions, func() {
			tokens, err := s.Sessions.Refresh(t.Context(), got.RefreshToken)
			wantNilOr(t, "refresh", err, matrix.UnknownToken)
			_, err = s.Sessions.Authenticate(t.Context(), tokens.AccessToken)
			wantNilOr(t, "authenticate", err, matrix.UnknownToken)
		}, func() {
			s.Sessions.Seen(session, testClient)
			wantNilOr(t, "write when it was seen", s.Sessions.WriteSeen(t.Context()))
		})
	}
	c.Pass(1)
	session := matrix.Session{UserID: userID("example"), DeviceID: "keeps"}
	auth := passwordAuth(t, "example", testPassword, "")
	functions = append(functions,
		func() { wantNilOr(t, "delete", s.Sessions.DeleteDevices(t.Context(), session, ids[:4], auth)) },
		func() { wantNilOr(t, "delete", s.Sessions.DeleteDevices(t.Context(), session, ids[2:], auth)) },
	)
	atOnce(functions...)

	if n := count(t, s, `SELECT count(*) FROM devices`); n != 1 {
		t.Errorf("got %d devices, want the one that was not deleted", n)
	}
}

func TestOneDeviceLoggedInAndOutAtOnce(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example", func(r *RegisterRequest) { r.InhibitLogin = true })
	session := matrix.Session{UserID: userID("example"), DeviceID: "phone"}
	functions := []func(){}
	for range 4 {
		functions = append(functions,
			func() {
				r := loginRequest("example", testPassword)
				r.DeviceID = "phone"
				_, err := s.Login(t.Context(), r, testClient)
				wantNilOr(t, "log in", err)
			},
			func() { wantNilOr(t, "log out", s.Sessions.Logout(t.Context(), session)) },
		)
	}
	atOnce(functions...)

	devices, tokens := count(t, s, `SELECT count(*) FROM devices`), count(t, s, `SELECT count(*) FROM access_tokens WHERE void_at IS NULL`)
	if devices > 1 || tokens != devices {
		t.Errorf("got %d devices with %d tokens", devices, tokens)
	}
}

func TestTwoDeactivationsAtOnce(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	auth := passwordAuth(t, "example", testPassword, "")
	results := make([]error, 2)
	deactivate := func(i int) func() {
		return func() {
			_, results[i] = s.Deactivate(t.Context(), matrix.Session{}, DeactivateRequest{Auth: auth})
		}
	}
	atOnce(deactivate(0), deactivate(1))

	if results[0] != nil && results[1] != nil {
		t.Errorf("neither succeeded: %v", errors.Join(results...))
	}
	for _, err := range results {
		wantNilOr(t, "deactivate", err, matrix.UserDeactivated)
	}
}

func TestCreatingOneAccountByTwoProcesses(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	other := sibling(s)
	results := make([]error, 2)
	create := func(i int, by *Service) func() {
		return func() { _, results[i] = by.CreateAccount(t.Context(), NewAccount{Username: "one"}) }
	}
	atOnce(create(0, s), create(1, other))

	if (results[0] == nil) == (results[1] == nil) {
		t.Fatalf("got %v, want exactly one to succeed", results)
	}
	matrixtest.WantCode(t, errors.Join(results...), matrix.UserInUse)
}
