package api

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"homeserver/internal/api/client"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrixtest"
	"homeserver/internal/server"
)

// newIn are the endpoints that versions of the specification have brought, of those that
// are announced.
var newIn = map[string][]string{
	"v1.1": {
		"POST /keys/device_signing/upload", "POST /keys/signatures/upload", "POST /knock/{}", "GET /room_keys/version", "POST /room_keys/version",
		"GET /room_keys/version/{}", "PUT /room_keys/version/{}", "DELETE /room_keys/version/{}", "GET /room_keys/keys", "PUT /room_keys/keys",
		"DELETE /room_keys/keys", "GET /room_keys/keys/{}", "PUT /room_keys/keys/{}", "DELETE /room_keys/keys/{}", "GET /room_keys/keys/{}/{}",
		"PUT /room_keys/keys/{}/{}", "DELETE /room_keys/keys/{}/{}",
	},
	"v1.2":  {"GET /_matrix/client/v1/rooms/{}/hierarchy"},
	"v1.3":  {"POST /refresh", "GET /_matrix/client/v1/rooms/{}/relations/{}", "GET /_matrix/client/v1/rooms/{}/relations/{}/{}", "GET /_matrix/client/v1/rooms/{}/relations/{}/{}/{}"},
	"v1.4":  {"GET /_matrix/client/v1/rooms/{}/threads"},
	"v1.6":  {"GET /_matrix/client/v1/rooms/{}/timestamp_to_event"},
	"v1.7":  {"POST /_matrix/client/v1/appservice/{}/ping", "POST /_matrix/client/v1/login/get_token", "POST /_matrix/media/v1/create", "PUT /_matrix/media/v3/upload/{}/{}"},
	"v1.11": {"GET /_matrix/client/v1/media/config", "GET /_matrix/client/v1/media/download/{}/{}", "GET /_matrix/client/v1/media/download/{}/{}/{}", "GET /_matrix/client/v1/media/preview_url", "GET /_matrix/client/v1/media/thumbnail/{}/{}"},
	"v1.13": {"POST /rooms/{}/report"},
	"v1.14": {"POST /users/{}/report"},
	"v1.15": {"GET /_matrix/client/v1/room_summary/{}"},
	"v1.16": {"DELETE /profile/{}/{}"},
}

func TestVersions(t *testing.T) {
	t.Parallel()
	var answer struct {
		Versions []string `json:"versions"`
	}
	c := newServer(t)
	c.Do("GET", "/_matrix/client/versions", nil).OK().Into(&answer)
	want := []string{"r0.0.1", "r0.1.0", "r0.2.0", "r0.3.0", "r0.4.0", "r0.5.0", "r0.6.0", "r0.6.1"}
	for minor := range 18 {
		want = append(want, "v1."+strconv.Itoa(minor+1))
	}
	if diff := cmp.Diff(want, answer.Versions); diff != "" {
		t.Error(diff)
	}
	for version, endpoints := range newIn {
		for _, endpoint := range endpoints {
			method, path, _ := strings.Cut(strings.ReplaceAll(endpoint, "{}", "x"), " ")
			if answer := c.Do(method, path, nil); answer.Errcode() == "M_UNRECOGNIZED" {
				t.Errorf("%s has %s, which is not served", version, endpoint)
			}
		}
	}
}

func TestWellKnown(t *testing.T) {
	t.Parallel()
	const path = "/.well-known/matrix/client"
	want := map[string]any{
		"m.homeserver":                      map[string]any{"base_url": "http://localhost:8008"},
		"org.matrix.msc2965.authentication": map[string]any{"issuer": "http://localhost:8008/", "account": "http://localhost:8008/_matrix/oauth/account"},
	}
	if diff := cmp.Diff(any(want), newServer(t).Do("GET", path, nil).OK().At()); diff != "" {
		t.Error(diff)
	}
	none := matrixtest.New(t, newAPI(t, server.APIOptions{}).Handler())
	none.Do("GET", path, nil).Refused(404, "M_NOT_FOUND")
}

func TestSupport(t *testing.T) {
	t.Parallel()
	const path = "/.well-known/matrix/support"
	newServer(t).Do("GET", path, nil).Refused(404, "M_NOT_FOUND")
	newServer(t).Do("GET", "/.well-known/matrix/policy_server", nil).Refused(404, "M_NOT_FOUND")
	opts := server.APIOptions{}
	opts.Support = client.Support{
		Page:     "https://example.org/help",
		Contacts: []client.Contact{{UserID: "@admin:example.org", Role: "m.role.admin"}, {Email: "security@example.org", Role: "m.role.security"}},
	}
	want := map[string]any{"support_page": "https://example.org/help", "contacts": []any{
		map[string]any{"matrix_id": "@admin:example.org", "role": "m.role.admin"},
		map[string]any{"email_address": "security@example.org", "role": "m.role.security"},
	}}
	if diff := cmp.Diff(any(want), matrixtest.New(t, newAPI(t, opts).Handler()).Do("GET", path, nil).OK().At()); diff != "" {
		t.Error(diff)
	}
}

func TestCapabilities(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	got := alice.Do("GET", "/capabilities", nil).OK()
	stable := map[string]any{}
	for _, version := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"} {
		stable[version] = "stable"
	}
	want := map[string]any{"capabilities": map[string]any{
		"m.change_password": map[string]any{"enabled": true},
		"m.room_versions":   map[string]any{"default": "12", "available": stable},
		"m.profile_fields":  map[string]any{"enabled": true},
		"m.set_displayname": map[string]any{"enabled": true},
		"m.set_avatar_url":  map[string]any{"enabled": true},

		"org.matrix.msc4140.delayed_events": map[string]any{"max_delay_ms": 2592000000.0, "max_scheduled": 100.0},
		"m.3pid_changes":                    map[string]any{"enabled": false},
		"m.get_login_token":                 map[string]any{"enabled": true},

		"uk.tcpip.msc4133.profile_fields": map[string]any{"enabled": true},
	}}
	if diff := cmp.Diff(any(want), got.At()); diff != "" {
		t.Error(diff)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	var sick error
	c := matrixtest.New(t, newAPI(t, server.APIOptions{Healthy: func(context.Context) error { return sick }}).Handler())
	c.Prefix = ""
	if got := c.Do("GET", "/health", nil).OK().String("status"); got != "ok" {
		t.Errorf("status %q", got)
	}
	sick = &pgconn.PgError{Code: "57P03"}
	c.Do("GET", "/health", nil).Refused(503, "M_UNKNOWN")
	sick = errors.New("something else")
	c.Do("GET", "/health", nil).Refused(500, "M_UNKNOWN")
}

func TestReadyAsksNoDatabase(t *testing.T) {
	t.Parallel()
	ready := true
	lines := matrixtest.NewLog()
	c := matrixtest.New(t, newAPI(t, server.APIOptions{
		Ready:   func() bool { return ready },
		Healthy: func(context.Context) error { return &pgconn.PgError{Code: "57P03"} },
		HTTP:    httpapi.Options{Logger: slog.New(slog.NewTextHandler(lines, nil))},
	}).Handler())
	c.Prefix = ""
	if got := c.Do("GET", "/ready", nil).OK().String("status"); got != "ready" {
		t.Errorf("status %q", got)
	}
	ready = false
	if got := c.Do("GET", "/ready", nil).Refused(503, "M_UNKNOWN").Header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After: %q", got)
	}
	if log := lines.Wait(t, "status=503"); strings.Contains(log, "level=ERROR") {
		t.Errorf("each question of a load balancer is an error in the log:\n%s", log)
	}
}
