package api

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

// withJoinRule makes a room with a join rule.
func withJoinRule(c *matrixtest.Client, rule string, beside ...map[string]any) (roomID string) {
	c.T.Helper()
	state := []map[string]any{{"type": "m.room.join_rules", "content": map[string]any{"join_rule": rule}}}
	return c.CreateRoom(map[string]any{"room_version": "11", "initial_state": append(state, beside...)})
}

func TestKnockRefusals(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	banned, joined, invited := withJoinRule(alice, "knock"), withJoinRule(alice, "knock"), withJoinRule(alice, "knock")
	change(alice, banned, "ban", whom(bob)).OK()
	for _, room := range []string{joined, invited} {
		change(alice, room, "invite", whom(bob)).OK()
	}
	bob.Join(joined)
	open := withJoinRule(alice, "knock")
	for name, c := range map[string]struct {
		room, body string
		status     int
		code       string
	}{
		"public":               {withJoinRule(alice, "public"), `{}`, 403, "M_FORBIDDEN"},
		"invite":               {withJoinRule(alice, "invite"), `{}`, 403, "M_FORBIDDEN"},
		"restricted":           {withJoinRule(alice, "restricted"), `{}`, 403, "M_FORBIDDEN"},
		"banned":               {banned, `{}`, 403, "M_FORBIDDEN"},
		"joined":               {joined, `{}`, 403, "M_FORBIDDEN"},
		"invited":              {invited, `{}`, 403, "M_FORBIDDEN"},
		"no such room":         {"!none:localhost", `{}`, 404, "M_NOT_FOUND"},
		"no such alias":        {"#none:localhost", `{}`, 404, "M_NOT_FOUND"},
		"alias elsewhere":      {"#none:elsewhere.example", `{}`, 404, "M_NOT_FOUND"},
		"neither":              {"none", `{}`, 400, "M_INVALID_PARAM"},
		"reason is a number":   {open, `{"reason":1}`, 400, "M_BAD_JSON"},
		"reason is an object":  {open, `{"reason":{}}`, 400, "M_BAD_JSON"},
		"body is a list":       {open, `[]`, 400, "M_BAD_JSON"},
		"body is no JSON":      {open, `{"reason"`, 400, "M_NOT_JSON"},
		"reason is null":       {withJoinRule(alice, "knock"), `{"reason":null}`, 200, ""},
		"no body":              {withJoinRule(alice, "knock"), ``, 200, ""},
		"knocks or is allowed": {withJoinRule(alice, "knock_restricted"), `{}`, 200, ""},
	} {
		for _, prefix := range []string{"/_matrix/client/r0", "/_matrix/client/v3", "/_matrix/client/unstable/xyz.amorgan.knock"} {
			path := prefix + matrixtest.Path("knock", c.room) + "?via=localhost&via=elsewhere.example&server_name=localhost&server_name=[::1]:8448"
			if got := bob.Do("POST", path, c.body); got.Status != c.status || got.Errcode() != c.code {
				t.Errorf("%s, %s: %d %s", name, prefix, got.Status, got.Body)
			}
		}
	}
	if got := bob.Sync("").At("rooms", "knock", open); got != nil {
		t.Errorf("a refused knock is kept: %v", got)
	}
}

// TestKnockShowsWhatTheRoomIs: the stripped state, in /sync and beside the member event.
func TestKnockShowsWhatTheRoomIs(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	room := withJoinRule(alice, "knock",
		map[string]any{"type": "m.room.name", "content": map[string]any{"name": "Club"}},
		map[string]any{"type": "m.room.topic", "content": map[string]any{"topic": "Secrets"}},
		map[string]any{"type": "m.room.avatar", "content": map[string]any{"url": "mxc://localhost/club"}},
		map[string]any{"type": "m.room.encryption", "content": map[string]any{"algorithm": "m.megolm.v1.aes-sha2"}},
		map[string]any{"type": "org.example.secret", "content": map[string]any{}},
	)
	alice.Do("PUT", matrixtest.Path("directory", "room", "#club:localhost"), map[string]any{"room_id": room}).OK()
	alice.SetState(room, "m.room.canonical_alias", "", map[string]any{"alias": "#club:localhost"})
	since := bob.Do("GET", "/events?timeout=0", nil).OK().String("end")
	bob.Do("POST", matrixtest.Path("knock", room), nil).OK()
	want := []string{
		"m.room.avatar", "m.room.canonical_alias", "m.room.create", "m.room.encryption", "m.room.join_rules", "m.room.member", "m.room.name", "m.room.topic",
	}
	shows := func(where string, state []any) {
		t.Helper()
		types := []string{}
		for _, one := range state {
			e := one.(map[string]any)
			types = append(types, e["type"].(string))
			if len(e) != 4 || e["content"] == nil || e["sender"] == nil || e["state_key"] == nil {
				t.Errorf("%s: %v is not stripped", where, e)
			}
		}
		slices.Sort(types)
		if diff := cmp.Diff(want, types); diff != "" {
			t.Errorf("%s: %s", where, diff)
		}
	}
	shows("/sync", bob.Sync("").At("rooms", "knock", room, "knock_state", "events").([]any))
	chunk := bob.Do("GET", "/events?timeout=0&from="+since, nil).OK()
	if got := chunk.Events("chunk"); len(got) != 1 || got[0].Content["membership"] != "knock" {
		t.Fatalf("/events: %s", chunk.Body)
	}
	shows("/events", chunk.At("chunk", 0, "unsigned", "knock_room_state").([]any))
}

// TestReasonsOfMemberships: every change of a membership takes a reason, and keeps no
// change with one that is none.
func TestReasonsOfMemberships(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	room := withJoinRule(alice, "knock")
	step := func(who *matrixtest.Client, action, membership string, more map[string]any) {
		t.Helper()
		path := matrixtest.Path("rooms", room, action)
		switch action {
		case "knock":
			path = matrixtest.Path("knock", room)
		case "join by name":
			path = matrixtest.Path("join", room)
		}
		body := map[string]any{"reason": 5}
		for key, value := range more {
			body[key] = value
		}
		who.Do("POST", path, body).Refused(400, "M_BAD_JSON")
		body["reason"] = "for " + action
		who.Do("POST", path, body).OK()
		if got := stands(alice, room, bob.UserID, membership).String("reason"); got != "for "+action {
			t.Errorf("%s: the reason is %q", action, got)
		}
	}
	step(bob, "knock", "knock", nil)
	step(alice, "invite", "invite", whom(bob))
	step(bob, "join", "join", nil)
	step(alice, "kick", "leave", whom(bob))
	step(alice, "ban", "ban", whom(bob))
	step(alice, "unban", "leave", whom(bob))
	alice.SetState(room, "m.room.join_rules", "", map[string]any{"join_rule": "public"})
	step(bob, "join by name", "join", nil)
	step(bob, "leave", "leave", nil)
}

// TestJoinsTakeServers: clients name the servers to join through in two ways, at each place.
func TestJoinsTakeServers(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	room := withJoinRule(alice, "public")
	for _, query := range []string{"?via=localhost", "?server_name=localhost&server_name=elsewhere.example&via=", "?via=" + "not%20a%20server&via=[::1]:8448&via=[::1]:8448"} {
		for _, path := range []string{matrixtest.Path("join", room), matrixtest.Path("rooms", room, "join")} {
			if got := bob.Do("POST", path+query, nil).OK().String("room_id"); got != room {
				t.Errorf("%s%s: %q", path, query, got)
			}
			change(bob, room, "leave", nil).OK()
		}
	}
	bob.Do("POST", matrixtest.Path("join", "!gone:elsewhere.example")+"?via=elsewhere.example", nil).Refused(404, "M_NOT_FOUND")
}
