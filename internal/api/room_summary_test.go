package api

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

// summaryPaths are the paths of a room's summary: that of the specification, and two of
// the proposal.
func summaryPaths(room string) map[string]string {
	const proposal = "/_matrix/client/unstable/im.nheko.summary"
	return map[string]string{
		"specified":       "/_matrix/client/v1" + matrixtest.Path("room_summary", room),
		"proposed":        proposal + matrixtest.Path("summary", room),
		"proposed, older": proposal + matrixtest.Path("rooms", room, "summary"),
	}
}

func TestRoomSummary(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	room := alice.CreateRoom(map[string]any{
		"preset": "public_chat", "name": "Hall <&>", "topic": "All of us", "room_alias_name": "hall", "room_version": "11",
		"creation_content": map[string]any{"type": "org.example.hall"},
		"initial_state": []map[string]any{
			{"type": "m.room.encryption", "content": map[string]any{"algorithm": "m.megolm.v1.aes-sha2"}},
			{"type": "m.room.avatar", "content": map[string]any{"url": "mxc://localhost/hall"}},
			{"type": "m.room.guest_access", "content": map[string]any{"guest_access": "can_join"}},
			{"type": "m.room.history_visibility", "content": map[string]any{"history_visibility": "world_readable"}},
		},
	})
	anyone := matrixtest.At(t, alice.BaseURL, alice.HTTP)
	for _, c := range []struct {
		who        *matrixtest.Client
		membership string
	}{{alice, "join"}, {bob, "leave"}, {newGuest(anyone), "leave"}, {anyone, ""}} {
		for _, name := range []string{room, "#hall:localhost"} {
			for form, path := range summaryPaths(name) {
				want := map[string]any{
					"room_id": room, "name": "Hall <&>", "topic": "All of us", "canonical_alias": "#hall:localhost", "avatar_url": "mxc://localhost/hall",
					"num_joined_members": 1.0, "world_readable": true, "guest_can_join": true, "join_rule": "public", "room_type": "org.example.hall",
					"encryption": "m.megolm.v1.aes-sha2", "room_version": "11",
				}
				if c.membership != "" {
					want["membership"] = c.membership
				}
				if form != "specified" {
					want["im.nheko.summary.room_version"], want["im.nheko.summary.encryption"] = "11", "m.megolm.v1.aes-sha2"
				}
				answer := c.who.Do("GET", path+"?via=elsewhere.example&via=localhost", nil).OK()
				if diff := cmp.Diff(any(want), answer.At()); diff != "" {
					t.Errorf("%s, %s as %q: %s", form, name, c.membership, diff)
				}
			}
		}
	}
	alice.Do("POST", matrixtest.Path("rooms", room, "ban"), map[string]any{"user_id": bob.UserID}).OK()
	if got := bob.Do("GET", summaryPaths(room)["specified"], nil).OK().At("membership"); got != "ban" {
		t.Errorf("for who is banned: %v", got)
	}
}

// TestWhoMayKnowOfARoom holds for summaries and for trees of spaces.
func TestWhoMayKnowOfARoom(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	hall, other := alice.CreateRoom(map[string]any{"preset": "public_chat"}), alice.CreateRoom(nil)
	bob.Join(hall)
	guest := newGuest(anyone)
	allow := func(rooms ...string) []map[string]any {
		conditions := []map[string]any{{"type": "org.example.fee", "room_id": hall}}
		for _, room := range rooms {
			conditions = append(conditions, map[string]any{"type": "m.room_membership", "room_id": room})
		}
		return conditions
	}
	for name, c := range map[string]struct {
		version, visibility string
		rule                map[string]any
		bob, all            bool // who may know
	}{
		"public":                   {rule: map[string]any{"join_rule": "public"}, bob: true, all: true},
		"invite":                   {rule: map[string]any{"join_rule": "invite"}},
		"private":                  {rule: map[string]any{"join_rule": "private"}},
		"world readable":           {rule: map[string]any{"join_rule": "invite"}, visibility: "world_readable", bob: true, all: true},
		"knock":                    {rule: map[string]any{"join_rule": "knock"}, bob: true, all: true},
		"knock, of version 6":      {rule: map[string]any{"join_rule": "knock"}, version: "6"},
		"restricted":               {rule: map[string]any{"join_rule": "restricted", "allow": allow(other, hall)}, bob: true},
		"restricted to others":     {rule: map[string]any{"join_rule": "restricted", "allow": allow(other)}},
		"restricted, of version 7": {rule: map[string]any{"join_rule": "restricted", "allow": allow(hall)}, version: "7"},
		"both":                     {rule: map[string]any{"join_rule": "knock_restricted", "allow": allow(other)}, bob: true, all: true},
		"both, of version 9":       {rule: map[string]any{"join_rule": "knock_restricted", "allow": allow(other)}, version: "9"},
	} {
		if c.version == "" {
			c.version = "11"
		}
		if c.visibility == "" {
			c.visibility = "shared"
		}
		room := alice.CreateRoom(map[string]any{"room_version": c.version, "initial_state": []map[string]any{
			{"type": "m.room.join_rules", "content": c.rule},
			{"type": "m.room.history_visibility", "content": map[string]any{"history_visibility": c.visibility}},
		}})
		check := func(who *matrixtest.Client, as string, may bool) {
			t.Helper()
			summary := who.Do("GET", summaryPaths(room)["specified"], nil)
			if may != (summary.Status == 200) || !may && (summary.Status != 404 || summary.Errcode() != "M_NOT_FOUND") {
				t.Errorf("%s: the summary for %s: %d %s", name, as, summary.Status, summary.Body)
			}
			if who.Token == "" {
				return
			}
			tree := who.Do("GET", hierarchyPath(room), nil)
			if may != (tree.Status == 200) || !may && (tree.Status != 403 || tree.Errcode() != "M_FORBIDDEN") {
				t.Errorf("%s: the tree for %s: %d %s", name, as, tree.Status, tree.Body)
			}
		}
		check(alice, "a member", true)
		check(bob, "a user", c.bob)
		check(guest, "a guest", c.all)
		check(anyone, "anybody", c.all)
		alice.Do("POST", matrixtest.Path("rooms", room, "invite"), map[string]any{"user_id": bob.UserID}).OK()
		check(bob, "who is invited", true)
		alice.Do("POST", matrixtest.Path("rooms", room, "ban"), map[string]any{"user_id": bob.UserID}).OK()
		check(bob, "who is banned", c.visibility == "world_readable")
	}
	for form, path := range summaryPaths("!none:localhost") {
		if got := alice.Do("GET", path, nil); got.Status != 404 || got.Errcode() != "M_NOT_FOUND" {
			t.Errorf("%s: a room that does not exist: %d %s", form, got.Status, got.Body)
		}
	}
	alice.Do("GET", summaryPaths("#none:localhost")["specified"], nil).Refused(404, "M_NOT_FOUND")
	alice.Do("GET", summaryPaths("none")["specified"], nil).Refused(400, "M_INVALID_PARAM")
	alice.Do("GET", hierarchyPath("!none:localhost"), nil).Refused(403, "M_FORBIDDEN")
	alice.Do("GET", hierarchyPath("none"), nil).Refused(400, "M_INVALID_PARAM")
}
