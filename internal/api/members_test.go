package api

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

// crowd makes a public room of alice's with bob joined, carol invited, dan gone and
// eve banned.
func crowd(t *testing.T) (users map[string]*matrixtest.Client, room string) {
	t.Helper()
	anyone := newServer(t)
	users = map[string]*matrixtest.Client{}
	for _, name := range []string{"alice", "bob", "carol", "dan", "eve"} {
		users[name] = anyone.Register(name, "wordpass")
	}
	room = users["alice"].CreateRoom(openRoom)
	users["bob"].Join(room)
	users["dan"].Join(room)
	users["alice"].Do("POST", matrixtest.Path("rooms", room, "invite"), `{"user_id":"@carol:localhost"}`).OK()
	users["dan"].Do("POST", matrixtest.Path("rooms", room, "leave"), nil).OK()
	users["alice"].Do("POST", matrixtest.Path("rooms", room, "ban"), `{"user_id":"@eve:localhost"}`).OK()
	return users, room
}

// namesIn lists the state keys of member events in alphabetical order, without
// their server.
func namesIn(events []matrixtest.Event) []string {
	names := []string{}
	for _, e := range events {
		names = append(names, (*e.StateKey)[1:len(*e.StateKey)-len(":localhost")])
	}
	slices.Sort(names)
	return names
}

func TestMembersFilters(t *testing.T) {
	t.Parallel()
	users, room := crowd(t)
	path := matrixtest.Path("rooms", room, "members")
	for query, want := range map[string][]string{
		"":                                      {"alice", "bob", "carol", "dan", "eve"},
		"?membership=join":                      {"alice", "bob"},
		"?membership=invite":                    {"carol"},
		"?membership=leave":                     {"dan"},
		"?membership=ban":                       {"eve"},
		"?membership=knock":                     {},
		"?not_membership=leave":                 {"alice", "bob", "carol", "eve"},
		"?membership=ban&not_membership=join":   {"carol", "dan", "eve"},
		"?membership=join&not_membership=leave": {"alice", "bob", "carol", "eve"},
	} {
		events := users["bob"].Do("GET", path+query, nil).OK().Events("chunk")
		if diff := cmp.Diff(want, namesIn(events)); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
		for _, e := range events {
			if e.Type != "m.room.member" || e.RoomID != room || e.ID == "" {
				t.Errorf("%s: %+v", query, e)
			}
		}
	}
	users["bob"].Do("GET", path+"?membership=friend", nil).Refused(400, "M_INVALID_PARAM")
	users["bob"].Do("GET", path+"?not_membership=%00", nil).Refused(400, "M_INVALID_PARAM")
	users["carol"].Do("GET", path, nil).Refused(403, "M_FORBIDDEN")
	users["bob"].Do("GET", matrixtest.Path("rooms", "!none:localhost", "members"), nil).Refused(403, "M_FORBIDDEN")
}

func TestMembersAtAToken(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	room := alice.CreateRoom(openRoom)
	before := alice.Sync("").NextBatch()
	bob.Join(room)
	path := matrixtest.Path("rooms", room, "members")
	for query, want := range map[string][]string{
		"?at=" + before: {"alice"}, "": {"alice", "bob"}, "?at=" + alice.Sync("").NextBatch(): {"alice", "bob"}, "?at=": {"alice", "bob"},
		"?at=" + before + "&membership=join": {"alice"}, "?at=s0": {"alice"},
	} {
		if diff := cmp.Diff(want, namesIn(alice.Do("GET", path+query, nil).OK().Events("chunk"))); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
	for _, token := range []string{"x", "s", "s-1", "s99999", "1", "s1.5", "s99999999999999999999"} {
		alice.Do("GET", path+"?at="+token, nil).Refused(400, "M_INVALID_PARAM")
	}
}

// Clients ask with the tokens of /sync, of its timelines and of /messages, and for some
// memberships or for all but some.
func TestMembersAtATokenOfMessages(t *testing.T) {
	t.Parallel()
	users, room := crowd(t) // who came after these three: bob, dan, then carol's invite, dan's end, eve's ban
	bob := users["bob"]
	page := bob.Do("GET", matrixtest.Path("rooms", room, "messages")+"?dir=b&limit=3", nil).OK()
	between := page.String("end")
	path := matrixtest.Path("rooms", room, "members")
	for query, want := range map[string][]string{
		"?at=" + between:                                                   {"alice", "bob", "dan"},
		"?at=" + between + "&membership=join":                              {"alice", "bob", "dan"},
		"?at=" + between + "&not_membership=join":                          {},
		"?at=" + between + "&membership=leave":                             {},
		"?at=" + page.String("start"):                                      {"alice", "bob", "carol", "dan", "eve"},
		"?at=" + page.String("start") + "&not_membership=leave":            {"alice", "bob", "carol", "eve"},
		"?at=" + page.String("start") + "&membership=invite":               {"carol"},
		"?membership=leave&not_membership=join&at=" + page.String("start"): {"carol", "dan", "eve"},
		"?membership=ban&not_membership=leave&at=" + page.String("start"):  {"alice", "bob", "carol", "eve"},
	} {
		if diff := cmp.Diff(want, namesIn(bob.Do("GET", path+query, nil).OK().Events("chunk"))); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
}

// The prev_batch of a timeline that begins with the creation of the room is a
// time when there was no room.
func TestMembersBeforeTheCreationAreNobody(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	room := alice.CreateRoom(openRoom)
	answer := alice.Sync("", "filter", `{"room":{"timeline":{"limit":100}}}`)
	if answer.Timeline(room)[0].Type != "m.room.create" {
		t.Fatalf("the timeline does not begin with the creation: %s", answer.Body)
	}
	bob.Join(room)
	path := matrixtest.Path("rooms", room, "members") + "?at=" + answer.String("rooms", "join", room, "timeline", "prev_batch")
	if diff := cmp.Diff([]string{"alice"}, namesIn(alice.Do("GET", path, nil).OK().Events("chunk"))); diff != "" {
		t.Error(diff)
	}
}

func TestMembersForWhoHasLeft(t *testing.T) {
	t.Parallel()
	users, room := crowd(t)
	anyone := *users["alice"]
	anyone.Register("late", "wordpass").Join(room)
	if diff := cmp.Diff([]string{"alice", "bob"}, namesIn(users["dan"].Do("GET",
		matrixtest.Path("rooms", room, "members")+"?membership=join", nil).OK().Events("chunk"))); diff != "" {
		t.Error(diff)
	}
}

func TestJoinedMembers(t *testing.T) {
	t.Parallel()
	users, room := crowd(t)
	alice, bob := users["alice"], users["bob"]
	alice.Do("PUT", matrixtest.Path("profile", alice.UserID, "displayname"), `{"displayname":"Alice <3"}`).OK()
	alice.Do("PUT", matrixtest.Path("profile", alice.UserID, "avatar_url"), `{"avatar_url":"mxc://localhost/cat"}`).OK()
	path := matrixtest.Path("rooms", room, "joined_members")
	want := map[string]any{"joined": map[string]any{
		alice.UserID: map[string]any{"display_name": "Alice <3", "avatar_url": "mxc://localhost/cat"},
		bob.UserID:   map[string]any{"display_name": nil, "avatar_url": nil},
	}}
	if diff := cmp.Diff(any(want), bob.Do("GET", path, nil).OK().At()); diff != "" {
		t.Error(diff)
	}
	users["dan"].Do("GET", path, nil).Refused(403, "M_FORBIDDEN")
	users["carol"].Do("GET", path, nil).Refused(403, "M_FORBIDDEN")
	bob.Do("GET", matrixtest.Path("rooms", "!none:localhost", "joined_members"), nil).Refused(403, "M_FORBIDDEN")
}

func TestJoinedMembersHaveNullForWhatIsNoText(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	bob.SetState(room, "m.room.member", bob.UserID, `{"membership":"join","displayname":{"a":1},"avatar_url":null}`)
	nameless := map[string]any{"display_name": nil, "avatar_url": nil}
	want := map[string]any{alice.UserID: nameless, bob.UserID: nameless}
	if diff := cmp.Diff(any(want), alice.Do("GET", matrixtest.Path("rooms", room, "joined_members"), nil).OK().At("joined")); diff != "" {
		t.Error(diff)
	}
	bob.SetState(room, "m.room.member", bob.UserID, `{"membership":"join","displayname":"a\u0000\"ü"}`)
	if got := alice.Do("GET", matrixtest.Path("rooms", room, "joined_members"), nil).OK().String("joined", bob.UserID, "display_name"); got != "a\x00\"ü" {
		t.Errorf("got %q", got)
	}
}
