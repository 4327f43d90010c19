package push

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// newEvent makes an event of bob's.
func newEvent(t testing.TB, evType, content string, stateKey *string) *timeline.Event {
	t.Helper()
	canonical, err := event.Canonical([]byte(content), false)
	if err != nil {
		t.Fatal(err)
	}
	v, _ := event.LookupVersion("11")
	return &timeline.Event{Event: &event.Event{
		ID: "$event", RoomID: "!room:localhost", Type: evType, Sender: bob, StateKey: stateKey,
		Content: canonical, OriginServerTS: 1234, Version: v,
	}}
}

// group is a room of many, in which bob has no power.
func group() *RoomContext { return &RoomContext{Members: 5, DisplayName: "Alice C."} }

// defaults are alice's rules as long as she has changed none.
func defaults() *Ruleset { return newRuleset(alice, &ownRules{}, 0) }

func TestPredefinedRules(t *testing.T) {
	t.Parallel()
	me, empty := alice, ""
	text := `{"msgtype":"m.text","body":"hello"}`
	couple, nobody := &RoomContext{Members: 2}, &RoomContext{Members: 5}
	for _, test := range []struct {
		name, evType, content string
		stateKey              *string
		in                    *RoomContext
		notify, highlight     bool
		sound                 string
	}{
		{"a message", "m.room.message", text, nil, group(), true, false, ""},
		{"a message among two", "m.room.message", text, nil, couple, true, false, `"default"`},
		{"an encrypted one", "m.room.encrypted", `{}`, nil, group(), true, false, ""},
		{"an encrypted one among two", "m.room.encrypted", `{}`, nil, couple, true, false, `"default"`},
		{"a call", "m.call.invite", `{}`, nil, group(), true, false, `"ring"`},
		{"a notice", "m.room.message", `{"msgtype":"m.notice","body":"hello"}`, nil, couple, false, false, ""},
		{"an invitation", "m.room.member", `{"membership":"invite"}`, &me, group(), true, false, `"default"`},
		{"that of another", "m.room.member", `{"membership":"invite"}`, new(string(carol)), group(), false, false, ""},
		{"a join", "m.room.member", `{"membership":"join"}`, &me, group(), false, false, ""},
		{"a mention", "m.room.message", `{"body":"x","m.mentions":{"user_ids":["@x:y","@alice:localhost"]}}`, nil, group(), true, true, `"default"`},
		{"a mention of another", "m.room.message", `{"body":"x","m.mentions":{"user_ids":["@x:y"]}}`, nil, group(), true, false, ""},
		{"a mention in any event", "org.example", `{"m.mentions":{"user_ids":["@alice:localhost"]}}`, nil, group(), true, true, `"default"`},
		{"a mention in a notice", "m.room.message", `{"msgtype":"m.notice","m.mentions":{"user_ids":["@alice:localhost"]}}`, nil, group(), false, false, ""},
		{"a mention in an edit", "m.room.message", `{"m.relates_to":{"rel_type":"m.replace"},"m.mentions":{"user_ids":["@alice:localhost"]}}`, nil, group(), true, true, `"default"`},
		{"a mention of the room without power", "m.room.message", `{"m.mentions":{"room":true}}`, nil, group(), true, false, ""},
		{"no boolean", "org.example", `{"m.mentions":{"room":"true"}}`, nil, group(), false, false, ""},
		{"a tombstone", "m.room.tombstone", `{}`, &empty, group(), true, true, ""},
		{"a tombstone that is no state", "m.room.tombstone", `{}`, nil, group(), false, false, ""},
		{"a reaction", "m.reaction", `{}`, nil, group(), false, false, ""},
		{"an ACL", "m.room.server_acl", `{}`, &empty, group(), false, false, ""},
		{"an edit", "m.room.message", `{"body":"x","m.relates_to":{"rel_type":"m.replace"}}`, nil, group(), false, false, ""},
		{"the old way to mention: the ID", "m.room.message", `{"body":"hey alice: see"}`, nil, nobody, true, true, `"default"`},
		{"the display name", "m.room.message", `{"body":"hey Dr. Who"}`, nil, &RoomContext{Members: 5, DisplayName: "dr. who"}, true, true, `"default"`},
		{"the old way beside the new", "m.room.message", `{"body":"hey alice: @room","m.mentions":{}}`, nil, group(), true, false, ""},
		{"beside a mention that is null", "m.room.message", `{"body":"hey alice","m.mentions":null}`, nil, group(), true, false, ""},
		{"the room without power", "m.room.message", `{"body":"hey @room"}`, nil, nobody, true, false, ""},
		{"the ID in a notice", "m.room.message", `{"msgtype":"m.notice","body":"hey alice"}`, nil, group(), false, false, ""},
		{"the ID within a word", "m.room.message", `{"body":"malice"}`, nil, group(), true, false, ""},
		{"anything else", "org.example", `{}`, nil, couple, false, false, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := defaults().evaluate(newEvent(t, test.evType, test.content, test.stateKey), test.in, &look{})
			if got.Notify != test.notify || got.Highlight != test.highlight || string(got.Tweaks["sound"]) != test.sound {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// holds reports whether an override rule of alice's with the conditions matches.
func holds(t *testing.T, conditions string, e *timeline.Event, in *RoomContext) bool {
	t.Helper()
	var n NewRule
	if err := json.Unmarshal([]byte(`{"actions":[{"set_tweak":"test","value":1}],"conditions":`+conditions+`}`), &n); err != nil {
		t.Fatal(err)
	}
	rule, err := n.rule(Override, "test")
	if err != nil {
		t.Fatalf("%s: %v", conditions, err)
	}
	own := &ownRules{}
	own.Rules[Override] = []Rule{rule}
	got := newRuleset(alice, own, 0).evaluate(e, in, &look{})
	return got.Tweaks["test"] != nil
}

func TestConditions(t *testing.T) {
	t.Parallel()
	e := newEvent(t, "org.example.type", `{
		"body":"Hello Alice C., how ARE you?", "topic":"Lunch plans", "quoted":"a \"b\"\nc", "number":7, "yes":true, "nothing":null,
		"big":9007199254740991, "deep":{"m.dotted":{"back\\slash":"x","quo\"te":"y"}}, "empty":"",
		"list":["x", 1, true, null, {"inner":["y"]}, ["z"], "with \"quotes\", and [brackets]", ""], "no":[]}`, new("key"))
	for _, test := range []struct {
		condition string
		want      bool
	}{
		{`{"kind":"event_match","key":"content.topic","pattern":"lunc?*"}`, true},
		{`{"kind":"event_match","key":"content.topic","pattern":"lunch"}`, false},
		{`{"kind":"event_match","key":"content.topic","pattern":"LUNCH PLANS"}`, true},
		{`{"kind":"event_match","key":"content.body","pattern":"are"}`, true},
		{`{"kind":"event_match","key":"content.body","pattern":"ello"}`, false},
		{`{"kind":"event_match","key":"content.quoted","pattern":"A \"B\"\nC"}`, true},
		{`{"kind":"event_match","key":"content.quoted","pattern":"a*c"}`, true},
		{`{"kind":"event_match","key":"content.number","pattern":"*"}`, false},
		{`{"kind":"event_match","key":"content.nothing","pattern":"*"}`, false},
		{`{"kind":"event_match","key":"content.absent","pattern":"*"}`, false},
		{`{"kind":"event_match","key":"content.absent","pattern":""}`, false},
		{`{"kind":"event_match","key":"content.empty","pattern":""}`, true},
		{`{"kind":"event_match","key":"content.empty","pattern":"*"}`, true},
		{`{"kind":"event_match","key":"content","pattern":"*"}`, false},
		{`{"kind":"event_match","key":"content.deep.m\\.dotted.back\\\\slash","pattern":"x"}`, true},
		{`{"kind":"event_match","key":"content.deep.m\\.dotted.back\\slash","pattern":"x"}`, true},
		{`{"kind":"event_match","key":"content.deep.m\\.dotted.quo\"te","pattern":"y"}`, true},
		{`{"kind":"event_match","key":"content.deep.m.dotted.back\\\\slash","pattern":"x"}`, false},
		{`{"kind":"event_match","key":"type","pattern":"org.*.TYPE"}`, true},
		{`{"kind":"event_match","key":"sender","pattern":"@bob:*"}`, true},
		{`{"kind":"event_match","key":"room_id","pattern":"!room:localhost"}`, true},
		{`{"kind":"event_match","key":"event_id","pattern":"$event"}`, true},
		{`{"kind":"event_match","key":"state_key","pattern":"key"}`, true},
		{`{"kind":"event_match","key":"state_key","pattern":""}`, false},
		{`{"kind":"event_match","key":"redacts","pattern":"*"}`, false},
		{`{"kind":"event_match","key":"type.x","pattern":"*"}`, false},
		{`{"kind":"event_match","key":"","pattern":"*"}`, false},

		{`{"kind":"event_property_is","key":"content.number","value":7}`, true},
		{`{"kind":"event_property_is","key":"content.number","value":"7"}`, false},
		{`{"kind":"event_property_is","key":"content.big","value":9007199254740991}`, true},
		{`{"kind":"event_property_is","key":"content.yes","value":true}`, true},
		{`{"kind":"event_property_is","key":"content.yes","value":1}`, false},
		{`{"kind":"event_property_is","key":"content.nothing","value":null}`, true},
		{`{"kind":"event_property_is","key":"content.absent","value":null}`, false},
		{`{"kind":"event_property_is","key":"content.topic","value":"Lunch plans"}`, true},
		{`{"kind":"event_property_is","key":"content.topic","value":"lunch plans"}`, false},
		{`{"kind":"event_property_is","key":"content.quoted","value":"a \u0022b\u0022\nc"}`, true},
		{`{"kind":"event_property_is","key":"type","value":"org.example.type"}`, true},
		{`{"kind":"event_property_is","key":"type","value":"ORG.example.type"}`, false},
		{`{"kind":"event_property_is","key":"origin_server_ts","value":1234}`, true},
		{`{"kind":"event_property_is","key":"origin_server_ts","value":1235}`, false},

		{`{"kind":"event_property_contains","key":"content.list","value":"x"}`, true},
		{`{"kind":"event_property_contains","key":"content.list","value":1}`, true},
		{`{"kind":"event_property_contains","key":"content.list","value":true}`, true},
		{`{"kind":"event_property_contains","key":"content.list","value":null}`, true},
		{`{"kind":"event_property_contains","key":"content.list","value":""}`, true},
		{`{"kind":"event_property_contains","key":"content.list","value":"with \"quotes\", and [brackets]"}`, true},
		{`{"kind":"event_property_contains","key":"content.list","value":"y"}`, false},
		{`{"kind":"event_property_contains","key":"content.list","value":"z"}`, false},
		{`{"kind":"event_property_contains","key":"content.list","value":"1"}`, false},
		{`{"kind":"event_property_contains","key":"content.no","value":""}`, false},
		{`{"kind":"event_property_contains","key":"content.topic","value":"Lunch plans"}`, false},
		{`{"kind":"event_property_contains","key":"content.deep","value":"x"}`, false},
		{`{"kind":"event_property_contains","key":"type","value":"x"}`, false},

		{`{"kind":"contains_display_name"}`, true},
		{`{"kind":"room_member_count","is":"5"}`, true},
		{`{"kind":"room_member_count","is":"==5"}`, true},
		{`{"kind":"room_member_count","is":"4"}`, false},
		{`{"kind":"room_member_count","is":"<5"}`, false},
		{`{"kind":"room_member_count","is":"<6"}`, true},
		{`{"kind":"room_member_count","is":"<=5"}`, true},
		{`{"kind":"room_member_count","is":">5"}`, false},
		{`{"kind":"room_member_count","is":">4"}`, true},
		{`{"kind":"room_member_count","is":">=5"}`, true},
		{`{"kind":"sender_notification_permission","key":"room"}`, false},
		{`{"kind":"org.example.unknown"}`, false},
		{`{"kind":"device","profile_tag":"x"}`, false},
	} {
		if got := holds(t, "["+test.condition+"]", e, group()); got != test.want {
			t.Errorf("%s: %v", test.condition, got)
		}
	}
}

func TestAllConditionsMustHold(t *testing.T) {
	t.Parallel()
	e := newEvent(t, "org.example", `{}`, nil)
	yes, no := `{"kind":"event_match","key":"type","pattern":"org.example"}`, `{"kind":"event_match","key":"type","pattern":"x"}`
	for conditions, want := range map[string]bool{
		`[]`: true, `null`: true, `[` + yes + `]`: true, `[` + yes + `,` + no + `]`: false, `[` + no + `,` + yes + `]`: false,
		`[` + yes + `,{"kind":"org.example.unknown"}]`: false,
	} {
		if got := holds(t, conditions, e, group()); got != want {
			t.Errorf("%s: %v", conditions, got)
		}
	}
}

func TestDisplayNameIsFoundAsItStands(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, body string
		want       bool
	}{
		{"Alice", "hi ALICE!", true},
		{"Alice", "malice", false},
		{"A*e", "hi alice", false},
		{"A*e", "hi a*E", true},
		{"", "anything", false},
		{"Ägidius", "hallo ägidius", true},
	} {
		e := newEvent(t, "org.example", fmt.Sprintf(`{"body":%q}`, test.body), nil)
		in := &RoomContext{DisplayName: test.name}
		if got := holds(t, `[{"kind":"contains_display_name"}]`, e, in); got != test.want {
			t.Errorf("%q in %q: %v", test.name, test.body, got)
		}
	}
	if holds(t, `[{"kind":"contains_display_name"}]`, newEvent(t, "org.example", `{"body":7}`, nil), group()) {
		t.Error("a body that is no text contains a name")
	}
}

func TestKindsAreCheckedInOrder(t *testing.T) {
	t.Parallel()
	e := newEvent(t, "m.room.message", `{"msgtype":"m.text","body":"there is cake"}`, nil)
	rule := func(id, sound string) Rule {
		return Rule{ID: id, Enabled: true, Actions: rawList([]string{`"notify"`, `{"set_tweak":"sound","value":"` + sound + `"}`})}
	}
	own := &ownRules{}
	want := func(sound string) {
		t.Helper()
		got := newRuleset(alice, own, 0).evaluate(e, &RoomContext{Members: 2}, &look{})
		if string(got.Tweaks["sound"]) != `"`+sound+`"` {
			t.Errorf("got %s, want %s", got.Tweaks["sound"], sound)
		}
	}
	want("default")
	own.Rules[Underride] = []Rule{rule("u", "underride")}
	want("underride")
	own.Rules[Sender] = []Rule{rule(carol, "other"), rule(bob, "sender")}
	want("sender")
	own.Rules[Room] = []Rule{rule("!other:localhost", "other"), rule("!room:localhost", "room")}
	want("room")
	cake := rule("c", "content")
	cake.Pattern = new("c?ke")
	own.Rules[Content] = []Rule{cake}
	want("content")
	own.Rules[Override] = []Rule{rule("o", "override"), rule("p", "second")}
	want("override")
	own.Rules[Override][0].Enabled = false
	want("second")
	own.Predefined = map[string]changedRule{predefinedKey(Override, ".m.rule.master"): {Enabled: new(true)}}
	if got := newRuleset(alice, own, 0).evaluate(e, group(), &look{}); got.Notify {
		t.Error("the master rule is not above all others")
	}
}

func TestNoNotificationOfWhatOneHasSent(t *testing.T) {
	t.Parallel()
	e := newEvent(t, "m.room.message", `{"body":"x"}`, nil)
	e.Sender = alice
	if got := defaults().evaluate(e, group(), &look{}); got.Notify {
		t.Errorf("got %+v", got)
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		actions           string
		notify, highlight bool
		tweaks            string
	}{
		{`[]`, false, false, `{}`},
		{`["notify"]`, true, false, `{}`},
		{`["dont_notify"]`, false, false, `{}`},
		{`["coalesce","notify"]`, true, false, `{}`},
		{`["notify",{"set_tweak":"highlight"}]`, true, true, `{"highlight":true}`},
		{`["notify",{"set_tweak":"highlight","value":false}]`, true, false, `{"highlight":false}`},
		{`["notify",{"set_tweak":"highlight","value":"true"}]`, true, false, `{"highlight":"true"}`},
		{`[{"set_tweak":"highlight"}]`, false, false, `{"highlight":true}`},
		{`["notify",{"set_tweak":"org.example.lamp","value":{"blink":2}}]`, true, false, `{"org.example.lamp":{"blink":2}}`},
	} {
		var list []json.RawMessage
		if err := json.Unmarshal([]byte(test.actions), &list); err != nil {
			t.Fatal(err)
		}
		if err := checkActions(list); err != nil {
			t.Errorf("%s: %v", test.actions, err)
		}
		got := outcomeOf(list)
		tweaks, err := json.Marshal(got.Tweaks)
		if err != nil {
			t.Fatal(err)
		}
		if got.Notify != test.notify || got.Highlight != test.highlight || string(tweaks) != test.tweaks {
			t.Errorf("%s: %+v, tweaks %s", test.actions, got, tweaks)
		}
	}
}

func TestBadRulesAreRefused(t *testing.T) {
	t.Parallel()
	notify := `"actions":["notify"]`
	for _, test := range []struct {
		kind Kind
		body string
		code matrix.Code
	}{
		{Room, `{}`, matrix.MissingParam},
		{Room, `{"actions":null}`, matrix.MissingParam},
		{Room, `{"actions":["stop_everything"]}`, matrix.InvalidParam},
		{Room, `{"actions":[7]}`, matrix.BadJSON},
		{Room, `{"actions":[null]}`, matrix.BadJSON},
		{Room, `{"actions":[["notify"]]}`, matrix.BadJSON},
		{Room, `{"actions":[{"value":"x"}]}`, matrix.InvalidParam},
		{Room, `{"actions":[{"set_tweak":7}]}`, matrix.BadJSON},
		{Room, `{` + notify + `,"conditions":[{"kind":"contains_display_name"}]}`, matrix.InvalidParam},
		{Sender, `{` + notify + `,"pattern":"x"}`, matrix.InvalidParam},
		{Content, `{` + notify + `}`, matrix.MissingParam},
		{Content, `{` + notify + `,"pattern":"` + strings.Repeat("x", 513) + `"}`, matrix.InvalidParam},
		{Override, `{` + notify + `,"pattern":"x"}`, matrix.InvalidParam},
		{Override, `{` + notify + `,"conditions":[7]}`, matrix.BadJSON},
		{Override, `{` + notify + `,"conditions":[null]}`, matrix.BadJSON},
		{Override, `{` + notify + `,"conditions":[{}]}`, matrix.MissingParam},
		{Override, `{` + notify + `,"conditions":[{"kind":7}]}`, matrix.BadJSON},
		{Override, `{` + notify + `,"conditions":[{"Kind":"event_match","key":"type","pattern":"x"}]}`, matrix.MissingParam},
		{Override, `{` + notify + `,"conditions":[{"kind":"event_match","KEY":"type","pattern":"x"}]}`, matrix.MissingParam},
		{Room, `{"actions":["notify",{"Set_Tweak":"highlight"}]}`, matrix.InvalidParam},
		{Override, `{` + notify + `,"conditions":[{"kind":"event_match","key":"type"}]}`, matrix.MissingParam},
		{Override, `{` + notify + `,"conditions":[{"kind":"event_match","pattern":"x"}]}`, matrix.MissingParam},
		{Override, `{` + notify + `,"conditions":[{"kind":"event_match","key":7,"pattern":"x"}]}`, matrix.BadJSON},
		{Override, `{` + notify + `,"conditions":[{"kind":"event_match","key":"type","pattern":"` + strings.Repeat("x", 513) + `"}]}`, matrix.InvalidParam},
		{Override, `{` + notify + `,"conditions":[{"kind":"event_match","key":"` + strings.Repeat("x.", 40) + `","pattern":"x"}]}`, matrix.InvalidParam},
		{Underride, `{` + notify + `,"conditions":[{"kind":"event_property_is","key":"type"}]}`, matrix.MissingParam},
		{Underride, `{` + notify + `,"conditions":[{"kind":"event_property_is","value":1}]}`, matrix.MissingParam},
		{Underride, `{` + notify + `,"conditions":[{"kind":"event_property_is","key":"type","value":{}}]}`, matrix.InvalidParam},
		{Underride, `{` + notify + `,"conditions":[{"kind":"event_property_contains","key":"type","value":[]}]}`, matrix.InvalidParam},
		{Underride, `{` + notify + `,"conditions":[{"kind":"event_property_is","key":"type","value":1.5}]}`, matrix.InvalidParam},
		{Underride, `{` + notify + `,"conditions":[{"kind":"room_member_count"}]}`, matrix.MissingParam},
		{Underride, `{` + notify + `,"conditions":[{"kind":"room_member_count","is":""}]}`, matrix.InvalidParam},
		{Underride, `{` + notify + `,"conditions":[{"kind":"room_member_count","is":"=2"}]}`, matrix.InvalidParam},
		{Underride, `{` + notify + `,"conditions":[{"kind":"room_member_count","is":"<-2"}]}`, matrix.InvalidParam},
		{Underride, `{` + notify + `,"conditions":[{"kind":"room_member_count","is":"two"}]}`, matrix.InvalidParam},
		{Underride, `{` + notify + `,"conditions":[{"kind":"sender_notification_permission"}]}`, matrix.MissingParam},
		{Room, `{"actions":["notify",{"set_tweak":"x","value":"` + strings.Repeat("x", MaxRuleBytes) + `"}]}`, matrix.TooLarge},
	} {
		var n NewRule
		if err := json.Unmarshal([]byte(test.body), &n); err != nil {
			t.Fatal(err)
		}
		if _, err := n.rule(test.kind, "test"); !matrix.IsCode(err, test.code) {
			t.Errorf("%s %s: %v, want %s", test.kind, test.body, err, test.code)
		}
	}
}

// TestConditionsOfAnyJSON looks for panics.
func FuzzCondition(f *testing.F) {
	f.Add(`{"kind":"event_match","key":"content.body","pattern":"*a?"}`, `{"body":"xay"}`)
	f.Add(`{"kind":"event_property_contains","key":"content.a","value":"x"}`, `{"a":["x","\"",[{"]":1}]]}`)
	f.Add(`{"kind":"event_property_is","key":"content.a\\.b","value":null}`, `{"a.b":null}`)
	f.Fuzz(func(t *testing.T, raw, content string) {
		condition, err := event.Canonical([]byte(raw), false)
		if err != nil {
			t.Skip()
		}
		object, err := event.Canonical([]byte(content), false)
		if err != nil || object[0] != '{' {
			t.Skip()
		}
		c, err := parseCondition(condition)
		if err != nil {
			t.Skip()
		}
		r := defaults()
		r.giveSlot(&c.path)
		l := &look{}
		l.begin(r, newEvent(t, "org.example", content, nil), group())
		c.holds(l)
	})
}
