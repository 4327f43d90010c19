package timeline_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// oddTypes are event types that look like patterns, or like each other.
var oddTypes = []string{
	"m.room.message", "m.room.messages", "xm.room.message", "org.example", "org.example.", "ORG.EXAMPLE",
	"a", "aa", "aba", "a*b", "a%b", "a_b", `a\b`, `\`, `\\`, "%", "_", "*", "a.b.a.b", "ä", "äö", "a b", "a\nb", "(a)+",
}

// oddPatterns are patterns for them.
var oddPatterns = []string{
	"*", "**", "", "m.room.*", "*.message", "m.*.message", "*room*", "a*", "*a", "a*a", "a*b", "a*b*", "*b*a*", "a**b",
	`a\*`, `\*`, `\`, `*\`, "%", "_", "a_b", "a%b", "ä*", "?", "a?b", "org.example", "*.*", "a.b*a.b", "a\n*", "(a)*",
}

func anyOf(random *rand.Rand, list []string) []string {
	var some []string
	for range random.IntN(4) {
		some = append(some, list[random.IntN(len(list))])
	}
	return some
}

func anyFilter(random *rand.Rand) *timeline.EventFilter {
	f := &timeline.EventFilter{}
	patterns := append(append([]string{}, oddTypes...), oddPatterns...)
	if random.IntN(2) == 0 {
		types := append([]string{}, anyOf(random, patterns)...)
		f.Types = &types
	}
	if random.IntN(2) == 0 {
		f.NotTypes = anyOf(random, patterns)
	}
	if random.IntN(3) == 0 {
		senders := append([]string{}, anyOf(random, []string{alice, bob, "@a%:localhost", "*"})...)
		f.Senders = &senders
	}
	if random.IntN(3) == 0 {
		f.NotSenders = anyOf(random, []string{alice, bob, "*"})
	}
	if random.IntN(3) == 0 {
		with := random.IntN(2) == 0
		f.ContainsURL = &with
	}
	return f
}

func TestEffectiveFilters(t *testing.T) {
	t.Parallel()
	for definition, effective := range map[string]bool{
		`{}`: false, `{"not_types":[],"not_senders":[],"not_rooms":[]}`: false, `{"unread_thread_notifications":false}`: false,
		`{"types":[]}`: true, `{"senders":[]}`: true, `{"rooms":[]}`: true, `{"limit":0}`: true, `{"contains_url":false}`: true,
		`{"not_types":["a"]}`: true, `{"not_senders":["@a:b"]}`: true, `{"not_rooms":["!a:b"]}`: true,
		`{"lazy_load_members":true}`: true, `{"include_redundant_members":true}`: true, `{"unread_thread_notifications":true}`: true,
	} {
		var f timeline.EventFilter
		if err := json.Unmarshal([]byte(definition), &f); err != nil {
			t.Fatal(err)
		}
		if got := f.Effective(); got != nil && got != &f || (got != nil) != effective {
			t.Errorf("%s: got %+v", definition, got)
		}
	}
	if f := (*timeline.EventFilter)(nil).WithoutMessagesOf([]string{alice}); f.Effective() != f {
		t.Error("a filter without the messages of some users has no effect")
	}
}

func TestFilterInMemoryAgreesWithTheOneInSQL(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	contents := []string{`{}`, `{"url":"mxc://localhost/a"}`, `{"url":null}`, `{"URL":1,"info":{"url":"x"}}`}
	for i, evType := range oddTypes {
		_, err := h.Rooms.Send(t.Context(), roomstest.As([]string{alice, bob}[i%2], room), evType, json.RawMessage(contents[i%4]))
		h.OK(err)
	}
	redacted, err := h.Rooms.Send(t.Context(), roomstest.As(alice, room), "org.example", json.RawMessage(`{"url":"x"}`))
	h.OK(err)
	_, err = h.Rooms.Redact(t.Context(), roomstest.As(alice, room), redacted, "")
	h.OK(err)
	all := h.History(alice, room)
	random := rand.New(rand.NewPCG(3, 5))
	for range 400 {
		f := anyFilter(random)
		var want []string
		for _, e := range all {
			if f.Match(e) {
				want = append(want, e.ID)
			}
		}
		st, err := h.Rooms.Timeline.For(alice).Messages(t.Context(), room, timeline.Page{Limit: timeline.MaxLimit, Filter: f})
		h.OK(err)
		matrixtest.Equal(t, string(roomstest.Raw(f)), roomstest.IDs(st.Events), want)
		if t.Failed() {
			return
		}
	}
}

func TestFilterByType(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	for _, evType := range oddTypes {
		_, err := h.Rooms.Send(t.Context(), roomstest.As(alice, room), evType, json.RawMessage(`{}`))
		h.OK(err)
	}
	for pattern, want := range map[string][]string{
		"m.room.message":  {"m.room.message"},
		"m.room.message*": {"m.room.message", "m.room.messages"},
		"*m.room.message": {"m.room.message", "xm.room.message"},
		"org.example":     {"org.example"},
		"org.example*":    {"org.example", "org.example."},
		"a":               {"a"},
		"a*a":             {"aa", "aba"},
		"a_b":             {"a_b"},
		"a%b":             {"a%b"},
		`a\b`:             {`a\b`},
		"a*b":             {"a*b", "a%b", "a_b", `a\b`, "a.b.a.b", "a b", "a\nb"},
		"ä*":              {"ä", "äö"},
		"":                {},
		"none":            {},
	} {
		st, err := h.Rooms.Timeline.For(alice).Messages(t.Context(), room, timeline.Page{Limit: 100, Filter: &timeline.EventFilter{Types: &[]string{pattern}}})
		h.OK(err)
		got := []string{}
		for _, e := range st.Events {
			got = append(got, e.Type)
		}
		matrixtest.Equal(t, fmt.Sprintf("%q", pattern), got, want)
	}
}

func TestExclusionsWin(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.Send(alice, room, "a")
	h.Send(bob, room, "b")
	count := func(f timeline.EventFilter) int {
		t.Helper()
		st, err := h.Rooms.Timeline.For(alice).Messages(t.Context(), room, timeline.Page{Limit: 100, Filter: &f})
		h.OK(err)
		return len(st.Events)
	}
	messages := []string{"m.room.message"}
	for what, c := range map[string]struct {
		f    timeline.EventFilter
		want int
	}{
		"types":               {timeline.EventFilter{Types: &messages}, 2},
		"the same excluded":   {timeline.EventFilter{Types: &messages, NotTypes: messages}, 0},
		"one sender":          {timeline.EventFilter{Types: &messages, Senders: &[]string{bob}}, 1},
		"that one excluded":   {timeline.EventFilter{Types: &messages, Senders: &[]string{bob}, NotSenders: []string{bob}}, 0},
		"no types at all":     {timeline.EventFilter{Types: &[]string{}}, 0},
		"no senders at all":   {timeline.EventFilter{Senders: &[]string{}}, 0},
		"this room":           {timeline.EventFilter{Types: &messages, Rooms: &[]string{room}}, 2},
		"another room":        {timeline.EventFilter{Rooms: &[]string{"!other:localhost"}}, 0},
		"no rooms at all":     {timeline.EventFilter{Rooms: &[]string{}}, 0},
		"this room excluded":  {timeline.EventFilter{Rooms: &[]string{room}, NotRooms: []string{room}}, 0},
		"other room excluded": {timeline.EventFilter{Types: &messages, NotRooms: []string{"!other:localhost"}}, 2},
	} {
		if got := count(c.f); got != c.want {
			t.Errorf("%s: %d events, want %d", what, got, c.want)
		}
	}
}

func TestFilterAsClientsWriteIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text  string
		limit int
		code  matrix.Code
	}{
		{`{}`, 10, ""},
		{`{"limit":5}`, 5, ""},
		{`{"limit":0}`, 0, ""},
		{`{"limit":100000}`, timeline.MaxLimit, ""},
		{`{"limit":-1}`, 0, matrix.InvalidParam},
		{`{"types":null,"senders":null,"rooms":null}`, 10, ""},
		{`{"types":["a\u0000"]}`, 0, matrix.InvalidParam},
		{`{"not_types":["\u0000"]}`, 0, matrix.InvalidParam},
		{`{"senders":["\u0000"]}`, 0, matrix.InvalidParam},
		{`{"not_senders":["x","\u0000"]}`, 0, matrix.InvalidParam},
		{`{"rooms":["\u0000"]}`, 0, matrix.InvalidParam},
		{`{"not_rooms":["\u0000"]}`, 0, matrix.InvalidParam},
		{`{"types":["a*"` + strings.Repeat(`,"*"`, 198) + `,"b"],"not_types":["c*","d"]}`, 10, ""},
		{`{"types":["a*"` + strings.Repeat(`,"*"`, 198) + `],"not_types":["b","c*","d*"]}`, 0, matrix.InvalidParam},
		{`{"types":["a"` + strings.Repeat(`,"b"`, 1000) + `]}`, 10, ""},
	} {
		var f timeline.EventFilter
		if err := json.Unmarshal([]byte(c.text), &f); err != nil {
			t.Fatal(err)
		}
		matrixtest.WantCode(t, f.Check(), c.code, c.text)
		if c.code == "" && f.LimitOr(timeline.DefaultLimit) != c.limit {
			t.Errorf("%s: limit %d, want %d", c.text, f.LimitOr(timeline.DefaultLimit), c.limit)
		}
	}
	if (*timeline.EventFilter)(nil).LimitOr(7) != 7 || !(*timeline.EventFilter)(nil).WantsRoom("!x") {
		t.Error("no filter is not the same as an empty one")
	}
	invalid := timeline.EventFilter{NotTypes: []string{"a\xff"}}
	matrixtest.WantCode(t, invalid.Check(), matrix.InvalidParam, "not UTF-8")
}

func FuzzPatternMatchesItself(f *testing.F) {
	for _, p := range oddPatterns {
		f.Add(p, "x")
	}
	f.Fuzz(func(t *testing.T, pattern, filling string) {
		if strings.Count(pattern, "*") > 50 || len(filling) > 100 {
			t.Skip()
		}
		e := eventOfType(strings.ReplaceAll(pattern, "*", filling))
		if filter := (&timeline.EventFilter{Types: &[]string{pattern}}); !filter.Match(e) {
			t.Errorf("%q does not match %q", pattern, e.Type)
		}
		if filter := (&timeline.EventFilter{NotTypes: []string{pattern}}); filter.Match(e) {
			t.Errorf("%q does not keep out %q", pattern, e.Type)
		}
	})
}

func TestFiltersThatLetNothingThroughWantNoRoom(t *testing.T) {
	t.Parallel()
	for definition, wants := range map[string]bool{
		`{}`: true, `{"types":["a"],"senders":["@a:b"]}`: true, `{"not_types":[],"not_senders":[]}`: true,
		`{"types":[]}`: false, `{"senders":[]}`: false, `{"rooms":[]}`: false,
	} {
		var f timeline.EventFilter
		if err := json.Unmarshal([]byte(definition), &f); err != nil {
			t.Fatal(err)
		}
		if f.WantsRoom("!a:b") != wants {
			t.Errorf("%s: got %t", definition, !wants)
		}
	}
}
