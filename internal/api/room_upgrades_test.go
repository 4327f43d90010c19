package api

import (
	"testing"

	"homeserver/internal/matrixtest"
)

func upgradePath(room string) string { return matrixtest.Path("rooms", room, "upgrade") }

func TestUpgradeRoom(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	alice.Do("PUT", aliasPath("#pub:localhost"), map[string]any{"room_id": room}).OK()
	alice.Do("PUT", aliasPath("#other:localhost"), map[string]any{"room_id": room}).OK()
	alice.SetState(room, "m.room.canonical_alias", "", map[string]any{"alias": "#pub:localhost"})
	alice.Do("PUT", matrixtest.Path("directory", "list", "room", room), map[string]any{"visibility": "public"}).OK()
	since := bob.Sync("").NextBatch()

	next := alice.Do("POST", upgradePath(room), map[string]any{"new_version": "12"}).OK().String("replacement_room")
	sync := bob.Sync(since)
	tombstone := sync.Timeline(room)[0]
	if tombstone.Type != "m.room.tombstone" || tombstone.Content["replacement_room"] != next {
		t.Errorf("bob sees %v", tombstone)
	}
	for _, alias := range []string{"#pub:localhost", "#other:localhost"} {
		if got := bob.Do("GET", aliasPath(alias), nil).OK().String("room_id"); got != next {
			t.Errorf("%s points to %s", alias, got)
		}
	}
	if got := alice.Do("GET", matrixtest.Path("rooms", next, "state", "m.room.canonical_alias", ""), nil).OK().String("alias"); got != "#pub:localhost" {
		t.Errorf("the new room has the alias %q", got)
	}
	if got := alice.Do("GET", matrixtest.Path("rooms", room, "state", "m.room.canonical_alias", ""), nil).OK().At("alias"); got != nil {
		t.Errorf("the old room has the alias %q", got)
	}
	for id, want := range map[string]string{room: "private", next: "public"} {
		if got := bob.Do("GET", matrixtest.Path("directory", "list", "room", id), nil).OK().String("visibility"); got != want {
			t.Errorf("%s is %s", id, got)
		}
	}
	bob.Join("#pub:localhost")
	bob.SendText(next, "here")
}

func TestUpgradeRoomRefusals(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	for _, test := range []struct {
		who    *matrixtest.Client
		room   string
		body   string
		status int
		code   string
	}{
		{alice, room, `{`, 400, "M_NOT_JSON"},
		{alice, room, `[]`, 400, "M_BAD_JSON"},
		{alice, room, `{}`, 400, "M_MISSING_PARAM"},
		{alice, room, `{"new_version":12}`, 400, "M_BAD_JSON"},
		{alice, room, `{"new_version":"x"}`, 400, "M_UNSUPPORTED_ROOM_VERSION"},
		{alice, room, `{"new_version":"12","additional_creators":"@bob:localhost"}`, 400, "M_BAD_JSON"},
		{alice, room, `{"new_version":"12","additional_creators":[1]}`, 400, "M_BAD_JSON"},
		{alice, room, `{"new_version":"12","additional_creators":["bob"]}`, 400, "M_INVALID_PARAM"},
		{bob, room, `{"new_version":"12"}`, 403, "M_FORBIDDEN"},
		{alice, "!none:localhost", `{"new_version":"12"}`, 403, "M_FORBIDDEN"},
		{alice, "none", `{"new_version":"12"}`, 400, "M_INVALID_PARAM"},
	} {
		if answer := test.who.Do("POST", upgradePath(test.room), test.body); answer.Status != test.status || answer.Errcode() != test.code {
			t.Errorf("%s %s: got %d %s, want %d %s", test.room, test.body, answer.Status, answer.Body, test.status, test.code)
		}
	}
	if types := typesOf(history(alice, room)); types[len(types)-1] != "m.room.member @bob:localhost" {
		t.Errorf("a refused upgrade has left %v", types)
	}
}

func TestTagsFollowIntoTheUpgradedRoom(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	tag := func(room string) string {
		return matrixtest.Path("user", bob.UserID, "rooms", room, "tags", "m.favourite")
	}
	bob.Do("PUT", tag(room), `{"order":0.5}`).OK()
	next := alice.Do("POST", upgradePath(room), map[string]any{"new_version": "12"}).OK().String("replacement_room")
	since := bob.Sync("").NextBatch()
	bob.Join(next)
	bob.SyncUntil(since, func(r *matrixtest.Response) bool {
		for _, item := range r.Events("rooms", "join", next, "account_data", "events") {
			if item.Type == "m.tag" {
				return true
			}
		}
		return false
	})
}
