package api

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

// TestRoomPreviews reads a world-readable room without being in it, as a user and as a
// guest: everything of the time at which anybody might, and nothing of before or after.
func TestRoomPreviews(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice, bob, guest := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass"), newGuest(anyone)
	room := alice.CreateRoom(map[string]any{"preset": "public_chat", "name": "Window", "initial_state": []map[string]any{
		{"type": "m.room.history_visibility", "content": map[string]any{"history_visibility": "joined"}},
	}})
	before := alice.SendText(room, "before")
	alice.SetState(room, "m.room.history_visibility", "", map[string]any{"history_visibility": "world_readable"})
	first, second := alice.SendText(room, "first"), alice.SendText(room, "second")
	at := func(parts ...string) string { return matrixtest.Path(append([]string{"rooms", room}, parts...)...) }
	for name, who := range map[string]*matrixtest.Client{"user": bob, "guest": guest} {
		for _, prefix := range []string{"/_matrix/client/r0", "/_matrix/client/v3"} {
			who.Prefix = prefix
			whole := previewed(t, name, who, room, before, first, second)
			from := whole.String("messages", "end")
			alice.SendEvent(room, "org.example.live", map[string]any{})
			live := who.Do("GET", "/events?timeout=10000&room_id="+room+"&from="+from, nil).OK()
			if got := live.Events("chunk"); len(got) != 1 || got[0].Type != "org.example.live" {
				t.Errorf("%s: events: %s", name, live.Body)
			}
		}
	}
	from := bob.Do("GET", "/events?timeout=0&room_id="+room, nil).OK().String("end")
	alice.SetState(room, "m.room.history_visibility", "", map[string]any{"history_visibility": "shared"})
	after := alice.SendText(room, "after")
	last := bob.Do("GET", "/events?timeout=0&room_id="+room+"&from="+from, nil).OK()
	if got := last.Events("chunk"); len(got) != 1 || got[0].Type != "m.room.history_visibility" {
		t.Errorf("the last that was for everybody: %s", last.Body)
	}
	from = last.String("end")
	for name, who := range map[string]*matrixtest.Client{"user": bob, "guest": guest} {
		for _, path := range []string{at("initialSync"), at("state"), at("state", "m.room.name"), at("members"), "/events?timeout=0&room_id=" + room + "&from=" + from} {
			if got := who.Do("GET", path, nil); got.Status != 403 || got.Errcode() != "M_FORBIDDEN" {
				t.Errorf("%s: once the room is closed, %s: %d %s", name, path, got.Status, got.Body)
			}
		}
		who.Do("GET", at("event", after), nil).Refused(404, "M_NOT_FOUND")
		if got := who.Do("GET", at("event", second), nil).OK().Event().Body(); got != "second" {
			t.Errorf("%s: what was for everybody is not any more: %q", name, got)
		}
	}
}

// previewed reads the room at all places where it can be read, and returns its initialSync.
func previewed(t *testing.T, name string, who *matrixtest.Client, room, before, first, second string) (whole *matrixtest.Response) {
	t.Helper()
	at := func(parts ...string) string { return matrixtest.Path(append([]string{"rooms", room}, parts...)...) }
	whole = who.Do("GET", at("initialSync")+"?limit=10", nil).OK()
	if diff := cmp.Diff([]string{"first", "second"}, matrixtest.Bodies(whole.Events("messages", "chunk"))); diff != "" {
		t.Errorf("%s: initialSync: %s", name, diff)
	}
	if len(whole.Events("state")) == 0 || whole.At("membership") != nil || whole.String("visibility") != "private" {
		t.Errorf("%s: initialSync: %s", name, whole.Body)
	}
	older := who.Do("GET", at("messages")+"?dir=b&limit=50", nil).OK()
	if diff := cmp.Diff([]string{"second", "first"}, matrixtest.Bodies(older.Events("chunk"))); diff != "" {
		t.Errorf("%s: messages: %s", name, diff)
	}
	around := who.Do("GET", at("context", first)+"?limit=10", nil).OK()
	if diff := cmp.Diff([]string{"second"}, matrixtest.Bodies(around.Events("events_after"))); diff != "" {
		t.Errorf("%s: context: %s", name, diff)
	}
	if got := who.Do("GET", at("event", second), nil).OK().Event().Body(); got != "second" {
		t.Errorf("%s: event: %q", name, got)
	}
	who.Do("GET", at("event", before), nil).Refused(404, "M_NOT_FOUND")
	who.Do("GET", at("context", before), nil).Refused(404, "M_NOT_FOUND")
	if got := who.Do("GET", at("state", "m.room.name"), nil).OK().String("name"); got != "Window" {
		t.Errorf("%s: state: %q", name, got)
	}
	who.Do("GET", at("state"), nil).OK()
	if got := who.Do("GET", at("members"), nil).OK().Events("chunk"); len(got) != 1 || got[0].Sender != "@alice:localhost" {
		t.Errorf("%s: members: %v", name, got)
	}
	return whole
}
