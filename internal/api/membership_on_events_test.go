package api

import (
	"testing"

	"homeserver/internal/matrixtest"
)

// Every event says how its reader stood to the room then, whatever the endpoint: client-server
// API, "Room event format", unsigned.membership.
func TestEventsSayHowTheReaderStood(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	room := alice.CreateRoom(nil)
	before := alice.SendText(room, "word before")
	alice.Do("POST", matrixtest.Path("rooms", room, "invite"), map[string]any{"user_id": bob.UserID}).OK()
	invited := alice.SendText(room, "word invited")
	bob.Join(room)
	joined := alice.SendText(room, "word joined")
	alice.SendEvent(room, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": "word in a thread", "m.relates_to": map[string]any{"rel_type": "m.thread", "event_id": before},
	})
	want := map[string]string{before: "leave", invited: "invite", joined: "join"}
	in := func(kind string) string { return matrixtest.Path("rooms", room) + kind }
	check := func(name string, e matrixtest.Event) {
		got, _ := e.Unsigned["membership"].(string)
		if got == "" || want[e.ID] != "" && got != want[e.ID] {
			t.Errorf("%s: %s %s has the membership %q, want %q", name, e.Type, e.ID, got, want[e.ID])
		}
	}
	for _, test := range []struct {
		name, method, path string
		body               any
		at                 []any
	}{
		{"sync", "GET", "/sync?full_state=true", nil, []any{"rooms", "join", room, "timeline", "events"}},
		{"state of a sync", "GET", `/sync?filter={"room":{"timeline":{"limit":1}}}`, nil, []any{"rooms", "join", room, "state", "events"}},
		{"messages", "GET", in("/messages?dir=b&limit=50"), nil, []any{"chunk"}},
		{"state of lazy messages", "GET", in(`/messages?dir=b&limit=50&filter={"lazy_load_members":true}`), nil, []any{"state"}},
		{"state", "GET", in("/state"), nil, []any{}},
		{"members", "GET", in("/members"), nil, []any{"chunk"}},
		{"context before", "GET", in("/context/" + invited), nil, []any{"events_before"}},
		{"context after", "GET", in("/context/" + invited), nil, []any{"events_after"}},
		{"state of a context", "GET", in("/context/" + invited), nil, []any{"state"}},
		{"initialSync", "GET", in("/initialSync"), nil, []any{"messages", "chunk"}},
		{"state of initialSync", "GET", in("/initialSync"), nil, []any{"state"}},
		{"relations", "GET", in("/relations/" + before), nil, []any{"chunk"}},
		{"threads", "GET", in("/threads"), nil, []any{"chunk"}},
	} {
		prefix := "/_matrix/client/v3"
		if test.name == "relations" || test.name == "threads" {
			prefix = "/_matrix/client/v1"
		}
		events := bob.Do(test.method, prefix+test.path, test.body).OK().Events(test.at...)
		if len(events) == 0 {
			t.Errorf("%s: no events", test.name)
		}
		for _, e := range events {
			check(test.name, e)
		}
	}
	check("event", bob.Do("GET", in("/event/"+before), nil).OK().Event())
	check("context", bob.Do("GET", in("/context/"+invited), nil).OK().Event("event"))
	search := bob.Do("POST", "/search", map[string]any{"search_categories": map[string]any{"room_events": map[string]any{
		"search_term": "word", "event_context": map[string]any{"before_limit": 1, "after_limit": 1},
	}}}).OK()
	results, _ := search.At("search_categories", "room_events", "results").([]any)
	if len(results) == 0 {
		t.Error("search: no results")
	}
	for i := range results {
		check("search", search.Event("search_categories", "room_events", "results", i, "result"))
		for _, e := range search.Events("search_categories", "room_events", "results", i, "context", "events_before") {
			check("context of a result", e)
		}
	}
}
