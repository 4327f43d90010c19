package server

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
	"homeserver/internal/server/config"
)

// TestSecretsStayOutOfTheLog does what has to do with passwords and tokens, rightly
// and wrongly, and then looks for them in a log that leaves out nothing.
func TestSecretsStayOutOfTheLog(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	open := true
	cfg.Registration = config.Registration{Enabled: &open, SharedSecret: "sharedsecret-0123"}
	cfg.Guests.Enabled = &open
	cfg.Turn.URIs, cfg.Turn.SharedSecret = []string{"turn:localhost"}, "turnsecret-0123"
	log := &syncBuffer{}
	s, err := Start(t.Context(), cfg, slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutDown(t, s) })
	c := clientAt(t, s, 0)

	secrets := []string{"sharedsecret-0123", "turnsecret-0123", "password-0123", "password-4567", "wrongword-0123", "guessed-0123", "words-in-a-message"}
	// note remembers every token that an answer holds.
	note := func(answer *matrixtest.Response) *matrixtest.Response {
		var fields map[string]any
		if json.Unmarshal(answer.Body, &fields) != nil {
			return answer
		}
		for _, name := range []string{"access_token", "refresh_token", "login_token", "session", "nonce", "password"} {
			if value, ok := fields[name].(string); ok && len(value) > 8 {
				secrets = append(secrets, value)
			}
		}
		return answer
	}
	registration := `{"username":"alice","password":"password-0123","refresh_token":true`
	session := note(c.Do("POST", "/register", registration+"}")).String("session")
	alice := note(c.Do("POST", "/register", registration+`,"auth":{"type":"m.login.dummy","session":"`+session+`"}}`)).OK()
	token, refresh := alice.String("access_token"), alice.String("refresh_token")
	login := `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"alice"},"password":"`
	note(c.Do("POST", "/login", login+`password-0123","refresh_token":true}`)).OK()
	c.Do("POST", "/login", login+`wrongword-0123"}`).Refused(http.StatusForbidden, "M_FORBIDDEN")
	c.Do("POST", "/login", `{"password":"password-0123`).Refused(http.StatusBadRequest, "M_NOT_JSON")
	c.Do("POST", "/login", `{"type":"m.login.token","token":"guessed-0123"}`).Refused(http.StatusForbidden, "M_FORBIDDEN")
	c.Do("GET", "/account/whoami?access_token="+token, nil).OK()
	c.Do("GET", "/account/whoami?access_token=guessed-0123", nil).Refused(http.StatusUnauthorized, "M_UNKNOWN_TOKEN")
	c.Do("GET", "/nowhere?access_token="+token, nil).Refused(http.StatusNotFound, "M_UNRECOGNIZED")
	c.Do("PATCH", "/login?access_token="+token, nil).Refused(http.StatusMethodNotAllowed, "M_UNRECOGNIZED")
	c.Do("GET", "/sync?access_token="+token+"&since=%00", nil)
	c.Do("POST", "/refresh", `{"refresh_token":"guessed-0123"}`).Refused(http.StatusUnauthorized, "M_UNKNOWN_TOKEN")
	renewed := note(c.Do("POST", "/refresh", `{"refresh_token":"`+refresh+`"}`)).OK().String("access_token")
	c.Token = renewed
	room := c.CreateRoom(map[string]any{"name": "words-in-a-message"})
	c.SendText(room, "words-in-a-message")
	c.Do("GET", "/sync", nil).OK()
	note(c.Do("POST", "/user/@alice:localhost/openid/request_token", `{}`)).OK()
	note(c.Do("GET", "/voip/turnServer", nil)).OK()
	asked := note(c.Do("POST", "/account/password", `{"new_password":"password-4567"}`)).String("session")
	c.Do("POST", "/account/password", `{"new_password":"password-4567","auth":{"type":"m.login.password","session":"`+asked+
		`","identifier":{"type":"m.id.user","user":"alice"},"password":"password-0123"}}`).OK()
	note(c.Do("POST", "/register?kind=guest", `{}`)).OK()
	note(c.Do("GET", "/_synapse/admin/v1/register", nil)).OK()
	c.Do("POST", "/_synapse/admin/v1/register", `{"nonce":"guessed-0123","username":"root","password":"password-0123","admin":true,"mac":"guessed-0123"}`)

	logged := log.String()
	if strings.Count(logged, "\n") < 20 {
		t.Fatalf("little was logged:\n%s", logged)
	}
	if len(secrets) < 15 {
		t.Fatalf("only %d secrets were looked for", len(secrets))
	}
	for _, secret := range secrets {
		if at := strings.Index(logged, secret); at >= 0 {
			t.Errorf("%q stands in the log: %s", secret, logged[max(0, at-300):min(len(logged), at+100)])
		}
	}
}
