package api

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/auth"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

func TestRegisterAsInTheTutorial(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	c.Prefix = "/_matrix/client/r0"
	answer := c.Do("POST", "/register", `{"username":"example","password":"wordpass","auth":{"type":"m.login.dummy"}}`).OK()
	if answer.String("user_id") != "@example:localhost" || answer.String("home_server") != "localhost" ||
		answer.String("access_token") == "" || answer.String("device_id") == "" {
		t.Errorf("got %s", answer.Body)
	}
	c.Token = answer.String("access_token")
	if got := c.Do("GET", "/account/whoami", nil).OK().String("device_id"); got != answer.String("device_id") {
		t.Errorf("device %q", got)
	}
}

func TestRegisterWithoutAuthAsksForIt(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	answer := c.Do("POST", "/register", `{"username":"example","password":"wordpass"}`)
	if answer.Status != 401 || answer.Errcode() != "" {
		t.Errorf("got %d %s", answer.Status, answer.Body)
	}
	if diff := cmp.Diff(any([]any{map[string]any{"stages": []any{"m.login.dummy"}}}), answer.At("flows")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(any(map[string]any{}), answer.At("params")); diff != "" {
		t.Error(diff)
	}
	session := answer.String("session")
	if session == "" {
		t.Fatalf("no session: %s", answer.Body)
	}
	failed := c.Do("POST", "/register", map[string]any{"auth": map[string]any{"type": "m.login.magic"}})
	if failed.Status != 401 || failed.Errcode() == "" || failed.At("flows") == nil {
		t.Errorf("a stage that isn't there: got %d %s", failed.Status, failed.Body)
	}
}

func TestRegisterVariants(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	inhibited := c.Do("POST", "/register", `{"username":"one","inhibit_login":true,"auth":{"type":"m.login.dummy"}}`).OK()
	if diff := cmp.Diff(any(map[string]any{"user_id": "@one:localhost", "home_server": "localhost"}), inhibited.At()); diff != "" {
		t.Error(diff)
	}
	device := c.Do("POST", "/register", `{"device_id":"PHONE","initial_device_display_name":"Phone","auth":{"type":"m.login.dummy"}}`).OK()
	c.Token = device.String("access_token")
	if got := c.Do("GET", "/devices/PHONE", nil).OK().String("display_name"); got != "Phone" {
		t.Errorf("display name %q", got)
	}
}

func TestRegisterRefusals(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	c.Register("taken", "wordpass")
	for body, code := range map[string]string{
		`{"username":"taken"}`:                            "M_USER_IN_USE",
		`{"username":"with space"}`:                       "M_INVALID_USERNAME",
		`{"username":"` + strings.Repeat("a", 250) + `"}`: "M_INVALID_USERNAME",
		`{"username":5}`:                                  "M_BAD_JSON",
		`{"username":"nul\u0000"}`:                        "M_BAD_JSON",
		`{"inhibit_login":"yes"}`:                         "M_BAD_JSON",
		`{"auth":"dummy"}`:                                "M_BAD_JSON",
	} {
		c.Do("POST", "/register", body).Refused(400, code)
	}
	c.Do("POST", "/register?kind=ghost", `{}`).Refused(400, "M_INVALID_PARAM")
}

func TestRegisterAvailable(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	c.Register("taken", "wordpass")
	if got := c.Do("GET", "/register/available?username=free", nil).OK().At("available"); got != true {
		t.Errorf("available: %v", got)
	}
	c.Do("GET", "/register/available?username=taken", nil).Refused(400, "M_USER_IN_USE")
	c.Do("GET", "/register/available?username=%C3%BC", nil).Refused(400, "M_INVALID_USERNAME")
	c.Do("GET", "/register/available", nil).Refused(400, "M_MISSING_PARAM")
}

// proof returns the proof of knowing the shared secret.
func proof(parts ...string) string {
	mac := hmac.New(sha1.New, []byte(sharedSecret))
	mac.Write([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(mac.Sum(nil))
}

func TestRegisterWithSharedSecret(t *testing.T) {
	t.Parallel()
	const path = "/_synapse/admin/v1/register"
	c := newServer(t)
	nonce := c.Do("GET", path, nil).OK().String("nonce")
	admin := map[string]any{
		"nonce": nonce, "username": "boss", "password": "wordpass", "admin": true, "user_type": nil,
		"mac": proof(nonce, "boss", "wordpass", "admin"),
	}
	if got := c.Do("POST", path, admin).OK().String("user_id"); got != "@boss:localhost" {
		t.Errorf("user %q", got)
	}
	c.Do("POST", path, admin).Refused(400, "M_UNKNOWN")
	c.Login("boss", "wordpass")

	nonce = c.Do("GET", path, nil).OK().String("nonce")
	c.Do("POST", path, map[string]any{
		"nonce": nonce, "username": "boss2", "password": "wordpass", "admin": true,
		"mac": proof(nonce, "boss2", "wordpass", "notadmin"),
	}).Refused(403, "M_FORBIDDEN")
	c.Do("POST", path, `{}`).Refused(400, "M_MISSING_PARAM")
	c.Do("POST", path, `{"admin":"yes"}`).Refused(400, "M_BAD_JSON")
	c.Do("PUT", path, `{}`).Refused(405, "M_UNRECOGNIZED")
}

func TestRegisterWithoutASharedSecret(t *testing.T) {
	t.Parallel()
	opts := services(t)
	opts.Auth = auth.New(postgrestest.New(t), auth.Options{ServerName: "localhost"})
	c := matrixtest.New(t, newAPI(t, opts).Handler())
	c.Do("GET", "/_synapse/admin/v1/register", nil).Refused(400, "M_UNKNOWN")
	c.Do("POST", "/register", `{}`).Refused(403, "M_FORBIDDEN")
}
