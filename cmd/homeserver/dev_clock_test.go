package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"homeserver/internal/matrixtest"
)

func TestDevMovesItsClock(t *testing.T) {
	t.Parallel()
	const clock = "/_homeserver/dev/clock"
	c := controlledDev(t)
	alice, bob := c.Login("alice", "wordpass"), c.Login("bob", "wordpass")
	room := alice.CreateRoom(map[string]any{"preset": "public_chat"})
	bob.Join(room)

	answer := c.Do("POST", "/login", map[string]any{
		"type": "m.login.password", "user": "alice", "password": "wordpass", "refresh_token": true,
	}).OK()
	short := *alice
	short.Token = answer.String("access_token")
	short.Do("GET", "/account/whoami", nil).OK()
	alice.Do("PUT", "/rooms/"+room+"/typing/"+alice.UserID, `{"typing":true,"timeout":100000}`).OK()
	alice.Do("PUT", "/_matrix/client/v3/rooms/"+room+"/send/m.room.message/1?org.matrix.msc4140.delay=3000000", `{"body":"later"}`).OK()
	since := bob.SyncUntil("", func(r *matrixtest.Response) bool {
		return r.At("rooms", "join", room, "ephemeral", "events", 0, "content", "user_ids", 0) == alice.UserID
	}).NextBatch()

	spoken := alice.SendText(room, "before")
	c.Do("POST", clock, `{"advance_ms":3600000}`).OK()
	if age, _ := alice.Do("GET", "/rooms/"+room+"/event/"+spoken, nil).OK().At("unsigned", "age").(float64); age < 3_600_000 {
		t.Errorf("an event of an hour ago has the age %v", age)
	}
	later := false
	bob.SyncUntil(since, func(r *matrixtest.Response) bool {
		for _, e := range r.Timeline(room) {
			later = later || e.Body() == "later"
		}
		return later
	})
	if got := bob.Sync("").OK(); got.At("rooms", "join", room, "ephemeral", "events", 0, "content", "user_ids", 0) == alice.UserID {
		t.Errorf("alice is still typing: %s", got.Body)
	}
	refused := short.Do("GET", "/account/whoami", nil)
	if refused.Refused(401, "M_UNKNOWN_TOKEN"); refused.At("soft_logout") != true {
		t.Errorf("got %s", refused.Body)
	}
	c.Do("POST", clock, `{"set":"2035-01-31T12:00:00Z"}`).OK()
	for body, errcode := range map[string]string{
		`{}`:                             "M_MISSING_PARAM",
		`{"advance_ms":1,"set":"x"}`:     "M_MISSING_PARAM",
		`{"advance_ms":-1}`:              "M_INVALID_PARAM",
		`{"advance_ms":1e15}`:            "M_INVALID_PARAM",
		`{"advance_ms":"1"}`:             "M_BAD_JSON",
		`{"set":"tomorrow"}`:             "M_INVALID_PARAM",
		`{"set":"2020-01-01T00:00:00Z"}`: "M_INVALID_PARAM",
		`{"ahead":1}`:                    "M_BAD_JSON",
	} {
		c.Do("POST", clock, body).Refused(400, errcode)
	}
}

// A push gateway and an application service that fail are tried after two seconds, four, eight and so
// on: without the clock this test would take hours.
func TestDevTriesOthersAgainWhenItsClockIsMoved(t *testing.T) {
	t.Parallel()
	const attempts = 12
	asked := map[string]chan struct{}{"/_matrix/push/v1/notify": make(chan struct{}, 100), "/_matrix/app/v1/transactions": make(chan struct{}, 100)}
	others := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		for prefix, request := range asked {
			if strings.HasPrefix(r.URL.Path, prefix) {
				request <- struct{}{}
			}
		}
	}))
	t.Cleanup(others.Close)
	registration := filepath.Join(t.TempDir(), "irc.yaml")
	err := os.WriteFile(registration, fmt.Appendf(nil, `
id: irc
url: %s
as_token: as_irc
hs_token: hs_irc
sender_localpart: ircbot
namespaces: {users: [{exclusive: false, regex: "@alice:.*"}]}
`, others.URL), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	d := startDev(t, "HOMESERVER_PUSH_ALLOW_HTTP=true HOMESERVER_OUTGOING_ALLOWED_RANGES=127.0.0.0/8 HOMESERVER_APP_SERVICE_FILES="+registration+
		` exec "$0" "$@"`, "--user", "alice:wordpass", "--user", "bob:wordpass")
	c := matrixtest.At(t, d.BaseURL, &http.Client{Timeout: time.Minute, Transport: &http.Transport{}})
	alice, bob := c.Login("alice", "wordpass"), c.Login("bob", "wordpass")
	bob.Do("POST", "/pushers/set", map[string]any{
		"kind": "http", "app_id": "org.example.app", "pushkey": "key", "app_display_name": "App", "device_display_name": "Phone", "lang": "en",
		"data": map[string]any{"url": others.URL + "/_matrix/push/v1/notify"},
	}).OK()
	room := alice.CreateRoom(map[string]any{"preset": "public_chat"})
	bob.Join(room)
	alice.SendText(room, "hello")
	for path, request := range asked {
		for n := range attempts {
			matrixtest.Until(t, fmt.Sprintf("%s was asked %d times", path, n+1), func() bool {
				select {
				case <-request:
					return true
				default:
					c.Do("POST", "/_homeserver/dev/clock", `{"advance_ms":60000}`).OK()
					return false
				}
			})
		}
	}
}

func TestDevSwitchesRateLimits(t *testing.T) {
	t.Parallel()
	const limits = "/_homeserver/dev/rate-limits"
	c := controlledDev(t)
	guess := func() (status int) {
		for range 15 { // more than failed_login allows
			status = c.Do("POST", "/login", `{"type":"m.login.password","user":"alice","password":"wrong"}`).Status
		}
		return status
	}
	c.Do("PUT", limits, `{"enabled":true}`).OK()
	if got := guess(); got != 429 || c.Do("GET", limits, nil).OK().At("enabled") != true {
		t.Errorf("there are no limits: %d", got)
	}
	c.Do("POST", "/_homeserver/dev/clock", `{"advance_ms":3600000}`).OK()
	c.Login("alice", "wordpass")
	c.Do("PUT", limits, `{"enabled":false}`).OK()
	if got := guess(); got != 403 {
		t.Errorf("there are still limits: %d", got)
	}
	c.Do("PUT", limits, `{}`).Refused(400, "M_MISSING_PARAM")
	c.Do("PUT", limits, `{"enabled":1}`).Refused(400, "M_BAD_JSON")
}
