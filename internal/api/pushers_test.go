package api

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pusher is a request for a pusher, with some members set otherwise.
func pusher(changes map[string]any) map[string]any {
	body := map[string]any{
		"lang": "en", "kind": "http", "app_display_name": "Mat Rix", "device_display_name": "iPhone 9", "profile_tag": "xxyyzz",
		"app_id": "com.example.app.ios", "pushkey": "APA91bHPRgkF3JUikC4ENAHEeMrd41Zxv3hVZjC9KtT8OvPVGJ-hQMRKRrZuJAEcl7B338qju59zJMjw2DELjzEvxwYv7hH5Ynpc1ODQ0aT4U4OFEeco8ohsN5PjL1iC2dNtk2BAokeMCg2ZXKqpc8FXKmhX94kIxQ",
		"data": map[string]any{"url": "https://push-gateway.location.here/_matrix/push/v1/notify", "format": "event_id_only"},
	}
	maps.Copy(body, changes)
	return body
}

func TestPushers(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	alice := c.Register("alice", "wordpass")
	pushers := func() []any {
		t.Helper()
		list, ok := alice.Do("GET", "/pushers", nil).OK().At("pushers").([]any)
		if !ok {
			t.Fatal("there is no list of pushers")
		}
		return list
	}
	if got := pushers(); len(got) > 0 {
		t.Errorf("at first there is %v", got)
	}
	const deviceID, enabled = "org.matrix.msc3881.device_id", "org.matrix.msc3881.enabled"
	alice.Do("POST", "/pushers/set", pusher(map[string]any{"append": false})).OK()
	if diff := cmp.Diff([]any{pusher(map[string]any{deviceID: alice.DeviceID, enabled: true})}, pushers()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	alice.Do("POST", "/pushers/set", pusher(map[string]any{enabled: false})).OK()
	if diff := cmp.Diff([]any{pusher(map[string]any{deviceID: alice.DeviceID, enabled: false})}, pushers()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	alice.Do("POST", "/pushers/set", pusher(map[string]any{"kind": nil})).OK()
	alice.Do("POST", "/pushers/set", `{"kind":null,"app_id":"a","pushkey":"b"}`).OK()
	if got := pushers(); len(got) > 0 {
		t.Errorf("after deleting there is %v", got)
	}

	phone := c.Login("alice", "wordpass")
	phone.Do("POST", "/pushers/set", pusher(nil)).OK()
	if got := pushers(); len(got) != 1 {
		t.Errorf("there is %v", got)
	}
	phone.Do("POST", "/logout", nil).OK()
	if got := pushers(); len(got) > 0 {
		t.Errorf("after logging out there is %v", got)
	}
}

// TestPushersOfFreeFormatAndWithoutATag: clients send formats of their own, and null
// for what they do not set.
func TestPushersOfFreeFormatAndWithoutATag(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	for _, format := range []any{"full", "", "org.example.format", nil} {
		data := map[string]any{"url": "https://push.example.org/_matrix/push/v1/notify", "format": format, "default_payload": map[string]any{"aps": 1.0}}
		want := pusher(map[string]any{
			"data": data, "profile_tag": "", "org.matrix.msc3881.device_id": alice.DeviceID, "org.matrix.msc3881.enabled": true,
		})
		body := maps.Clone(want)
		body["profile_tag"], body["append"] = nil, nil
		alice.Do("POST", "/pushers/set", body).OK()
		if diff := cmp.Diff([]any{want}, alice.Do("GET", "/pushers", nil).OK().At("pushers")); diff != "" {
			t.Errorf("%v (-want +got):\n%s", format, diff)
		}
	}
}

func TestPusherRefusals(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	for _, test := range []struct {
		body any
		code string
	}{
		{`{}`, "M_MISSING_PARAM"},
		{`{"app_id":"a","pushkey":"b"}`, "M_MISSING_PARAM"},
		{`{"kind":null,"app_id":"a"}`, "M_MISSING_PARAM"},
		{pusher(map[string]any{"lang": nil, "data": nil}), "M_MISSING_PARAM"},
		{pusher(map[string]any{"kind": "smoke"}), "M_INVALID_PARAM"},
		{pusher(map[string]any{"kind": true}), "M_BAD_JSON"},
		{pusher(map[string]any{"append": "yes"}), "M_BAD_JSON"},
		{pusher(map[string]any{"org.matrix.msc3881.enabled": "yes"}), "M_BAD_JSON"},
		{pusher(map[string]any{"data": "x"}), "M_BAD_JSON"},
		{pusher(map[string]any{"data": map[string]any{"url": "http://example.org/_matrix/push/v1/notify"}}), "M_INVALID_PARAM"},
		{pusher(map[string]any{"lang": "\x00"}), "M_BAD_JSON"},
		{pusher(map[string]any{"kind": "email", "app_id": "m.email", "pushkey": "eve@example.org", "data": map[string]any{}}), "M_THREEPID_NOT_FOUND"},
	} {
		alice.Do("POST", "/pushers/set", test.body).Refused(400, test.code)
	}
	missing := alice.Do("POST", "/pushers/set", pusher(map[string]any{"lang": nil, "data": nil}))
	if got := missing.String("error"); got != "Missing parameters: lang, data" {
		t.Errorf("got %q", got)
	}
}
