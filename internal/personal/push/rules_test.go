package push

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

const quiet = `{"actions":[]}`

func TestRulesetOfNewUser(t *testing.T) {
	h := newEnv(t)
	content, changed, err := h.RulesEvent(t.Context(), alice)
	h.OK(err)
	if changed != 0 {
		t.Errorf("changed at %d", changed)
	}
	var got struct {
		Global map[string][]struct {
			ID      string `json:"rule_id"`
			Default bool   `json:"default"`
			Enabled bool   `json:"enabled"`
		} `json:"global"`
	}
	h.OK(json.Unmarshal(content, &got))
	ids := map[string][]string{}
	for kind, rules := range got.Global {
		ids[kind] = []string{}
		for _, r := range rules {
			ids[kind] = append(ids[kind], strings.TrimPrefix(strings.TrimPrefix(r.ID, ".m.rule."), ".org.matrix."))
			if !r.Default || r.Enabled != (r.ID != ".m.rule.master") {
				t.Errorf("%+v", r)
			}
		}
	}
	want := map[string][]string{
		"override": {
			"master", "suppress_notices", "invite_for_me", "member_event", "is_user_mention", "contains_display_name",
			"is_room_mention", "roomnotif", "tombstone", "reaction", "room.server_acl", "suppress_edits",
			"msc3930.rule.poll_response",
		},
		"content": {"contains_user_name"}, "room": {}, "sender": {},
		"underride": {
			"call", "encrypted_room_one_to_one", "room_one_to_one", "message", "encrypted",
			"msc3930.rule.poll_start_one_to_one", "msc3930.rule.poll_start", "msc3930.rule.poll_end_one_to_one", "msc3930.rule.poll_end",
		},
	}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPredefinedRuleAsJSON(t *testing.T) {
	h := newEnv(t)
	rules, err := h.Ruleset(t.Context(), alice)
	h.OK(err)
	for id, want := range map[string]string{
		".m.rule.master": `{"actions":[],"conditions":[],"default":true,"enabled":false,"rule_id":".m.rule.master"}`,
		".m.rule.is_user_mention": `{"actions":["notify",{"set_tweak":"sound","value":"default"},{"set_tweak":"highlight"}],` +
			`"conditions":[{"kind":"event_property_contains","key":"content.m\\.mentions.user_ids","value":"@alice:localhost"}],` +
			`"default":true,"enabled":true,"rule_id":".m.rule.is_user_mention"}`,
	} {
		rule, ok := rules.Rule(Override, id)
		got, err := matrix.EncodeJSON(rule)
		if !ok || err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	if _, ok := rules.Rule(Content, ".m.rule.master"); ok {
		t.Error("a rule is found under another kind")
	}
}

func TestRulesOfOnesOwn(t *testing.T) {
	h := newEnv(t)
	h.OK(h.put(alice, Content, "cake", `{"actions":["notify",{"set_tweak":"sound","value":"<cake>.wav"}],"pattern":"ca*e","rule_id":"other","enabled":false,"default":true}`, Place{}))
	h.OK(h.put(alice, Override, "beer", `{"actions":["dont_notify"]}`, Place{}))
	h.OK(h.put(alice, Room, "!room:localhost", quiet, Place{}))
	for _, test := range []struct {
		kind     Kind
		id, want string
	}{
		{Content, "cake", `{"actions":["notify",{"set_tweak":"sound","value":"<cake>.wav"}],"default":false,"enabled":true,"pattern":"ca*e","rule_id":"cake"}`},
		{Override, "beer", `{"actions":["dont_notify"],"conditions":[],"default":false,"enabled":true,"rule_id":"beer"}`},
		{Room, "!room:localhost", `{"actions":[],"default":false,"enabled":true,"rule_id":"!room:localhost"}`},
	} {
		rules, err := h.another().Ruleset(t.Context(), alice)
		h.OK(err)
		rule, _ := rules.Rule(test.kind, test.id)
		if got, err := matrix.EncodeJSON(rule); err != nil || string(got) != test.want {
			t.Errorf("got %s, %v, want %s", got, err, test.want)
		}
	}
	if got := h.own(bob, Content); len(got) > 0 {
		t.Errorf("bob has %v", got)
	}
	if got := h.order(alice, Override)[:3]; !slices.Equal(got, []string{".m.rule.master", "beer", ".m.rule.suppress_notices"}) {
		t.Errorf("order: %v", got)
	}

	h.OK(h.DeleteRule(t.Context(), alice, Content, "cake"))
	matrixtest.WantCode(h.T, h.DeleteRule(t.Context(), alice, Content, "cake"), matrix.NotFound)
	matrixtest.WantCode(h.T, h.DeleteRule(t.Context(), alice, Content, "beer"), matrix.NotFound)
	matrixtest.WantCode(h.T, h.DeleteRule(t.Context(), alice, Content, ".m.rule.master"), matrix.NotFound)
	matrixtest.WantCode(h.T, h.DeleteRule(t.Context(), alice, Override, ".m.rule.master"), matrix.InvalidParam)
	if got := h.own(alice, Content); len(got) > 0 {
		t.Errorf("after deleting: %v", got)
	}
}

func TestOrderOfRules(t *testing.T) {
	h := newEnv(t)
	put := func(id string, at Place) error { return h.put(alice, Sender, id, quiet, at) }
	want := func(ids ...string) {
		t.Helper()
		if got := h.own(alice, Sender); !slices.Equal(got, ids) {
			t.Errorf("order is %v, want %v", got, ids)
		}
	}
	h.OK(put("c", Place{}))
	h.OK(put("a", Place{}))
	want("a", "c")
	h.OK(put("b", Place{After: "a"}))
	want("a", "b", "c")
	h.OK(put("d", Place{Before: "c"}))
	want("a", "b", "d", "c")
	h.OK(put("e", Place{Before: "a", After: "c"}))
	want("e", "a", "b", "d", "c")
	// A rule that is there stays where it is, unless it is put elsewhere.
	h.OK(h.put(alice, Sender, "b", `{"actions":["notify"]}`, Place{}))
	want("e", "a", "b", "d", "c")
	h.OK(put("b", Place{After: "c"}))
	want("e", "a", "d", "c", "b")
	h.OK(put("b", Place{Before: "e"}))
	want("b", "e", "a", "d", "c")
	for _, at := range []Place{{Before: "nobody"}, {After: "nobody"}, {Before: "b"}, {Before: "nobody", After: "a"}} {
		matrixtest.WantCode(h.T, put("b", at), matrix.Unknown)
	}
	matrixtest.WantCode(h.T, h.put(alice, Override, "x", quiet, Place{After: ".m.rule.master"}), matrix.Unknown)
	matrixtest.WantCode(h.T, h.put(alice, Room, "x", quiet, Place{After: "a"}), matrix.Unknown)
	want("b", "e", "a", "d", "c")
}

func TestRuleIDsThatAreRefused(t *testing.T) {
	h := newEnv(t)
	for _, id := range []string{"", ".", ".m.rule.master", ".mine", "a/b", `a\b`, strings.Repeat("x", 256)} {
		matrixtest.WantCode(h.T, h.put(alice, Override, id, quiet, Place{}), matrix.InvalidParam)
	}
	h.OK(h.put(alice, Override, strings.Repeat("x", 255), quiet, Place{}))
}

func TestEnablingAndActions(t *testing.T) {
	h := newEnv(t)
	ctx := t.Context()
	h.OK(h.put(alice, Room, "!a:b", quiet, Place{}))
	for _, rule := range []struct {
		kind Kind
		id   string
	}{{Room, "!a:b"}, {Override, ".m.rule.master"}, {Underride, ".m.rule.message"}} {
		for _, enabled := range []bool{true, false} {
			h.OK(h.SetEnabled(ctx, alice, rule.kind, rule.id, enabled))
			h.OK(h.SetActions(ctx, alice, rule.kind, rule.id, rawList([]string{fmt.Sprintf(`{"set_tweak":"sound","value":"%v"}`, enabled)})))
			rules, err := h.Ruleset(ctx, alice)
			h.OK(err)
			got, _ := rules.Rule(rule.kind, rule.id)
			if got.Enabled != enabled || string(got.Actions[0]) != fmt.Sprintf(`{"set_tweak":"sound","value":"%v"}`, enabled) {
				t.Errorf("%s: %+v", rule.id, got)
			}
		}
	}
	// Changed once more, it stays disabled.
	h.OK(h.put(alice, Room, "!a:b", `{"actions":["notify"]}`, Place{}))
	rules, err := h.Ruleset(ctx, alice)
	h.OK(err)
	if rule, _ := rules.Rule(Room, "!a:b"); rule.Enabled {
		t.Error("changing a rule has enabled it")
	}
	for _, missing := range []string{".m.rule.none", "none"} {
		matrixtest.WantCode(h.T, h.SetEnabled(ctx, alice, Override, missing, true), matrix.NotFound)
		matrixtest.WantCode(h.T, h.SetActions(ctx, alice, Override, missing, rawList(plain)), matrix.NotFound)
	}
	matrixtest.WantCode(h.T, h.SetEnabled(ctx, alice, Content, ".m.rule.message", true), matrix.NotFound)
	matrixtest.WantCode(h.T, h.SetActions(ctx, alice, Room, "!a:b", rawList([]string{`"jump"`})), matrix.InvalidParam)
	matrixtest.WantCode(h.T, h.SetActions(ctx, alice, Room, "!a:b", nil), matrix.MissingParam)
	long := `{"set_tweak":"sound","value":"` + strings.Repeat("x", MaxRuleBytes) + `"}`
	matrixtest.WantCode(h.T, h.SetActions(ctx, alice, Room, "!a:b", rawList([]string{long})), matrix.TooLarge)
}

func TestChangeIsAJournalEntryOfItsUser(t *testing.T) {
	h := newEnv(t)
	before := h.Journal.Position()
	h.OK(h.put(alice, Room, "!a:b", quiet, Place{}))
	_, changed, err := h.RulesEvent(t.Context(), alice)
	h.OK(err)
	h.Journal.Read(func(v journal.View) {
		entries := v.About(journal.Topic{User: alice}, before)
		if len(entries) != 1 || entries[0].Position != changed {
			t.Fatalf("entries: %v, changed at %d", entries, changed)
		}
		if c, ok := entries[0].Value.(*Changed); !ok || c.UserID != alice {
			t.Errorf("value: %+v", entries[0].Value)
		}
		if len(v.About(journal.Topic{User: bob}, before)) > 0 {
			t.Error("bob hears of it")
		}
	})
	// What changes nothing is not told.
	h.OK(h.put(alice, Room, "!a:b", quiet, Place{}))
	h.OK(h.SetEnabled(t.Context(), alice, Room, "!a:b", true))
	if got := h.Journal.Position(); got != changed {
		t.Errorf("position %d after no change, want %d", got, changed)
	}
}

func TestRulesAreBounded(t *testing.T) {
	h := newEnv(t)
	own := &ownRules{Predefined: map[string]changedRule{}}
	for i := range MaxRules {
		own.Rules[i%kinds] = append(own.Rules[i%kinds], Rule{ID: fmt.Sprint(i), Actions: rawList(nothing), Pattern: new("x")})
	}
	raw, err := matrix.EncodeJSON(own)
	h.OK(err)
	_, err = h.Pool.Exec(t.Context(), `INSERT INTO push_rules VALUES ($1, 1, $2)`, alice, raw)
	h.OK(err)
	matrixtest.WantCode(h.T, h.put(alice, Room, "one more", quiet, Place{}), matrix.Unknown)
	h.OK(h.put(alice, Kind(7%kinds), "7", `{"actions":["notify"]}`, Place{}))

	long := `{"actions":["notify",{"set_tweak":"x","value":"` + strings.Repeat("x", MaxRuleBytes-200) + `"}]}`
	most := MaxRulesBytes / MaxRuleBytes
	for i := range most {
		h.OK(h.put(bob, Room, fmt.Sprint(i), long, Place{}))
	}
	matrixtest.WantCode(h.T, h.put(bob, Room, "one more", long, Place{}), matrix.TooLarge)
	if got := len(h.own(bob, Room)); got != most {
		t.Errorf("%d rules, want %d", got, most)
	}
	h.OK(h.DeleteRule(t.Context(), bob, Room, "0"))
	h.OK(h.put(bob, Room, "one more", long, Place{}))
}

// TestChangesAtOnce has several clients change the rules of one user, and others.
func TestChangesAtOnce(t *testing.T) {
	h := newEnv(t)
	const clients, each = 8, 5
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			for i := range each {
				user := []string{alice, bob}[c%2]
				if err := h.put(user, Room, fmt.Sprintf("%d.%d", c, i), quiet, Place{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for _, user := range []string{alice, bob} {
		if got := len(h.own(user, Room)); got != clients/2*each {
			t.Errorf("%s has %d rules, want %d", user, got, clients/2*each)
		}
	}
}

// TestChangesFromTwoProcesses: the second makes its change anew.
func TestChangesFromTwoProcesses(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	processes := []*env{envOn(t, pool, journal.Options{}), envOn(t, pool, journal.Options{})}
	const each = 10
	var all sync.WaitGroup
	for p, h := range processes {
		for i := range each {
			all.Go(func() {
				if err := h.put(alice, Room, fmt.Sprintf("%d.%d", p, i), quiet, Place{}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	for _, h := range processes {
		_, last, err := h.loadRules(t.Context(), alice)
		h.OK(err)
		h.OK(h.Journal.CatchUp(t.Context(), last))
		if got := len(h.own(alice, Room)); got != len(processes)*each {
			t.Errorf("%d rules, want %d", got, len(processes)*each)
		}
	}
}

func TestWaitingForATurnEndsWithTheRequest(t *testing.T) {
	h := newEnv(t)
	end, err := h.turns.Take(t.Context(), alice)
	h.OK(err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.SetEnabled(ctx, alice, Override, ".m.rule.master", true); err == nil {
		t.Error("a change went on beside another")
	}
	h.OK(h.SetEnabled(t.Context(), bob, Override, ".m.rule.master", true))
	end()
	h.OK(h.SetEnabled(t.Context(), alice, Override, ".m.rule.master", true))
}

func TestParseKind(t *testing.T) {
	t.Parallel()
	for k := range Kind(kinds) {
		if got, ok := ParseKind(k.String()); !ok || got != k {
			t.Errorf("%v is read as %v", k, got)
		}
	}
	if _, ok := ParseKind("Override"); ok {
		t.Error("there is a kind too many")
	}
}
