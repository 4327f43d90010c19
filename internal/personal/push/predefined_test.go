package push

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/event"
)

// TestPredefinedRulesAreThoseOfTheSpecification compares with the definitions in
// the text of version 1.16, which testdata/predefined.json holds in its order: those of
// version 1.19, the legacy ones for mentions, and at the end of each kind those of
// MSC3930 for polls.
func TestPredefinedRulesAreThoseOfTheSpecification(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/predefined.json")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("[the user's Matrix ID]", alice, "[the local part of the user's Matrix ID]", "alice").Replace(string(raw))
	want := map[string]any{"room": []any{}, "sender": []any{}}
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(defaults())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	if err := json.Unmarshal(encoded, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPredefinedRulesAreRulesThatOneCouldSet: each condition and action is one that
// a client could have sent, and is kept in canonical form.
func TestPredefinedRulesAreRulesThatOneCouldSet(t *testing.T) {
	t.Parallel()
	rules := newRuleset(`@quo"te\:localhost`, &ownRules{}, 0)
	for k := range Kind(kinds) {
		list := rules.OfKind(k)
		for _, rule := range list {
			n := NewRule{Actions: rule.Actions, Conditions: rule.Conditions, Pattern: rule.Pattern}
			again, err := n.rule(k, "mine")
			if err != nil {
				t.Errorf("%s: %v", rule.ID, err)
			}
			for i, raw := range rule.Conditions {
				c, err := parseCondition(again.Conditions[i])
				if err != nil || c.test == never {
					t.Errorf("%s: condition %s is not known: %v", rule.ID, raw, err)
				}
			}
			if diff := cmp.Diff(asTexts(rule.Actions), asTexts(again.Actions)); diff != "" {
				t.Errorf("%s: actions (-kept +canonical):\n%s", rule.ID, diff)
			}
		}
	}
}

func asTexts(list []json.RawMessage) []string {
	texts := []string{}
	for _, raw := range list {
		texts = append(texts, string(raw))
	}
	return texts
}

func TestIsPredefined(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kind Kind
		id   string
		want bool
	}{
		{Override, ".m.rule.master", true},
		{Underride, ".m.rule.encrypted", true},
		{Underride, ".m.rule.master", false},
		{Content, ".m.rule.contains_user_name", true},
		{Override, ".m.rule.contains_user_name", false},
		{Override, ".m.rule.roomnotif", true},
		{Override, "mine", false},
	} {
		if got := isPredefined(test.kind, test.id); got != test.want {
			t.Errorf("%s %s: %v", test.kind, test.id, got)
		}
	}
}

// TestChangesOfPredefinedRulesDoNotSpread: the rules of one user are not those of
// another, nor those of another kind.
func TestChangesOfPredefinedRulesDoNotSpread(t *testing.T) {
	t.Parallel()
	own := &ownRules{Predefined: map[string]changedRule{
		predefinedKey(Override, ".m.rule.reaction"): {Actions: rawList(plain)},
		predefinedKey(Content, ".m.rule.call"):      {Enabled: new(false)},
		predefinedKey(Override, ".m.rule.gone"):     {Enabled: new(true)},
	}}
	changed, other := newRuleset(alice, own, 7), newRuleset(bob, &ownRules{}, 0)
	if rule, _ := changed.Rule(Override, ".m.rule.reaction"); len(rule.Actions) != 1 || !rule.Enabled || !rule.Default {
		t.Errorf("changed: %+v", rule)
	}
	if rule, _ := other.Rule(Override, ".m.rule.reaction"); len(rule.Actions) != 0 {
		t.Errorf("another user's: %+v", rule)
	}
	if rule, _ := changed.Rule(Underride, ".m.rule.call"); !rule.Enabled {
		t.Error("a change for one kind holds for another")
	}
	if _, ok := changed.Rule(Override, ".m.rule.gone"); ok {
		t.Error("a rule that is not predefined any more is still there")
	}
	if changed.Changed != 7 {
		t.Errorf("changed at %d", changed.Changed)
	}
}

func TestRoomMentionNeedsPower(t *testing.T) {
	t.Parallel()
	e := newEvent(t, "m.room.message", `{"body":"x","m.mentions":{"room":true}}`, nil)
	old := newEvent(t, "m.room.message", `{"body":"@room x"}`, nil)
	create := newEvent(t, "m.room.create", `{"creator":"@bob:localhost"}`, new("")).Event
	create.Sender = bob
	levels := func(content string) *event.Event {
		return newEvent(t, "m.room.power_levels", content, new("")).Event
	}
	for _, test := range []struct {
		name string
		in   RoomContext
		want bool
	}{
		{"nothing is known of the room", RoomContext{}, false},
		{"a creator where there are no levels", RoomContext{Create: create}, true},
		{"50 by default", RoomContext{Create: create, Levels: levels(`{"users":{"@bob:localhost":50}}`)}, true},
		{"49 is too little", RoomContext{Create: create, Levels: levels(`{"users":{"@bob:localhost":49}}`)}, false},
		{"the room asks for less", RoomContext{Create: create, Levels: levels(`{"notifications":{"room":0}}`)}, true},
		{"for more", RoomContext{Create: create, Levels: levels(`{"users":{"@bob:localhost":50},"notifications":{"room":51}}`)}, false},
	} {
		if got := defaults().evaluate(e, &test.in, &look{}); got.Highlight != test.want {
			t.Errorf("%s: %v", test.name, got.Highlight)
		}
		if got := defaults().evaluate(old, &test.in, &look{}); got.Highlight != test.want {
			t.Errorf("%s, the old way: %v", test.name, got.Highlight)
		}
	}
}
