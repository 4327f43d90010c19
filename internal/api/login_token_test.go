package api

import (
	"testing"

	"homeserver/internal/matrixtest"
)

func TestLoginToken(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	alice := c.Register("alice", "wordpass")
	const path = "/_matrix/client/v1/login/get_token"
	c.Do("POST", path, `{}`).Refused(401, "M_MISSING_TOKEN")
	challenge := alice.Do("POST", path, nil)
	if challenge.Status != 401 || challenge.String("flows", 0, "stages", 0) != "m.login.password" {
		t.Fatalf("got %d %s", challenge.Status, challenge.Body)
	}
	auth := map[string]any{"type": "m.login.password", "session": challenge.String("session"), "user": "alice", "password": "wordpass"}
	made := alice.Do("POST", path, map[string]any{"auth": auth}).OK()
	if made.At("expires_in_ms") != 120000.0 {
		t.Errorf("got %s", made.Body)
	}
	body := map[string]any{"type": "m.login.token", "token": made.String("login_token"), "device_id": "TV"}
	answer := c.Do("POST", "/login", body).OK()
	if answer.String("user_id") != alice.UserID || answer.String("device_id") != "TV" || answer.String("access_token") == "" {
		t.Errorf("got %s", answer.Body)
	}
	c.Do("POST", "/login", body).Refused(403, "M_FORBIDDEN")
	c.Do("POST", "/login", `{"type":"m.login.token"}`).Refused(400, "M_MISSING_PARAM")
	alice.Do("GET", matrixtest.Path("devices", "TV"), nil).OK()
}
