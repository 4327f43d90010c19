package api

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

// newSpace makes a public space with a name.
func newSpace(c *matrixtest.Client, name string) (roomID string) {
	c.T.Helper()
	return c.CreateRoom(map[string]any{"preset": "public_chat", "name": name, "creation_content": map[string]any{"type": "m.space"}})
}

// addChild puts a room among the children of a space.
func addChild(c *matrixtest.Client, space, room string, content map[string]any) {
	c.T.Helper()
	child := map[string]any{"via": []string{"localhost"}}
	for key, value := range content {
		child[key] = value
	}
	c.SetState(space, "m.space.child", room, child)
}

// hierarchyPath is the path of the tree of a space, with parameters in pairs.
func hierarchyPath(space string, parameters ...string) string {
	query := url.Values{}
	for i := 0; i < len(parameters); i += 2 {
		query.Add(parameters[i], parameters[i+1])
	}
	return "/_matrix/client/v1" + matrixtest.Path("rooms", space, "hierarchy") + "?" + query.Encode()
}

// tree reads all pages of the tree of a space, and returns the IDs of its rooms.
func tree(c *matrixtest.Client, space string, parameters ...string) []string {
	c.T.Helper()
	rooms := []string{}
	for from := ""; ; {
		page := c.Do("GET", hierarchyPath(space, append([]string{"from", from}, parameters...)...), nil).OK()
		for i := range page.At("rooms").([]any) {
			rooms = append(rooms, page.String("rooms", i, "room_id"))
		}
		if page.At("next_batch") == nil {
			return rooms
		}
		from = page.String("next_batch")
	}
}

func TestHierarchyOfASpace(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	space := newSpace(alice, "Club")
	public := alice.CreateRoom(map[string]any{"preset": "public_chat", "name": "Hall", "topic": "All of us"})
	private := alice.CreateRoom(map[string]any{"preset": "private_chat", "name": "Board"})
	addChild(alice, space, private, map[string]any{"order": "a"})
	addChild(alice, space, public, map[string]any{"order": "b", "suggested": true})
	for limit, pages := range map[string]int{"1": 3, "2": 2, "3": 1, "50": 1} {
		got := tree(alice, space, "limit", limit)
		if diff := cmp.Diff([]string{space, private, public}, got); diff != "" {
			t.Errorf("limit %s, %d pages: %s", limit, pages, diff)
		}
	}
	if diff := cmp.Diff([]string{space, public}, tree(bob, space)); diff != "" {
		t.Errorf("for who is not in the private room: %s", diff)
	}
	page := bob.Do("GET", hierarchyPath(space), nil).OK()
	for place, want := range map[string]any{
		"name": "Hall", "topic": "All of us", "num_joined_members": 1.0, "join_rule": "public", "world_readable": false, "guest_can_join": false,
		"room_type": nil, "allowed_room_ids": nil,
	} {
		if got := page.At("rooms", 1, place); got != want {
			t.Errorf("%s: %v, want %v", place, got, want)
		}
	}
	if got := page.At("rooms", 0, "room_type"); got != "m.space" {
		t.Errorf("the type of the space is %v", got)
	}
	children := page.Events("rooms", 0, "children_state")
	if len(children) != 2 || *children[0].StateKey != private || *children[1].StateKey != public || children[1].Content["suggested"] != true ||
		children[0].OriginServerTS == 0 || children[0].Sender != alice.UserID || children[0].ID != "" {
		t.Errorf("children_state: %s", page.Body)
	}
	if got := page.At("rooms", 1, "children_state"); got == nil || len(got.([]any)) != 0 {
		t.Errorf("children_state of an ordinary room: %v", got)
	}
}

func TestHierarchyRefusals(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	space, other := newSpace(alice, "Club"), newSpace(alice, "Other")
	for _, room := range []string{alice.CreateRoom(nil), alice.CreateRoom(nil), other} {
		addChild(alice, space, room, nil)
		addChild(alice, other, room, nil)
	}
	next := alice.Do("GET", hierarchyPath(space, "limit", "2", "max_depth", "1"), nil).OK().String("next_batch")
	alice.Do("GET", hierarchyPath(space, "from", next, "max_depth", "1", "limit", "7"), nil).OK() // which may differ
	for name, parameters := range map[string][]string{
		"limit of 0":              {"limit", "0"},
		"limit below 0":           {"limit", "-1"},
		"limit that is a word":    {"limit", "all"},
		"limit with a fraction":   {"limit", "1.5"},
		"depth below 0":           {"max_depth", "-1"},
		"depth that is a word":    {"max_depth", "deep"},
		"flag that is a number":   {"suggested_only", "1"},
		"another depth":           {"from", next, "max_depth", "2"},
		"no depth":                {"from", next},
		"another flag":            {"from", next, "max_depth", "1", "suggested_only", "true"},
		"token of another server": {"from", "x", "max_depth", "1"},
		"token of a sync":         {"from", "s1", "max_depth", "1"},
		"token without rooms":     {"from", "1a1_1", "max_depth", "1"},
		"token with a tail":       {"from", next + "_", "max_depth", "1"},
		"token with many rooms":   {"from", next + "_1_1_1_1_1_1_1_1_1_1", "max_depth", "1"},
		"token with a sign":       {"from", "-" + next, "max_depth", "1"},
		"token of the far future": {"from", "9223372036854775807a1_1_1", "max_depth", "1"},
	} {
		if got := alice.Do("GET", hierarchyPath(space, parameters...), nil); got.Status != 400 || got.Errcode() != "M_INVALID_PARAM" {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
	alice.Do("GET", hierarchyPath(other, "from", next, "max_depth", "1"), nil).Refused(403, "M_FORBIDDEN")
	alice.SetState(space, "m.room.join_rules", "", map[string]any{"join_rule": "invite"})
	bob.Do("GET", hierarchyPath(space, "from", next, "max_depth", "1"), nil).Refused(403, "M_FORBIDDEN") // by what he has been told
	if got := tree(alice, space, "max_depth", "0"); len(got) != 1 {
		t.Errorf("the space alone: %q", got)
	}
	if got := tree(alice, space, "max_depth", "99999999999999999999", "limit", "99999999999999999999"); len(got) != 4 {
		t.Errorf("with large numbers: %q", got)
	}
}
