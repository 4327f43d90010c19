package api

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

// passwordOf returns an auth object with a password.
func passwordOf(user, password string) map[string]any {
	return map[string]any{
		"type": "m.login.password", "password": password,
		"identifier": map[string]any{"type": "m.id.user", "user": user},
	}
}

// asksForPassword fails the test unless the answer asks for interactive
// authentication by password.
func asksForPassword(t *testing.T, answer *matrixtest.Response) {
	t.Helper()
	flows := any([]any{map[string]any{"stages": []any{"m.login.password"}}})
	if answer.Status != 401 || !cmp.Equal(flows, answer.At("flows")) || answer.String("session") == "" {
		t.Errorf("got %d %s", answer.Status, answer.Body)
	}
}

func TestWhoami(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	want := map[string]any{"user_id": "@alice:localhost", "device_id": alice.DeviceID, "is_guest": false}
	if diff := cmp.Diff(any(want), alice.Do("GET", "/account/whoami", nil).OK().At()); diff != "" {
		t.Error(diff)
	}
}

func TestChangePassword(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	alice := c.Register("alice", "wordpass")
	other := c.Login("alice", "wordpass")
	asksForPassword(t, alice.Do("POST", "/account/password", `{"new_password":"better"}`))
	wrong := alice.Do("POST", "/account/password", map[string]any{"new_password": "better", "auth": passwordOf("alice", "wrong")})
	asksForPassword(t, wrong)
	wrong.Refused(401, "M_FORBIDDEN")
	alice.Do("POST", "/account/password", `{}`).Refused(400, "M_MISSING_PARAM")
	alice.Do("POST", "/account/password", `{"new_password":"x","logout_devices":1}`).Refused(400, "M_BAD_JSON")

	alice.Do("POST", "/account/password", map[string]any{"new_password": "better", "auth": passwordOf("alice", "wordpass")}).OK()
	alice.Do("GET", "/account/whoami", nil).OK()
	other.Do("GET", "/account/whoami", nil).Refused(401, "M_UNKNOWN_TOKEN")
	c.Login("alice", "better")
}

func TestChangePasswordWithoutToken(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	c.Register("alice", "wordpass")
	asksForPassword(t, c.Do("POST", "/account/password", `{"new_password":"better"}`))
	c.Do("POST", "/account/password", map[string]any{"new_password": "better", "auth": passwordOf("alice", "wordpass")}).OK()
	c.Login("alice", "better")
}

func TestDeactivate(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	alice := c.Register("alice", "wordpass")
	asksForPassword(t, alice.Do("POST", "/account/deactivate", `{}`))
	answer := alice.Do("POST", "/account/deactivate", map[string]any{"auth": passwordOf("@alice:localhost", "wordpass"), "erase": false}).OK()
	if got := answer.String("id_server_unbind_result"); got != "success" {
		t.Errorf("id_server_unbind_result %q", got)
	}
	alice.Do("GET", "/account/whoami", nil).Refused(401, "M_UNKNOWN_TOKEN")
	c.Do("POST", "/login", map[string]any{"type": "m.login.password", "user": "alice", "password": "wordpass"}).Refused(403, "M_USER_DEACTIVATED")
	c.Do("GET", "/register/available?username=alice", nil).Refused(400, "M_USER_IN_USE")
}
