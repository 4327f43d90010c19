package api

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

// change posts to an endpoint of a room that changes a membership.
func change(c *matrixtest.Client, room, what string, body any) *matrixtest.Response {
	c.T.Helper()
	return c.Do("POST", matrixtest.Path("rooms", room, what), body)
}

// whom returns the body that names a user.
func whom(c *matrixtest.Client) map[string]any { return map[string]any{"user_id": c.UserID} }

// stands fails the test unless a user has the membership in the room, as another
// sees it.
func stands(as *matrixtest.Client, room, userID, membership string) *matrixtest.Response {
	as.T.Helper()
	answer := as.Do("GET", matrixtest.Path("rooms", room, "state", "m.room.member", userID), nil).OK()
	if got := answer.String("membership"); got != membership {
		as.T.Errorf("%s: membership %q, want %q", userID, got, membership)
	}
	return answer
}

func TestInviteAndJoinAsInTheTutorial(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	anyone.Prefix = "/_matrix/client/r0"
	alice, friend := anyone.Register("example", "wordpass"), anyone.Register("myfriend", "wordpass")
	room := alice.CreateRoom(`{"room_alias_name":"tutorial"}`)
	friend.Do("POST", "/join/%23tutorial:localhost", nil).Refused(403, "M_FORBIDDEN")
	if got := change(alice, room, "invite", `{"user_id":"@myfriend:localhost"}`).OK().At(); len(got.(map[string]any)) != 0 {
		t.Errorf("invite: %v", got)
	}
	change(alice, room, "invite", `{"user_id":"@myfriend:localhost"}`).OK() // nothing happens
	if got := change(friend, room, "join", `{}`).OK().String("room_id"); got != room {
		t.Errorf("join: room_id %q", got)
	}
	events := len(history(alice, room))
	change(friend, room, "join", `{}`).OK()
	if got := len(history(alice, room)); got != events {
		t.Errorf("joining again made %d events", got-events)
	}
	path := matrixtest.Path("rooms", room, "state", "m.room.member", friend.UserID)
	alice.Do("PUT", path, `{"membership":"join","displayname":"not he"}`).Refused(403, "M_FORBIDDEN")
	if got := friend.Do("GET", "/joined_rooms", nil).OK().At("joined_rooms"); !cmp.Equal(got, any([]any{room})) {
		t.Errorf("joined_rooms: %v", got)
	}
}

func TestJoinInAllForms(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	room := alice.CreateRoom(map[string]any{"preset": "public_chat", "room_alias_name": "a/b ü"})
	alias := "#a/b ü:localhost"
	for _, path := range []string{
		"/join/" + url.PathEscape(room), "/join/" + room, matrixtest.Path("join", alias), "/join/%23a%2Fb%20%C3%BC%3Alocalhost?server_name=x&via=y",
		matrixtest.Path("rooms", room, "join"),
	} {
		for _, body := range []any{nil, "", `{}`, `{"reason":"why <not>"}`, `{"reason":null,"user_id":1,"third_party_signed":{}}`} {
			if got := bob.Do("POST", path, body).OK().String("room_id"); got != room {
				t.Errorf("%s: room_id %q", path, got)
			}
			answer := stands(alice, room, bob.UserID, "join")
			if want := map[bool]string{true: "why <not>"}[body == `{"reason":"why <not>"}`]; answer.String("reason") != want {
				t.Errorf("reason %q, want %q", answer.String("reason"), want)
			}
			change(bob, room, "leave", nil).OK()
		}
	}
}

// Bots and games mark their members by additional members of the body of /join.
func TestWhatABodyOfJoinAddsIsLost(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	room := alice.CreateRoom(openRoom)
	bob.Do("PUT", matrixtest.Path("profile", bob.UserID, "displayname"), `{"displayname":"Bob"}`).OK()
	body := `{"foo":"bar","org.example.n":{"a":[1,"<"]},"displayname":"Bob here","reason":"why",
		"membership":"ban","join_authorised_via_users_server":"@alice:localhost","third_party_invite":{},"third_party_signed":{}}`
	want := map[string]any{
		"membership": "join", "foo": "bar", "org.example.n": map[string]any{"a": []any{1.0, "<"}}, "displayname": "Bob here", "reason": "why",
	}
	for _, path := range []string{matrixtest.Path("join", room), matrixtest.Path("rooms", room, "join")} {
		bob.Do("POST", path, body).OK()
		if diff := cmp.Diff(any(want), stands(alice, room, bob.UserID, "join").At()); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
		change(bob, room, "leave", nil).OK()
		bob.Do("POST", path, `{"foo":0.5}`).Refused(400, "M_BAD_JSON")
		bob.Do("POST", path, `{"foo":"`+strings.Repeat("x", 66_000)+`"}`).Refused(413, "M_TOO_LARGE")
		stands(alice, room, bob.UserID, "leave")
	}
}

func TestJoinRefusals(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	private := alice.CreateRoom(nil)
	for _, test := range []struct {
		path, body string
		status     int
		code       string
	}{
		{matrixtest.Path("join", private), `{}`, 403, "M_FORBIDDEN"},
		{matrixtest.Path("rooms", private, "join"), `{}`, 403, "M_FORBIDDEN"},
		{matrixtest.Path("join", "!none:localhost"), `{}`, 404, "M_NOT_FOUND"},
		{matrixtest.Path("rooms", "!none:localhost", "join"), `{}`, 404, "M_NOT_FOUND"},
		{matrixtest.Path("join", "#none:localhost"), `{}`, 404, "M_NOT_FOUND"},
		{matrixtest.Path("join", "#none:elsewhere.example"), `{}`, 404, "M_NOT_FOUND"},
		{matrixtest.Path("join", "none"), `{}`, 400, "M_INVALID_PARAM"},
		{matrixtest.Path("join", "#none"), `{}`, 400, "M_INVALID_PARAM"},
		{matrixtest.Path("join", "#\x00:localhost"), `{}`, 400, "M_INVALID_PARAM"},
		{matrixtest.Path("join", "#"+strings.Repeat("a", 300)+":localhost"), `{}`, 400, "M_INVALID_PARAM"},
		{matrixtest.Path("rooms", "#none:localhost", "join"), `{}`, 400, "M_INVALID_PARAM"},
		{matrixtest.Path("join", private), `{"reason":1}`, 400, "M_BAD_JSON"},
		{matrixtest.Path("join", private), `{"reason":"\u0000"}`, 400, "M_BAD_JSON"},
		{matrixtest.Path("join", "#none:localhost"), `{`, 400, "M_NOT_JSON"},
		{matrixtest.Path("knock", private), `{}`, 403, "M_FORBIDDEN"},
		{matrixtest.Path("knock", "!none:localhost"), `{}`, 404, "M_NOT_FOUND"},
		{matrixtest.Path("knock", "#none:localhost"), `{}`, 404, "M_NOT_FOUND"},
	} {
		if answer := bob.Do("POST", test.path, test.body); answer.Status != test.status || answer.Errcode() != test.code {
			t.Errorf("%.90s %s: got %d %s, want %d %s", test.path, test.body, answer.Status, answer.Body, test.status, test.code)
		}
	}
}

func TestLeaveKickBanUnban(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	carol := alice.Register("carol", "wordpass")
	because := func(c *matrixtest.Client) map[string]any {
		return map[string]any{"user_id": c.UserID, "reason": "because"}
	}
	change(bob, room, "kick", whom(alice)).Refused(403, "M_FORBIDDEN")
	change(bob, room, "ban", whom(alice)).Refused(403, "M_FORBIDDEN")
	change(carol, room, "kick", whom(bob)).Refused(403, "M_FORBIDDEN")
	change(alice, room, "kick", whom(carol)).Refused(403, "M_FORBIDDEN")
	change(alice, room, "unban", whom(bob)).Refused(403, "M_FORBIDDEN")

	change(alice, room, "kick", because(bob)).OK()
	if got := stands(alice, room, bob.UserID, "leave").String("reason"); got != "because" {
		t.Errorf("reason of a kick: %q", got)
	}
	bob.Join(room)
	change(alice, room, "ban", because(bob)).OK()
	if got := stands(alice, room, bob.UserID, "ban").String("reason"); got != "because" {
		t.Errorf("reason of a ban: %q", got)
	}
	bob.Do("POST", matrixtest.Path("join", room), nil).Refused(403, "M_FORBIDDEN")
	change(alice, room, "invite", whom(bob)).Refused(403, "M_FORBIDDEN")
	change(alice, room, "kick", whom(bob)).Refused(403, "M_FORBIDDEN")
	change(bob, room, "leave", nil).Refused(403, "M_FORBIDDEN")
	change(bob, room, "unban", whom(bob)).Refused(403, "M_FORBIDDEN")
	change(alice, room, "unban", because(bob)).OK()
	stands(alice, room, bob.UserID, "leave")
	bob.Join(room)
	change(bob, room, "leave", `{"reason":"bye"}`).OK()
	change(bob, room, "leave", nil).OK() // again does nothing
	if got := stands(alice, room, bob.UserID, "leave").String("reason"); got != "bye" {
		t.Errorf("reason of leaving: %q", got)
	}
	change(carol, room, "leave", nil).Refused(403, "M_FORBIDDEN")
	change(carol, "!none:localhost", "leave", nil).Refused(403, "M_FORBIDDEN")
	change(alice, room, "ban", whom(carol)).OK() // one need not be there for it
}

func TestChangeOtherRefusals(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	for _, what := range []string{"invite", "kick", "ban", "unban"} {
		for body, code := range map[string]string{
			``: "M_MISSING_PARAM", `{}`: "M_MISSING_PARAM", `{"user_id":null}`: "M_MISSING_PARAM", `{"user_id":""}`: "M_MISSING_PARAM",
			`{"user_id":1}`: "M_BAD_JSON", `{"user_id":"@bob:localhost","reason":{}}`: "M_BAD_JSON", `{"user_id":"@b\u0000b:localhost"}`: "M_BAD_JSON",
			`{"user_id":"bob"}`: "M_INVALID_PARAM", `{"user_id":"@bob"}`: "M_INVALID_PARAM", `{"user_id":"@` + strings.Repeat("b", 300) + `:localhost"}`: "M_INVALID_PARAM",
			`["@bob:localhost"]`: "M_BAD_JSON", `{"user_id":"@bob:localhost"`: "M_NOT_JSON",
		} {
			if answer := change(alice, room, what, body); answer.Status != 400 || answer.Errcode() != code {
				t.Errorf("%s %.60s: got %d %s, want %s", what, body, answer.Status, answer.Body, code)
			}
		}
		change(alice, "!none:localhost", what, whom(bob)).Refused(403, "M_FORBIDDEN")
		change(alice, "none", what, whom(bob)).Refused(400, "M_INVALID_PARAM")
	}
	change(alice, room, "invite", whom(bob)).Refused(403, "M_FORBIDDEN") // he is there already
	change(alice, room, "invite", `{"user_id":"@bob:elsewhere.example"}`).Refused(403, "M_FORBIDDEN")
}

func TestForget(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	change(bob, room, "forget", nil).Refused(400, "M_UNKNOWN")
	change(bob, room, "leave", nil).OK()
	change(bob, room, "forget", "not even JSON").OK()
	change(bob, room, "forget", nil).OK()
	bob.Do("GET", matrixtest.Path("rooms", room, "state"), nil).Refused(403, "M_FORBIDDEN")
	if got := bob.Sync("", "filter", `{"room":{"include_leave":true}}`).At("rooms", "leave"); len(got.(map[string]any)) != 0 {
		t.Errorf("a forgotten room is in /sync: %v", got)
	}
	change(alice, "!none:localhost", "forget", nil).Refused(404, "M_NOT_FOUND")
	bob.Join(room)
	if got := len(history(bob, room)); got == 0 {
		t.Error("joining again brings nothing back")
	}
}

func TestKnock(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	room := alice.CreateRoom(map[string]any{
		"room_alias_name": "club",
		"initial_state":   []any{map[string]any{"type": "m.room.join_rules", "content": map[string]any{"join_rule": "knock"}}},
	})
	bob.Do("POST", matrixtest.Path("join", room), nil).Refused(403, "M_FORBIDDEN")
	if got := bob.Do("POST", matrixtest.Path("knock", "#club:localhost"), `{"reason":"let me in"}`).OK().String("room_id"); got != room {
		t.Errorf("room_id %q", got)
	}
	if got := stands(alice, room, bob.UserID, "knock").String("reason"); got != "let me in" {
		t.Errorf("reason %q", got)
	}
	if got := bob.Sync("").Events("rooms", "knock", room, "knock_state", "events"); len(got) == 0 {
		t.Error("the knock is not in /sync")
	}
	change(alice, room, "invite", whom(bob)).OK()
	bob.Join(room)
}

func TestJoinedRooms(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	if got := bob.Do("GET", "/joined_rooms", nil).OK().At("joined_rooms"); !cmp.Equal(got, any([]any{})) {
		t.Errorf("nobody's rooms: %v", got)
	}
	first, second, third := alice.CreateRoom(openRoom), alice.CreateRoom(openRoom), alice.CreateRoom(nil)
	bob.Join(first)
	bob.Join(second)
	change(alice, third, "invite", whom(bob)).OK()
	change(bob, first, "leave", nil).OK()
	if got := bob.Do("GET", "/joined_rooms", nil).OK().At("joined_rooms"); !cmp.Equal(got, any([]any{second})) {
		t.Errorf("got %v, want %s", got, second)
	}
}

func TestProfileChangesShowInRooms(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	since := alice.Sync("").NextBatch()
	bob.Do("PUT", matrixtest.Path("profile", bob.UserID, "displayname"), `{"displayname":"Bob the Builder"}`).OK()
	timeline := alice.Sync(since).Timeline(room)
	if len(timeline) != 1 || timeline[0].Content["displayname"] != "Bob the Builder" || timeline[0].Content["membership"] != "join" {
		t.Errorf("got %+v", timeline)
	}
}

func TestDeactivationLeavesRooms(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	invited := alice.CreateRoom(nil)
	change(alice, invited, "invite", whom(bob)).OK()
	bob.Do("POST", "/account/deactivate", map[string]any{"auth": passwordOf("bob", "wordpass")}).OK()
	stands(alice, room, bob.UserID, "leave")
	stands(alice, invited, bob.UserID, "leave")
}
