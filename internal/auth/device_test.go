package auth

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"homeserver/internal/auth/session"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

func deviceIDs(t *testing.T, s *Service, user string) []string {
	t.Helper()
	devices, err := s.Sessions.Devices(t.Context(), user)
	must(t, err)
	ids := []string{}
	for _, d := range devices {
		ids = append(ids, d.DeviceID)
	}
	return ids
}

// threeDevices makes a user with devices a, b and c, and returns their tokens.
func threeDevices(t *testing.T, s *Service) (a, b, c session.Credentials) {
	t.Helper()
	a = mustRegister(t, s, "example", func(r *RegisterRequest) { r.DeviceID = "a" })
	b, c = mustLogin(t, s, "example", onDevice("b")), mustLogin(t, s, "example", onDevice("c"))
	for _, each := range []session.Credentials{a, b, c} {
		mustAuthenticate(t, s, each.AccessToken)
	}
	return a, b, c
}

func TestDevicesListsTheOwnersOnly(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	threeDevices(t, s)
	mustRegister(t, s, "another", func(r *RegisterRequest) { r.DeviceID = "d" })

	if got := deviceIDs(t, s, userID("example")); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("got %v", got)
	}
	if got := deviceIDs(t, s, userID("nobody")); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	_, err := s.Sessions.Device(t.Context(), userID("example"), "d")
	matrixtest.WantCode(t, err, matrix.NotFound)
}

func TestDeviceJSON(t *testing.T) {
	t.Parallel()
	body, err := json.Marshal([]session.Device{
		{DeviceID: "A", DisplayName: "n", LastSeenIP: "1.2.3.4", LastSeenTS: 5}, {DeviceID: "B", LastSeenTS: 6},
	})
	must(t, err)
	want := `[{"device_id":"A","display_name":"n","last_seen_ip":"1.2.3.4","last_seen_ts":5},{"device_id":"B","display_name":null,"last_seen_ip":null,"last_seen_ts":6}]`
	if string(body) != want {
		t.Errorf("got %s, want %s", body, want)
	}
}

func TestRenameDevice(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	user := mustRegister(t, s, "example", func(r *RegisterRequest) { r.DeviceID = "a" }).UserID
	mustRegister(t, s, "another", func(r *RegisterRequest) { r.DeviceID = "b" })
	steps := []struct {
		name *string
		want string
	}{{new("New"), "New"}, {nil, "New"}, {new(strings.Repeat("x", 255)), strings.Repeat("x", 255)}, {new(""), ""}}
	for _, step := range steps {
		must(t, s.Sessions.RenameDevice(t.Context(), user, "a", step.name))
		if got, err := s.Sessions.Device(t.Context(), user, "a"); err != nil || string(got.DisplayName) != step.want {
			t.Errorf("got %+v, %v, want %q", got, err, step.want)
		}
	}

	for _, id := range []string{"b", "unknown", "", "\x00", "\xff", strings.Repeat("x", 300)} {
		matrixtest.WantCode(t, s.Sessions.RenameDevice(t.Context(), user, id, new("x")), matrix.NotFound)
		matrixtest.WantCode(t, s.Sessions.RenameDevice(t.Context(), user, id, nil), matrix.NotFound)
		_, err := s.Sessions.Device(t.Context(), user, id)
		matrixtest.WantCode(t, err, matrix.NotFound)
	}
	for _, name := range []string{strings.Repeat("x", 256), "a\x00b", "\xff"} {
		matrixtest.WantCode(t, s.Sessions.RenameDevice(t.Context(), user, "a", &name), matrix.InvalidParam)
	}
}

func TestDeleteDevice(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	a, b, c := threeDevices(t, s)
	session := mustAuthenticate(t, s, a.AccessToken)
	first := wantChallenge(t, s.Sessions.DeleteDevice(t.Context(), session, "b", nil), "").Session
	mustAuthenticate(t, s, b.AccessToken)

	auth := passwordAuth(t, "example", testPassword, first)
	matrixtest.WantCode(t, s.Sessions.DeleteDevice(t.Context(), session, "c", auth), matrix.Forbidden)
	must(t, s.Sessions.DeleteDevice(t.Context(), session, "b", auth))

	wantUnknown(t, s, b.AccessToken, false)
	mustAuthenticate(t, s, a.AccessToken)
	mustAuthenticate(t, s, c.AccessToken)
	if got := deviceIDs(t, s, a.UserID); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("got %v", got)
	}
}

func TestDeleteDeviceThatIsUnknownOrOfAnother(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	session := mustAuthenticate(t, s, mustRegister(t, s, "example").AccessToken)
	another := mustRegister(t, s, "another", func(r *RegisterRequest) { r.DeviceID = "theirs" })

	for _, id := range []string{"unknown", "theirs"} {
		must(t, s.Sessions.DeleteDevice(t.Context(), session, id, passwordAuth(t, "example", testPassword, "")))
	}
	mustAuthenticate(t, s, another.AccessToken)
	for _, id := range []string{"", "\x00", "\xff"} {
		matrixtest.WantCode(t, s.Sessions.DeleteDevice(t.Context(), session, id, nil), matrix.InvalidParam)
	}
}

func TestDeleteDevices(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	a, b, c := threeDevices(t, s)
	session := mustAuthenticate(t, s, a.AccessToken)
	ids := []string{"a", "b", "unknown", "b", "\x00", "\xff"}

	wantChallenge(t, s.Sessions.DeleteDevices(t.Context(), session, ids, nil), "")
	wantChallenge(t, s.Sessions.DeleteDevices(t.Context(), session, ids, passwordAuth(t, "example", "wrong", "")), matrix.Forbidden)
	must(t, s.Sessions.DeleteDevices(t.Context(), session, ids, passwordAuth(t, "example", testPassword, "")))

	wantUnknown(t, s, a.AccessToken, false)
	wantUnknown(t, s, b.AccessToken, false)
	mustAuthenticate(t, s, c.AccessToken)
	must(t, s.Sessions.DeleteDevices(t.Context(), session, nil, passwordAuth(t, "example", testPassword, "")))
	mustAuthenticate(t, s, c.AccessToken)
}

func TestLogout(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	a, b, _ := threeDevices(t, s)

	must(t, s.Sessions.Logout(t.Context(), mustAuthenticate(t, s, a.AccessToken)))

	wantUnknown(t, s, a.AccessToken, false)
	mustAuthenticate(t, s, b.AccessToken)
	if got := deviceIDs(t, s, a.UserID); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("got %v", got)
	}
}

func TestLogoutAll(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	a, b, c := threeDevices(t, s)
	another := mustRegister(t, s, "another")

	must(t, s.Sessions.LogoutAll(t.Context(), a.UserID))

	for _, each := range []session.Credentials{a, b, c} {
		wantUnknown(t, s, each.AccessToken, false)
	}
	mustAuthenticate(t, s, another.AccessToken)
	if got := deviceIDs(t, s, a.UserID); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	mustLogin(t, s, "example")
}

func TestLogoutOfAllWhileLoggingIn(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			got, err := s.Login(t.Context(), loginRequest("example", testPassword), testClient)
			if err != nil {
				t.Error(err)
				return
			}
			_, err = s.Sessions.Authenticate(t.Context(), got.AccessToken)
			if e, ok := errors.AsType[*matrix.Error](err); err != nil && (!ok || e.Code != matrix.UnknownToken) {
				t.Error(err)
			}
		})
		group.Go(func() {
			if err := s.Sessions.LogoutAll(t.Context(), userID("example")); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()

	devices := count(t, s, `SELECT count(*) FROM devices`)
	tokens := count(t, s, `SELECT count(*) FROM access_tokens`)
	if devices != tokens {
		t.Errorf("got %d devices with %d tokens, want one for each", devices, tokens)
	}
}
