package api

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

func TestStateInAllFormsOfThePath(t *testing.T) {
	t.Parallel()
	alice, _, room := shared(t)
	base := matrixtest.Path("rooms", room, "state", "org.example")
	for _, put := range []string{"", "/"} {
		for _, get := range []string{"", "/", "?format=content", "/?format=content"} {
			want := map[string]any{"put": put, "get": get}
			id := alice.Do("PUT", base+put, want).OK().String("event_id")
			if diff := cmp.Diff(any(want), alice.Do("GET", base+get, nil).OK().At()); diff != "" {
				t.Errorf("PUT %q, GET %q: %s", put, get, diff)
			}
			e := alice.Do("GET", base+put+"?format=event", nil).OK().Event()
			if e.ID != id || e.StateKey == nil || *e.StateKey != "" || e.RoomID != room || e.Sender != alice.UserID {
				t.Errorf("format=event: %+v", e)
			}
		}
	}
	for _, key := range []string{"key", "a/b", "%2F", "#?&=+ ", "ü💥", "..", ".", "!x:localhost", strings.Repeat("k", 255), alice.UserID} {
		path := base + matrixtest.Path(key)
		alice.Do("PUT", path, map[string]any{"key": key}).OK()
		if got := alice.Do("GET", path, nil).OK().String("key"); got != key {
			t.Errorf("key %q: got %q", key, got)
		}
		if e := alice.Do("GET", path+"?format=event", nil).OK().Event(); *e.StateKey != key {
			t.Errorf("key %q: got %q", key, *e.StateKey)
		}
	}
}

func TestRoomState(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	alice.SetState(room, "m.room.name", "", map[string]any{"name": "One"})
	alice.SetState(room, "m.room.name", "", map[string]any{"name": "Two"})
	events := bob.Do("GET", matrixtest.Path("rooms", room, "state"), nil).OK().Events()
	if diff := cmp.Diff([]string{
		"m.room.create", "m.room.member @alice:localhost", "m.room.power_levels", "m.room.join_rules", "m.room.history_visibility",
		"m.room.guest_access", "m.room.member @bob:localhost", "m.room.name",
	}, typesOf(events)); diff != "" {
		t.Error(diff)
	}
	name := events[len(events)-1]
	if name.Content["name"] != "Two" || name.RoomID != room || !cmp.Equal(name.Unsigned["prev_content"], any(map[string]any{"name": "One"})) {
		t.Errorf("got %+v", name)
	}
}

func TestStateThatIsSoAlready(t *testing.T) {
	t.Parallel()
	alice, _, room := shared(t)
	first := alice.SetState(room, "org.example", "", `{"a":1,"b":2}`)
	if again := alice.SetState(room, "org.example", "", ` {"b":2, "a":1}`); again != first {
		t.Errorf("got %s, want %s", again, first)
	}
	if other := alice.SetState(room, "org.example", "", `{"a":1,"b":3}`); other == first {
		t.Error("another content is another event")
	}
}

func TestStateForThoseOutside(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	stranger := alice.Register("stranger", "wordpass")
	list, name := matrixtest.Path("rooms", room, "state"), matrixtest.Path("rooms", room, "state", "m.room.name")
	alice.SetState(room, "m.room.name", "", map[string]any{"name": "Before"})
	stranger.Do("GET", list, nil).Refused(403, "M_FORBIDDEN")
	stranger.Do("GET", name, nil).Refused(403, "M_FORBIDDEN")
	stranger.Do("GET", matrixtest.Path("rooms", "!none:localhost", "state"), nil).Refused(403, "M_FORBIDDEN")

	bob.Do("POST", matrixtest.Path("rooms", room, "leave"), nil).OK()
	alice.SetState(room, "m.room.name", "", map[string]any{"name": "After"})
	if got := bob.Do("GET", name, nil).OK().String("name"); got != "Before" {
		t.Errorf("who has left sees %q", got)
	}
	for _, e := range bob.Do("GET", list, nil).OK().Events() {
		if e.Type == "m.room.name" && e.Content["name"] != "Before" || e.Type == "m.room.member" && *e.StateKey == bob.UserID && e.Content["membership"] != "leave" {
			t.Errorf("who has left sees %+v", e)
		}
	}
	alice.SetState(room, "m.room.history_visibility", "", map[string]any{"history_visibility": "world_readable"})
	if got := stranger.Do("GET", name, nil).OK().String("name"); got != "After" {
		t.Errorf("world_readable: %q", got)
	}
	stranger.Do("PUT", name, `{"name":"Mine"}`).Refused(403, "M_FORBIDDEN")
}

func TestStateRefusals(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	for _, test := range []struct {
		who          *matrixtest.Client
		method, path string
		body         string
		status       int
		code         string
	}{
		{alice, "GET", matrixtest.Path("rooms", room, "state", "m.room.topic"), "", 404, "M_NOT_FOUND"},
		{alice, "GET", matrixtest.Path("rooms", room, "state", "m.room.name", "none"), "", 404, "M_NOT_FOUND"},
		{alice, "GET", matrixtest.Path("rooms", room, "state", strings.Repeat("a", 1000)), "", 404, "M_NOT_FOUND"},
		{alice, "GET", matrixtest.Path("rooms", room, "state", "m.room.create") + "?format=xml", "", 400, "M_INVALID_PARAM"},
		{alice, "GET", matrixtest.Path("rooms", "none", "state"), "", 400, "M_INVALID_PARAM"},
		{alice, "POST", matrixtest.Path("rooms", room, "state", "m.room.name"), "{}", 405, "M_UNRECOGNIZED"},
		{bob, "PUT", matrixtest.Path("rooms", room, "state", "m.room.name"), `{"name":"Mine"}`, 403, "M_FORBIDDEN"},
		{alice, "PUT", matrixtest.Path("rooms", room, "state", "a", strings.Repeat("k", 256)), `{}`, 413, "M_TOO_LARGE"},
		{alice, "PUT", matrixtest.Path("rooms", room, "state", strings.Repeat("a", 256)), `{}`, 413, "M_TOO_LARGE"},
		{alice, "PUT", matrixtest.Path("rooms", room, "state", "a", "\x00"), `{}`, 400, "M_INVALID_PARAM"},
		{alice, "PUT", matrixtest.Path("rooms", room, "state", "a"), ``, 400, "M_NOT_JSON"},
		{alice, "PUT", matrixtest.Path("rooms", room, "state", "a"), `[]`, 400, "M_BAD_JSON"},
		{alice, "PUT", matrixtest.Path("rooms", room, "state", "a"), `{"a":0.5}`, 400, "M_BAD_JSON"},
		{alice, "PUT", matrixtest.Path("rooms", room, "state", "a"), `{"a":"` + strings.Repeat("a", 70_000) + `"}`, 413, "M_TOO_LARGE"},
		{alice, "PUT", matrixtest.Path("rooms", room, "state", "a", bob.UserID), `{}`, 403, "M_FORBIDDEN"},
		{alice, "PUT", matrixtest.Path("rooms", room, "state", "m.room.create"), `{}`, 400, "M_INVALID_PARAM"},
		{alice, "PUT", matrixtest.Path("rooms", room, "state", "m.room.power_levels"), `{"ban":"50"}`, 400, "M_BAD_JSON"},
		{alice, "PUT", matrixtest.Path("rooms", room, "state", "m.room.member", bob.UserID), `{"membership":"join"}`, 403, "M_FORBIDDEN"},
		{alice, "PUT", matrixtest.Path("rooms", room, "state", "m.room.member", bob.UserID), `{"membership":1}`, 400, "M_BAD_JSON"},
		{alice, "PUT", matrixtest.Path("rooms", room, "state", "m.room.member", "bob"), `{"membership":"ban"}`, 400, "M_INVALID_PARAM"},
		{alice, "PUT", matrixtest.Path("rooms", room, "state", "m.room.canonical_alias"), `{"alias":"#none:localhost"}`, 400, "M_BAD_ALIAS"},
		{alice, "PUT", matrixtest.Path("rooms", room, "state", "m.room.canonical_alias"), `{"alias":"none"}`, 400, "M_INVALID_PARAM"},
		{alice, "PUT", matrixtest.Path("rooms", room, "state", "m.room.canonical_alias"), `{"alt_aliases":["#a\u0000:localhost"]}`, 400, "M_INVALID_PARAM"},
		{alice, "PUT", matrixtest.Path("rooms", room, "state", "m.room.canonical_alias"), `{"alias":1}`, 400, "M_BAD_JSON"},
	} {
		if answer := test.who.Do(test.method, test.path, test.body); answer.Status != test.status || answer.Errcode() != test.code {
			t.Errorf("%s %.100s %.60s: got %d %s, want %d %s", test.method, test.path, test.body, answer.Status, answer.Body, test.status, test.code)
		}
	}
}

func TestMembershipsSetAsState(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	path := matrixtest.Path("rooms", room, "state", "m.room.member", bob.UserID)
	bob.Do("PUT", path, `{"membership":"join","displayname":"Bobby"}`).OK()
	if got := alice.Do("GET", path, nil).OK().String("displayname"); got != "Bobby" {
		t.Errorf("displayname %q", got)
	}
	alice.Do("PUT", path, `{"membership":"ban","reason":"because"}`).OK()
	if got := alice.Do("GET", path, nil).OK(); got.String("membership") != "ban" || got.String("reason") != "because" {
		t.Errorf("got %s", got.Body)
	}
	bob.Do("PUT", path, `{"membership":"join"}`).Refused(403, "M_FORBIDDEN")
	alice.Do("PUT", path, `{"membership":"leave"}`).OK()
	bob.Join(room)
}
