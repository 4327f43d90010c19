package auth

import (
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"homeserver/internal/auth/session"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

func TestWhoisTellsFromWhereDevicesWereSeen(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	alice := mustRegister(t, s, "alice")
	mustRegister(t, s, "bob")
	phone := mustLogin(t, s, "alice", onDevice("PHONE"))
	c.Pass(time.Minute)
	s.Sessions.Seen(mustAuthenticate(t, s, phone.AccessToken), matrix.Client{Address: netip.MustParseAddr("2001:db8::1"), UserAgent: "phone/1"})
	must(t, s.tidy(t.Context()))

	got, err := s.Sessions.Whois(t.Context(), mustAuthenticate(t, s, alice.AccessToken), alice.UserID)
	must(t, err)
	devices := slices.Sorted(maps.Keys(got.Devices))
	want := []string{"PHONE", alice.DeviceID}
	slices.Sort(want)
	if got.UserID != alice.UserID || !slices.Equal(devices, want) {
		t.Fatalf("got %+v, want the devices %v", got, want)
	}
	for device, want := range map[string]session.Connection{
		"PHONE":        {IP: "2001:db8::1", LastSeen: 1_700_000_060_000, UserAgent: "phone/1"},
		alice.DeviceID: {IP: "192.0.2.7", LastSeen: 1_700_000_000_000, UserAgent: "curl/8"},
	} {
		sessions := got.Devices[device].Sessions
		if len(sessions) != 1 || !slices.Equal(sessions[0].Connections, []session.Connection{want}) {
			t.Errorf("%s: got %+v, want %+v", device, sessions, want)
		}
	}
}

func TestWhoisIsForOneselfAndAdministrators(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	alice, bob := mustRegister(t, s, "alice"), mustRegister(t, s, "bob")
	asBob := mustAuthenticate(t, s, bob.AccessToken)
	for _, userID := range []string{alice.UserID, userID("nobody"), "@alice:elsewhere.example", "nonsense"} {
		_, err := s.Sessions.Whois(t.Context(), asBob, userID)
		matrixtest.WantCode(t, err, matrix.Forbidden)
	}
	admin := asBob
	admin.Admin = true
	got, err := s.Sessions.Whois(t.Context(), admin, alice.UserID)
	must(t, err)
	if len(got.Devices) != 1 {
		t.Errorf("got %+v", got)
	}
	for _, userID := range []string{userID("nobody"), "@alice:elsewhere.example", "nonsense"} {
		_, err := s.Sessions.Whois(t.Context(), admin, userID)
		matrixtest.WantCode(t, err, matrix.NotFound)
	}
	must(t, s.DeactivateAccount(t.Context(), "alice", false))
	got, err = s.Sessions.Whois(t.Context(), admin, alice.UserID)
	must(t, err)
	if got.Devices == nil || len(got.Devices) != 0 {
		t.Errorf("a deactivated user: got %+v", got)
	}
	if _, err := s.Sessions.Whois(canceled(t), admin, alice.UserID); err == nil {
		t.Error("a query that could not be made was not told")
	}
}
