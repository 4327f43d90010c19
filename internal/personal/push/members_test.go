package push

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"homeserver/internal/journal"
)

// TestCountsPassOverMembers: what others do about membership counts as little as if
// it were looked at, be it in the live window or in the tables.
func TestCountsPassOverMembers(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]journal.Options{"in the window": {}, "in the tables": {WindowBytes: 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := envOn(t, nil, o)
			room := h.Public(bob)
			h.Send(alice, room, "one")
			for i := range 5 {
				h.OK(h.Rooms.Join(t.Context(), fmt.Sprintf("@guest%d:localhost", i), room, ""))
			}
			h.Send(alice, room, "two")
			h.wantUnread(bob, room, mainTimeline(2, 0))

			h.OK(h.put(bob, Override, "members", `{"actions":["notify"],"conditions":[`+match("type", "m.room.member")+`]}`, Place{}))
			h.wantUnread(bob, room, mainTimeline(7, 0))
			h.OK(h.DeleteRule(t.Context(), bob, Override, "members"))
			h.wantUnread(bob, room, mainTimeline(2, 0))

			h.OK(h.Rooms.Invite(t.Context(), bob, room, carol, ""))
			h.wantUnread(bob, room, Unread{}) // bob's own word
			h.Send(alice, room, "three")
			h.wantUnread(bob, room, mainTimeline(1, 0))
			h.OK(h.Rooms.Leave(t.Context(), bob, room, ""))
			h.OK(h.Rooms.Join(t.Context(), bob, room, ""))
			h.wantUnread(bob, room, Unread{})
		})
	}
}

// TestCountsReachBackOverMembers: however many join, what was said before still counts.
func TestCountsReachBackOverMembers(t *testing.T) {
	t.Parallel()
	h := envOn(t, nil, journal.Options{WindowBytes: 1})
	room := h.Public(bob)
	h.Send(alice, room, "long ago")
	_, err := h.Pool.Exec(t.Context(), `
		WITH p AS (UPDATE journal SET position = position + 1100 RETURNING position - 1100 AS before)
		INSERT INTO events (event_nid, position, place, room_nid, event_id, type, state_key, sender, json, has_url)
		SELECT before + i, before + i, (before + i) * 1024, $1, '$member' || i, 'm.room.member', u, u, convert_to(json_build_object(
			'content', json_build_object('membership', 'join'), 'depth', i, 'room_id', $2::text,
			'sender', u, 'state_key', u, 'type', 'm.room.member')::text, 'UTF8'), false
		FROM p, generate_series(1, 1100) i, concat('@u', i, ':x') u`, h.NID(room), room)
	h.OK(err)
	later := envOn(t, h.Pool, journal.Options{})
	later.wantUnread(bob, room, mainTimeline(1, 0))
}

func TestQuietMembers(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	own := func(r Rule) *ownRules { return &ownRules{Rules: [kinds][]Rule{Override: {r}}} }
	changed := func(id string, c changedRule) *ownRules {
		return &ownRules{Predefined: map[string]changedRule{predefinedKey(Override, id): c}}
	}
	notify := []json.RawMessage{json.RawMessage(`"notify"`)}
	for name, c := range map[string]struct {
		rules *ownRules
		want  bool
	}{
		"the predefined rules":      {&ownRules{}, true},
		"a rule that notifies":      {own(Rule{ID: "a", Enabled: true, Actions: notify}), false},
		"the same, disabled":        {own(Rule{ID: "a", Actions: notify}), true},
		"a rule that says nothing":  {own(Rule{ID: "a", Enabled: true}), true},
		"members that notify":       {changed(ruleMemberEvent, changedRule{Actions: notify}), false},
		"no rule about members":     {changed(ruleMemberEvent, changedRule{Enabled: &no}), false},
		"no rule about own invites": {changed(ruleInviteForMe, changedRule{Enabled: &no}), true},
		"everything off":            {changed(".m.rule.master", changedRule{Enabled: &yes}), true},
		"everything notifies":       {changed(".m.rule.master", changedRule{Enabled: &yes, Actions: notify}), false},
	} {
		if got := newRuleset(bob, c.rules, 0).quietMembers; got != c.want {
			t.Errorf("%s: quietMembers is %t, want %t", name, got, c.want)
		}
	}
}

// TestRulesEvent: it is new after a change, and the same until then; each user finds their
// own name in it, and nothing that stands for it.
func TestRulesEvent(t *testing.T) {
	h := newEnv(t)
	get := func(user string) string {
		content, _, err := h.RulesEvent(t.Context(), user)
		h.OK(err)
		for _, wanted := range []string{`"value":"` + user + `"`, `"pattern":"` + user + `"`, `"pattern":"` + user[1:len(user)-len(":localhost")] + `"`} {
			if !strings.Contains(string(content), wanted) {
				t.Errorf("%s is not in %s", wanted, content)
			}
		}
		for _, placeholder := range []string{theOwner, theLocalpart} {
			if strings.Contains(string(content), placeholder) {
				t.Errorf("%s shows %s", content, placeholder)
			}
		}
		return string(content)
	}
	first := get(bob)
	if again := get(bob); first != again {
		t.Error("the same rules look otherwise the second time")
	}
	if others := strings.ReplaceAll(get(alice), "alice", "bob"); others != first {
		t.Errorf("those of another user: %s, want %s", others, first)
	}
	h.OK(h.SetEnabled(t.Context(), bob, Override, ".m.rule.master", true))
	if changed := get(bob); changed == first {
		t.Errorf("a change does not show: %s", changed)
	}
}

// TestUsersWithoutRulesOfTheirOwnShareThem: they take next to no memory.
func TestUsersWithoutRulesOfTheirOwnShareThem(t *testing.T) {
	t.Parallel()
	first, second := newRuleset(alice, &ownRules{}, 0), newRuleset(bob, &ownRules{Predefined: map[string]changedRule{}}, 3)
	if first.ruleList != second.ruleList {
		t.Error("each has a list")
	}
	no := false
	changed := newRuleset(alice, &ownRules{Predefined: map[string]changedRule{predefinedKey(Override, ruleUserMention): {Enabled: &no}}}, 4)
	if changed.ruleList == first.ruleList || weighRuleset(alice, changed) < 5*weighRuleset(alice, first) {
		t.Errorf("a list that was changed weighs %d, and the one that is shared %d", weighRuleset(alice, changed), weighRuleset(alice, first))
	}
}
