package api

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

func TestFilters(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	numbered(alice, room, 3)
	path := matrixtest.Path("user", alice.UserID, "filter")
	const definition = `{"room":{"timeline":{"limit":1,"types":["m.room.message"]}},"event_fields":["type","content"],"unknown":{"a":1.5}}`
	id := alice.Do("POST", path, definition).OK().String("filter_id")
	if id == "" || strings.HasPrefix(id, "{") {
		t.Errorf("filter_id %q", id)
	}
	if again := alice.Do("POST", path, " "+definition).OK().String("filter_id"); again != id {
		t.Errorf("the same filter again is %s, want %s", again, id)
	}
	if other := alice.Do("POST", path, `{}`).OK().String("filter_id"); other == id {
		t.Error("another filter has the same ID")
	}
	want := map[string]any{
		"room":         map[string]any{"timeline": map[string]any{"limit": 1.0, "types": []any{"m.room.message"}}},
		"event_fields": []any{"type", "content"}, "unknown": map[string]any{"a": 1.5},
	}
	if diff := cmp.Diff(any(want), alice.Do("GET", path+"/"+id, nil).OK().At()); diff != "" {
		t.Error(diff)
	}
	for _, filter := range []string{id, definition} {
		answer := alice.Sync("", "filter", filter)
		if diff := cmp.Diff([]string{"3"}, matrixtest.Bodies(answer.Timeline(room))); diff != "" || answer.At("rooms", "join", room, "timeline", "limited") != true {
			t.Errorf("filter %s: %s", filter, diff)
		}
	}
	// It is hers alone.
	bob.Do("GET", path+"/"+id, nil).Refused(403, "M_FORBIDDEN")
	bob.Do("POST", path, `{}`).Refused(403, "M_FORBIDDEN")
	bob.Do("GET", matrixtest.Path("user", bob.UserID, "filter", id), nil).Refused(404, "M_NOT_FOUND")
	bob.Do("GET", "/sync?filter="+id, nil).Refused(400, "M_INVALID_PARAM")
}

func TestFilterRefusals(t *testing.T) {
	t.Parallel()
	alice, _ := newPair(t)
	path := matrixtest.Path("user", alice.UserID, "filter")
	for _, test := range []struct {
		definition string
		status     int
		code       string
	}{
		{`{"room":1}`, 400, "M_BAD_JSON"},
		{`{"room":{"timeline":[]}}`, 400, "M_BAD_JSON"},
		{`{"room":{"timeline":{"limit":"1"}}}`, 400, "M_BAD_JSON"},
		{`{"room":{"timeline":{"limit":-1}}}`, 400, "M_INVALID_PARAM"},
		{`{"room":{"timeline":{"types":["\u0000"]}}}`, 400, "M_INVALID_PARAM"},
		{`{"room":{"state":{"not_senders":["a\u0000"]}}}`, 400, "M_INVALID_PARAM"},
		{`{"room":{"rooms":"!a:b"}}`, 400, "M_BAD_JSON"},
		{`{"event_format":"xml"}`, 400, "M_INVALID_PARAM"},
		{`{"a":1,"a":2}`, 400, "M_BAD_JSON"},
		{`{"a":"` + strings.Repeat("a", 70_000) + `"}`, 413, "M_TOO_LARGE"},
		{`{"a":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`, 400, "M_BAD_JSON"},
		{`{"a":`, 400, "M_NOT_JSON"},
	} {
		answer := alice.Do("POST", path, test.definition)
		if answer.Status != test.status || answer.Errcode() != test.code {
			t.Errorf("%.80s: got %d %s, want %d %s", test.definition, answer.Status, answer.Body, test.status, test.code)
		}
		// A filter that cannot be stored cannot be used in the query either.
		if inline := alice.Do("GET", matrixtest.SyncPath("", "filter", test.definition), nil); inline.Status != test.status || inline.Errcode() != test.code {
			t.Errorf("%.80s in the query: got %d %s, want %d %s", test.definition, inline.Status, inline.Body, test.status, test.code)
		}
	}
	alice.Do("POST", path, nil).Refused(400, "M_NOT_JSON")
	alice.Do("POST", path, `[]`).Refused(400, "M_BAD_JSON")
	for _, id := range []string{"99", "-1", "x", "99999999999999999999", "%20", "1e1"} {
		alice.Do("GET", path+"/"+id, nil).Refused(404, "M_NOT_FOUND")
		alice.Do("GET", "/sync?filter="+id, nil).Refused(400, "M_INVALID_PARAM")
	}
}
