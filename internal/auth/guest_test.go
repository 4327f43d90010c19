package auth

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/session"
	"homeserver/internal/auth/uia"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

func withGuests(o *Options) { o.GuestsEnabled = true }

func mustGuest(t testing.TB, s *Service) session.Credentials {
	t.Helper()
	got, err := s.Register(t.Context(), RegisterRequest{Kind: "guest"}, testClient)
	must(t, err)
	return got
}

// A guest needs no password, but an address of a guest counted as one that had proved one.
func TestGuestsMadeTheirAddressFamiliar(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t, withGuests)
	session := mustAuthenticate(t, s, mustGuest(t, s).AccessToken)
	c.Pass(time.Second)
	s.Sessions.Seen(session, testClient)
	must(t, s.Sessions.WriteSeen(t.Context()))
	must(t, s.Sessions.LastAddresses(t.Context(), maxRecalled, s.hasher.familiar.addSeen))
	if s.hasher.familiar.knows(testClient.Address.String()) {
		t.Error("the address of a guest is familiar")
	}
	user := mustAuthenticate(t, s, mustRegister(t, s, "example").AccessToken)
	c.Pass(time.Second)
	s.Sessions.Seen(user, testClient)
	must(t, s.Sessions.WriteSeen(t.Context()))
	if !s.hasher.familiar.knows(testClient.Address.String()) {
		t.Error("the address of a user is not familiar")
	}
}

func TestGuestNeedsNothing(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t, withGuests)
	// All of this must be ignored, but for the name of the device.
	got, err := s.Register(t.Context(), RegisterRequest{
		Kind: "guest", Username: "no good", Password: "x", DeviceID: "a\x00b", InhibitLogin: true, RefreshToken: true,
		InitialDeviceDisplayName: "Kiosk", Auth: json.RawMessage(`1`),
	}, testClient)
	must(t, err)
	session := mustAuthenticate(t, s, got.AccessToken)
	if !session.Guest || session.UserID != got.UserID || !strings.HasPrefix(got.UserID, "@guest-") || got.RefreshToken != "" {
		t.Errorf("got %+v with %+v", session, got)
	}
	device, err := s.Sessions.Device(t.Context(), got.UserID, got.DeviceID)
	if err != nil || device.DisplayName != "Kiosk" {
		t.Errorf("got %+v, %v", device, err)
	}
	if mustGuest(t, s).UserID == got.UserID {
		t.Error("two guests are one")
	}
	_, err = s.Login(t.Context(), loginRequest(got.UserID, "x"), testClient)
	matrixtest.WantCode(t, err, matrix.Forbidden)
}

func TestGuestRefusals(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	_, err := s.Register(t.Context(), RegisterRequest{Kind: "guest"}, testClient)
	if e := matrixtest.WantCode(t, err, matrix.GuestAccessForbidden); e.HTTPStatus() != 403 {
		t.Errorf("got %d", e.HTTPStatus())
	}
	open, _ := newTestService(t, withGuests, func(o *Options) {
		o.RegistrationEnabled = false
	})
	_, err = open.Register(t.Context(), RegisterRequest{Kind: "guest", InitialDeviceDisplayName: "\xff"}, testClient)
	matrixtest.WantCode(t, err, matrix.InvalidParam)
	mustGuest(t, open)
}

func TestGuestBecomesAUser(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t, withGuests)
	guest := mustGuest(t, s)
	name := strings.TrimSuffix(strings.TrimPrefix(guest.UserID, "@"), ":"+testServer)
	mustAuthenticate(t, s, guest.AccessToken)
	r := RegisterRequest{Username: name, Password: testPassword, GuestAccessToken: guest.AccessToken}
	_, err := s.Register(t.Context(), r, testClient)
	wantChallenge(t, err, "")

	r.Auth = dummyAuth
	got, err := s.Register(t.Context(), r, testClient)
	must(t, err)
	if got.UserID != guest.UserID {
		t.Errorf("got %s", got.UserID)
	}
	for _, token := range []string{got.AccessToken, guest.AccessToken} {
		if session := mustAuthenticate(t, s, token); session.Guest || session.UserID != guest.UserID {
			t.Errorf("got %+v", session)
		}
	}
	mustLogin(t, s, name)
	_, err = s.Register(t.Context(), r, testClient)
	matrixtest.WantCode(t, err, matrix.InvalidParam) // no longer a guest
}

func TestGuestUpgradeRefusals(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t, withGuests)
	guest, user := mustGuest(t, s), mustRegister(t, s, "alice")
	name := strings.TrimSuffix(strings.TrimPrefix(guest.UserID, "@"), ":"+testServer)
	for what, test := range map[string]struct {
		username, token string
		want            matrix.Code
	}{
		"no name":          {"", guest.AccessToken, matrix.MissingParam},
		"another's name":   {"alice", guest.AccessToken, matrix.InvalidParam},
		"a new name":       {"fresh", guest.AccessToken, matrix.InvalidParam},
		"a user's token":   {"alice", user.AccessToken, matrix.InvalidParam},
		"an unknown token": {name, "hs_nonsense", matrix.UnknownToken},
		"a bad name":       {"no good", guest.AccessToken, matrix.InvalidUsername},
	} {
		r := RegisterRequest{Username: test.username, GuestAccessToken: test.token, Auth: dummyAuth}
		if _, err := s.Register(t.Context(), r, testClient); !matrix.IsCode(err, test.want) {
			t.Errorf("%s: got %v, want %s", what, err, test.want)
		}
	}
	// Without the token the name is taken.
	_, err := s.Register(t.Context(), RegisterRequest{Username: name, Auth: dummyAuth}, testClient)
	matrixtest.WantCode(t, err, matrix.UserInUse)
	// Deactivated between the check and the transaction.
	must(t, s.DeactivateAccount(t.Context(), guest.UserID, false))
	_, err = s.register(t.Context(), registration{account: account.Account{UserID: guest.UserID}, upgrade: true}, testPassword, testClient, uia.Approval{})
	matrixtest.WantCode(t, err, matrix.UserInUse)
}

func TestGuestsArePickedOut(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t, withGuests)
	guest, user := mustGuest(t, s), mustRegister(t, s, "alice")
	got, err := s.Guests(t.Context(), []string{user.UserID, guest.UserID, "@unknown:test.example"})
	if err != nil || !slices.Equal(got, []string{guest.UserID}) {
		t.Errorf("got %v, %v", got, err)
	}
}
