package auth

import (
	"testing"

	"homeserver/internal/auth/session"
	"homeserver/internal/matrix"
)

func TestTheOperatorLogsDevicesInWithTokensOfChoice(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	ctx := t.Context()
	alice, err := s.CreateAccount(ctx, NewAccount{Username: "alice"})
	must(t, err)
	bob, err := s.CreateAccount(ctx, NewAccount{Username: "bob"})
	must(t, err)

	got, err := s.LogIn(ctx, alice, session.NewDevice{ID: "PHONE", DisplayName: "Phone", AccessToken: "alice-token"})
	must(t, err)
	if got.UserID != alice || got.DeviceID != "PHONE" || got.AccessToken != "alice-token" {
		t.Errorf("logged in as %+v", got)
	}
	who, err := s.Sessions.Authenticate(ctx, "alice-token")
	if err != nil || who.UserID != alice || who.DeviceID != "PHONE" {
		t.Errorf("the token is that of %+v, %v", who, err)
	}
	made, err := s.LogIn(ctx, alice, session.NewDevice{})
	must(t, err)
	if made.DeviceID == "" || made.AccessToken == "" {
		t.Errorf("a device without an ID and a token got %+v", made)
	}

	for _, bad := range []struct {
		userID string
		device session.NewDevice
		want   matrix.Code
	}{
		{bob, session.NewDevice{AccessToken: "alice-token"}, matrix.InvalidParam},
		{bob, session.NewDevice{AccessToken: "\x00"}, matrix.InvalidParam},
		{bob, session.NewDevice{ID: "\x00"}, matrix.InvalidParam},
		{"@nobody:" + testServer, session.NewDevice{}, matrix.NotFound},
	} {
		if _, err := s.LogIn(ctx, bad.userID, bad.device); !matrix.IsCode(err, bad.want) {
			t.Errorf("%s with %+v: got %v, want %s", bad.userID, bad.device, err, bad.want)
		}
	}
	if devices, err := s.Sessions.Devices(ctx, bob); err != nil || len(devices) > 0 {
		t.Errorf("bob has %v, %v after logins that were refused", devices, err)
	}
}
