package api

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

func aliasPath(alias string) string { return matrixtest.Path("directory", "room", alias) }

func TestAliases(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	other := bob.CreateRoom(nil)
	names := []string{"#plain:localhost", "#with/slash and space:localhost", "#ü💥?&=%2F:localhost"}
	for _, alias := range names {
		bob.Do("GET", aliasPath(alias), nil).Refused(404, "M_NOT_FOUND")
		if got := alice.Do("PUT", aliasPath(alias), map[string]any{"room_id": room}).OK().At(); len(got.(map[string]any)) != 0 {
			t.Errorf("PUT: %v", got)
		}
		anyone := *bob
		anyone.Token = ""
		want := map[string]any{"room_id": room, "servers": []any{"localhost"}}
		if diff := cmp.Diff(any(want), anyone.Do("GET", aliasPath(alias), nil).OK().At()); diff != "" {
			t.Errorf("%s: %s", alias, diff)
		}
		// It is taken, also for the same room and by the same user.
		bob.Do("PUT", aliasPath(alias), map[string]any{"room_id": other}).Refused(409, "M_UNKNOWN")
		alice.Do("PUT", aliasPath(alias), map[string]any{"room_id": room}).Refused(409, "M_UNKNOWN")
	}
	var list struct{ Aliases []string }
	bob.Do("GET", matrixtest.Path("rooms", room, "aliases"), nil).OK().Into(&list)
	if diff := cmp.Diff(names, list.Aliases); diff != "" {
		t.Errorf("aliases of the room: %s", diff)
	}
	bob.Do("DELETE", aliasPath(names[0]), nil).Refused(403, "M_FORBIDDEN")
	alice.Do("DELETE", aliasPath(names[0]), nil).OK()
	alice.Do("DELETE", aliasPath(names[0]), nil).Refused(404, "M_NOT_FOUND")
	bob.Do("GET", aliasPath(names[0]), nil).Refused(404, "M_NOT_FOUND")
	bob.Do("PUT", aliasPath(names[0]), map[string]any{"room_id": other}).OK()
}

func TestAliasRefusals(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	stranger := alice.Register("stranger", "wordpass")
	good := map[string]any{"room_id": room}
	for _, test := range []struct {
		who           *matrixtest.Client
		method, alias string
		body          any
		status        int
		code          string
	}{
		{alice, "PUT", "#a:localhost", nil, 400, "M_MISSING_PARAM"},
		{alice, "PUT", "#a:localhost", `{"room_id":1}`, 400, "M_BAD_JSON"},
		{alice, "PUT", "#a:localhost", `{"room_id":"none"}`, 400, "M_INVALID_PARAM"},
		{alice, "PUT", "#a:localhost", `{"room_id":"!none:localhost"}`, 404, "M_NOT_FOUND"},
		{alice, "PUT", "a", good, 400, "M_INVALID_PARAM"},
		{alice, "PUT", "#a", good, 400, "M_INVALID_PARAM"},
		{alice, "PUT", "#:localhost", good, 400, "M_INVALID_PARAM"},
		{alice, "PUT", "#a\x00:localhost", good, 400, "M_INVALID_PARAM"},
		{alice, "PUT", "#a:elsewhere.example", good, 400, "M_INVALID_PARAM"},
		{alice, "PUT", "#" + strings.Repeat("a", 255) + ":localhost", good, 400, "M_INVALID_PARAM"},
		{stranger, "PUT", "#a:localhost", good, 403, "M_FORBIDDEN"},
		{alice, "GET", "a", nil, 400, "M_INVALID_PARAM"},
		{alice, "GET", "!a:localhost", nil, 400, "M_INVALID_PARAM"},
		{alice, "GET", "#a:localhost", nil, 404, "M_NOT_FOUND"},
		{alice, "GET", "#a:elsewhere.example", nil, 404, "M_NOT_FOUND"},
		{alice, "DELETE", "a", nil, 400, "M_INVALID_PARAM"},
		{alice, "DELETE", "#a:localhost", nil, 404, "M_NOT_FOUND"},
		{alice, "POST", "#a:localhost", nil, 405, "M_UNRECOGNIZED"},
	} {
		if answer := test.who.Do(test.method, aliasPath(test.alias), test.body); answer.Status != test.status || answer.Errcode() != test.code {
			t.Errorf("%s %.60s %v: got %d %s, want %d %s", test.method, test.alias, test.body, answer.Status, answer.Body, test.status, test.code)
		}
	}
	path := matrixtest.Path("rooms", room, "aliases")
	stranger.Do("GET", path, nil).Refused(403, "M_FORBIDDEN")
	stranger.Do("GET", matrixtest.Path("rooms", "!none:localhost", "aliases"), nil).Refused(403, "M_FORBIDDEN")
	stranger.Do("GET", matrixtest.Path("rooms", "none", "aliases"), nil).Refused(400, "M_INVALID_PARAM")
	if got := bob.Do("GET", path, nil).OK().At("aliases"); !cmp.Equal(got, any([]any{})) {
		t.Errorf("no aliases: %v", got)
	}
	alice.SetState(room, "m.room.history_visibility", "", map[string]any{"history_visibility": "world_readable"})
	stranger.Do("GET", path, nil).OK()
}

func TestDeletedAliasIsNoLongerPublished(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	for _, alias := range []string{"#main:localhost", "#alt:localhost", "#bobs:localhost"} {
		bob.Do("PUT", aliasPath(alias), map[string]any{"room_id": room}).OK()
	}
	alice.SetState(room, "m.room.canonical_alias", "", `{"alias":"#main:localhost","alt_aliases":["#alt:localhost","#bobs:localhost"]}`)
	// A moderator may delete an alias of another user, and it vanishes from the state.
	alice.Do("DELETE", aliasPath("#alt:localhost"), nil).OK()
	alice.Do("DELETE", aliasPath("#main:localhost"), nil).OK()
	want := map[string]any{"alt_aliases": []any{"#bobs:localhost"}}
	if diff := cmp.Diff(any(want), bob.Do("GET", matrixtest.Path("rooms", room, "state", "m.room.canonical_alias"), nil).OK().At()); diff != "" {
		t.Error(diff)
	}
	// The user who made it may delete it without that power.
	bob.Do("DELETE", aliasPath("#bobs:localhost"), nil).OK()
	bob.Do("GET", aliasPath("#bobs:localhost"), nil).Refused(404, "M_NOT_FOUND")
}

// Clients learn by /sync that an alias is no longer published; what else
// m.room.canonical_alias says stays. A user who may not set it deletes the alias
// nevertheless: client-server API, DELETE /directory/room/{roomAlias}.
func TestDeletedAliasLeavesTheCanonicalAlias(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	for _, alias := range []string{"#main:localhost", "#alt:localhost", "#bobs:localhost"} {
		bob.Do("PUT", aliasPath(alias), map[string]any{"room_id": room}).OK()
	}
	alice.SetState(room, "m.room.canonical_alias", "", `{"alias":"#main:localhost","alt_aliases":["#alt:localhost","#bobs:localhost"],"org.example":1}`)
	since := bob.Sync("").NextBatch()
	for _, step := range []struct {
		who   *matrixtest.Client
		alias string
		want  map[string]any // nil: the state stays as it is
	}{
		{alice, "#alt:localhost", map[string]any{"alias": "#main:localhost", "alt_aliases": []any{"#bobs:localhost"}, "org.example": 1.0}},
		{bob, "#bobs:localhost", nil},
		{alice, "#main:localhost", map[string]any{"alt_aliases": []any{"#bobs:localhost"}, "org.example": 1.0}},
	} {
		step.who.Do("DELETE", aliasPath(step.alias), nil).OK()
		bob.Do("GET", aliasPath(step.alias), nil).Refused(404, "M_NOT_FOUND")
		answer := bob.Sync(since)
		since = answer.NextBatch()
		var got map[string]any
		if events := answer.Timeline(room); len(events) == 1 && events[0].Type == "m.room.canonical_alias" {
			got = events[0].Content
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s deletes %s, and /sync shows (-want +got):\n%s", step.who.UserID, step.alias, diff)
		}
	}
}

func TestAdministratorDeletesAliases(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice := anyone.Register("alice", "wordpass")
	alice.CreateRoom(map[string]any{"room_alias_name": "bad"})
	const path = "/_synapse/admin/v1/register"
	nonce := anyone.Do("GET", path, nil).OK().String("nonce")
	anyone.Do("POST", path, map[string]any{
		"nonce": nonce, "username": "root", "password": "wordpass", "admin": true, "mac": proof(nonce, "root", "wordpass", "admin"),
	}).OK()
	anyone.Login("root", "wordpass").Do("DELETE", aliasPath("#bad:localhost"), nil).OK()
	alice.Do("GET", aliasPath("#bad:localhost"), nil).Refused(404, "M_NOT_FOUND")
}
