package api

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

// openRoom is the body of POST /createRoom for a room that anybody may join.
var openRoom = map[string]any{"preset": "public_chat"}

// newPair runs a server with two users.
func newPair(t testing.TB) (alice, bob *matrixtest.Client) {
	t.Helper()
	anyone := newServer(t)
	return anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
}

// shared runs a server with two users who are in the same public room.
func shared(t testing.TB) (alice, bob *matrixtest.Client, room string) {
	t.Helper()
	alice, bob = newPair(t)
	room = alice.CreateRoom(openRoom)
	bob.Join(room)
	return alice, bob, room
}

// history returns all that somebody can read of a room, oldest first.
func history(c *matrixtest.Client, room string) []matrixtest.Event {
	c.T.Helper()
	return c.Do("GET", matrixtest.Path("rooms", room, "messages")+"?dir=f&limit=1000", nil).OK().Events("chunk")
}

// typesOf lists the types of events, with the state key after a space if there is
// one.
func typesOf(events []matrixtest.Event) []string {
	types := []string{}
	for _, e := range events {
		if e.StateKey != nil && *e.StateKey != "" {
			e.Type += " " + *e.StateKey
		}
		types = append(types, e.Type)
	}
	return types
}

func idsOf(events []matrixtest.Event) []string {
	ids := []string{}
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	return ids
}

func TestCreateRoomAsInTheTutorial(t *testing.T) {
	t.Parallel()
	alice, _ := newPair(t)
	request := alice.Request("POST", "/_matrix/client/r0/createRoom?access_token="+alice.Token, `{"room_alias_name":"tutorial"}`)
	request.Header.Del("Authorization")
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded") // curl's default
	answer := alice.Send(request).OK()
	if got := answer.String("room_alias"); got != "#tutorial:localhost" {
		t.Errorf("room_alias %q", got)
	}
	if got := answer.String("room_id"); !regexp.MustCompile(`^![\w-]{43}$`).MatchString(got) {
		t.Errorf("room_id %q", got)
	}
}

func TestCreateRoomWithEverything(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	answer := alice.Do("POST", "/createRoom", `{
		"visibility": "public", "preset": "public_chat", "room_alias_name": "pub", "name": "The Pub", "topic": "Happy <hour> & more",
		"invite": ["@bob:localhost"], "is_direct": true, "room_version": "10",
		"creation_content": {"m.federate": false, "room_version": "1", "creator": "@eve:localhost", "type": "m.space"},
		"initial_state": [
			{"type": "m.room.guest_access", "state_key": "", "content": {"guest_access": "can_join"}},
			{"type": "org.example", "state_key": "a/b", "content": {"n": 1, "deep": {"x": [null, true]}}},
			{"type": "org.example", "content": {}}],
		"power_level_content_override": {"events_default": 10, "users": {"@alice:localhost": 100, "@bob:localhost": 50}},
		"unknown": {"is": "ignored"}}`).OK()
	room := answer.String("room_id")
	events := history(alice, room)
	if diff := cmp.Diff([]string{
		"m.room.create", "m.room.member @alice:localhost", "m.room.power_levels", "m.room.canonical_alias",
		"m.room.join_rules", "m.room.history_visibility", "m.room.guest_access", "org.example a/b", "org.example",
		"m.room.name", "m.room.topic", "m.room.member @bob:localhost",
	}, typesOf(events)); diff != "" {
		t.Errorf("the events, in the order of the specification: %s", diff)
	}
	content := map[string]map[string]any{}
	for _, e := range events {
		content[e.Type+*e.StateKey] = e.Content
	}
	want := map[string]any{"creator": "@alice:localhost", "room_version": "10", "m.federate": false, "type": "m.space"}
	if diff := cmp.Diff(want, content["m.room.create"]); diff != "" {
		t.Errorf("m.room.create: %s", diff)
	}
	levels := content["m.room.power_levels"]
	if levels["events_default"] != 10.0 || levels["state_default"] != 50.0 ||
		!cmp.Equal(levels["users"], any(map[string]any{"@alice:localhost": 100.0, "@bob:localhost": 50.0})) {
		t.Errorf("m.room.power_levels: %v", levels)
	}
	if got := content["m.room.member@bob:localhost"]; got["membership"] != "invite" || got["is_direct"] != true {
		t.Errorf("the invite: %v", got)
	}
	if got := content["m.room.guest_access"]["guest_access"]; got != "can_join" {
		t.Errorf("initial_state does not go before the preset: %v", got)
	}
	if got := content["m.room.topic"]["topic"]; got != "Happy <hour> & more" {
		t.Errorf("topic %q", got)
	}
	if got := bob.Join("#pub:localhost"); got != room {
		t.Errorf("the alias leads to %s, want %s", got, room)
	}
}

func TestCreateRoomWithoutABody(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	room := alice.CreateRoom(nil)
	bob.Do("POST", matrixtest.Path("join", room), nil).Refused(403, "M_FORBIDDEN")
	answer := alice.Do("GET", matrixtest.Path("rooms", room, "state", "m.room.create"), nil).OK()
	if got := answer.String("room_version"); got != "12" {
		t.Errorf("room_version %q", got)
	}
}

func TestCreateRoomOfEachVersion(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	for _, version := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"} {
		room := alice.CreateRoom(map[string]any{"room_version": version, "preset": "public_chat", "name": "v" + version})
		if hasServer := strings.Contains(room, ":"); hasServer != (version != "12") {
			t.Errorf("version %s: room ID %s", version, room)
		}
		bob.Join(room)
		id := bob.SendText(room, "hello")
		alice.Do("POST", matrixtest.Path("rooms", room, "redact", id), `{"reason":"spam"}`).OK()
		if e := alice.Do("GET", matrixtest.Path("rooms", room, "event", id), nil).OK().Event(); len(e.Content) != 0 || e.RoomID != room {
			t.Errorf("version %s: %+v", version, e)
		}
	}
}

func TestCreateRoomRefusals(t *testing.T) {
	t.Parallel()
	alice, _ := newPair(t)
	alice.CreateRoom(map[string]any{"room_alias_name": "taken"})
	before := alice.Do("GET", "/joined_rooms", nil).OK().At("joined_rooms")
	for _, test := range []struct {
		body, code string
		status     int
	}{
		{`{"room_alias_name":"taken"}`, "M_ROOM_IN_USE", 400},
		{`{"room_alias_name":"a:b"}`, "M_INVALID_PARAM", 400},
		{`{"room_alias_name":"a\u0000b"}`, "M_BAD_JSON", 400},
		{`{"room_alias_name":"` + strings.Repeat("a", 300) + `"}`, "M_INVALID_PARAM", 400},
		{`{"room_alias_name":["a"]}`, "M_BAD_JSON", 400},
		{`{"name":1}`, "M_BAD_JSON", 400},
		{`{"name":"\u0000"}`, "M_BAD_JSON", 400},
		{`{"name":"a","name":"b"}`, "M_BAD_JSON", 400},
		{`{"name":"` + strings.Repeat("a", 70_000) + `"}`, "M_TOO_LARGE", 413},
		{`{"topic":{}}`, "M_BAD_JSON", 400},
		{`{"topic":"` + "\xff" + `"}`, "M_NOT_JSON", 400},
		{`{"visibility":"hidden"}`, "M_INVALID_PARAM", 400},
		{`{"preset":"chat"}`, "M_INVALID_PARAM", 400},
		{`{"is_direct":"yes"}`, "M_BAD_JSON", 400},
		{`{"room_version":11}`, "M_BAD_JSON", 400},
		{`{"room_version":"0"}`, "M_UNSUPPORTED_ROOM_VERSION", 400},
		{`{"invite":"@bob:localhost"}`, "M_BAD_JSON", 400},
		{`{"invite":["bob"]}`, "M_INVALID_PARAM", 400},
		{`{"invite":["@bob:elsewhere.example"]}`, "M_FORBIDDEN", 403},
		{`{"creation_content":[]}`, "M_BAD_JSON", 400},
		{`{"creation_content":{"a":1.5}}`, "M_BAD_JSON", 400},
		{`{"creation_content":{"a":9007199254740992}}`, "M_BAD_JSON", 400},
		{`{"initial_state":{}}`, "M_BAD_JSON", 400},
		{`{"initial_state":[{"type":"a"}]}`, "M_MISSING_PARAM", 400},
		{`{"initial_state":[{"content":{}}]}`, "M_MISSING_PARAM", 400},
		{`{"initial_state":[{"type":"a","content":"x"}]}`, "M_BAD_JSON", 400},
		{`{"initial_state":[{"type":"a\u0000","content":{}}]}`, "M_BAD_JSON", 400},
		{`{"initial_state":[{"type":"a","state_key":1,"content":{}}]}`, "M_BAD_JSON", 400},
		{`{"initial_state":[{"type":"` + strings.Repeat("a", 256) + `","content":{}}]}`, "M_TOO_LARGE", 413},
		{`{"initial_state":[{"type":"m.room.create","content":{}}]}`, "M_INVALID_ROOM_STATE", 400},
		{`{"room_version":"11","power_level_content_override":{"users":{"@alice:localhost":0}}}`, "M_INVALID_ROOM_STATE", 400},
		{`{"room_version":"12","power_level_content_override":{"users":{"@alice:localhost":0}}}`, "M_BAD_JSON", 400},
		{`{"power_level_content_override":1}`, "M_BAD_JSON", 400},
		{`[]`, "M_BAD_JSON", 400},
		{`{`, "M_NOT_JSON", 400},
	} {
		if answer := alice.Do("POST", "/createRoom", test.body); answer.Status != test.status || answer.Errcode() != test.code {
			t.Errorf("%.100s: got %d %s, want %d %s", test.body, answer.Status, answer.Body, test.status, test.code)
		}
	}
	if diff := cmp.Diff(before, alice.Do("GET", "/joined_rooms", nil).OK().At("joined_rooms")); diff != "" {
		t.Errorf("refused requests left rooms behind: %s", diff)
	}
}

func TestOneAliasForManyNewRooms(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	var all sync.WaitGroup
	answers := make([]*matrixtest.Response, 12)
	for i := range answers {
		all.Go(func() {
			answers[i] = []*matrixtest.Client{alice, bob}[i%2].Do("POST", "/createRoom", `{"room_alias_name":"wanted"}`)
		})
	}
	all.Wait()
	var won []string
	for _, answer := range answers {
		if answer.Status == 200 {
			won = append(won, answer.String("room_id"))
			continue
		}
		answer.Refused(400, "M_ROOM_IN_USE")
	}
	if len(won) != 1 || alice.Do("GET", aliasPath("#wanted:localhost"), nil).OK().String("room_id") != won[0] {
		t.Errorf("%d rooms have got the alias", len(won))
	}
}

func TestCreateRoomIsInTheNextSync(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	hers, his := alice.Sync("").NextBatch(), bob.Sync("").NextBatch()
	room := alice.CreateRoom(map[string]any{"invite": []string{bob.UserID}, "preset": "trusted_private_chat", "is_direct": true})
	if got := keysAt(alice.Sync(hers), "rooms", "join"); !cmp.Equal(got, []string{room}) {
		t.Errorf("the creator sees %q", got)
	}
	if got := keysAt(bob.Sync(his), "rooms", "invite"); !cmp.Equal(got, []string{room}) {
		t.Errorf("the invitee sees %q", got)
	}
	bob.Join(room)
	bob.SetState(room, "m.room.name", "", map[string]any{"name": "as trusted as she"})
}

// The creator's next answer of /sync has what createRoom has made, in the order of the
// specification, and /messages goes on from there.
func TestOwnCreationIsEchoedInOrder(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	since := alice.Sync("").NextBatch()
	room := alice.CreateRoom(map[string]any{
		"room_alias_name": "club", "preset": "private_chat", "name": "The Club", "topic": "Secrets", "invite": []string{bob.UserID},
		"initial_state": []any{map[string]any{"type": "org.example", "content": map[string]any{}}},
	})
	want := []string{
		"m.room.create", "m.room.member @alice:localhost", "m.room.power_levels", "m.room.canonical_alias",
		"m.room.join_rules", "m.room.history_visibility", "m.room.guest_access", "org.example",
		"m.room.name", "m.room.topic", "m.room.member @bob:localhost",
	}
	whole := alice.Sync(since, "filter", `{"room":{"timeline":{"limit":50}}}`)
	if diff := cmp.Diff(want, typesOf(whole.Timeline(room))); diff != "" {
		t.Errorf("/sync (-want +got):\n%s", diff)
	}
	if got := whole.Events("rooms", "join", room, "state", "events"); len(got) != 0 {
		t.Errorf("state stands beside the timeline: %q", typesOf(got))
	}
	short := alice.Sync(since, "filter", `{"room":{"timeline":{"limit":4}}}`)
	older, _ := pagesOf(alice, room, short.String("rooms", "join", room, "timeline", "prev_batch"), "dir=b&limit=3")
	slices.Reverse(older)
	if diff := cmp.Diff(want, typesOf(append(older, short.Timeline(room)...))); diff != "" {
		t.Errorf("/messages, then /sync (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, typesOf(history(alice, room))); diff != "" {
		t.Errorf("/messages (-want +got):\n%s", diff)
	}
}
