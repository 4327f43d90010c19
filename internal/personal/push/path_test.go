package push

import (
	"slices"
	"strings"
	"testing"

	"homeserver/internal/rooms/timeline"
)

func TestSplitPath(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		key  string
		want []string
	}{
		{"content.body", []string{"content", "body"}},
		{`content.m\.relates_to`, []string{"content", "m.relates_to"}},
		{`content.m\\foo`, []string{"content", `m\foo`}},
		{`a\xb`, []string{`a\xb`}},
		{`a\`, []string{`a\`}},
		{`a\\.b`, []string{`a\`, "b"}},
		{"", []string{""}},
		{".", []string{"", ""}},
		{"a..b", []string{"a", "", "b"}},
	} {
		if got := splitPath(test.key); !slices.Equal(got, test.want) {
			t.Errorf("%q: got %q, want %q", test.key, got, test.want)
		}
	}
}

func FuzzSplitPath(f *testing.F) {
	f.Add(`content.m\.relates_to.rel_type`)
	f.Add(`a\\.b\x`)
	escape := strings.NewReplacer(`\`, `\\`, `.`, `\.`)
	f.Fuzz(func(t *testing.T, key string) {
		names := splitPath(key)
		escaped := make([]string, len(names))
		for i, name := range names {
			escaped[i] = escape.Replace(name)
		}
		if again := splitPath(strings.Join(escaped, ".")); !slices.Equal(again, names) {
			t.Errorf("%q: %q becomes %q when it is written and read again", key, names, again)
		}
	})
}

func TestTextOfAPath(t *testing.T) {
	t.Parallel()
	state := newEvent(t, "org.example", `{"a":{"b":"deep \u00e4\n"},"n":1,"o":{}}`, new("key"))
	message := newEvent(t, "org.example", `{}`, nil)
	redaction := newEvent(t, "m.room.redaction", `{}`, nil)
	redaction.Redacts = "$target"
	for _, test := range []struct {
		key  string
		of   *timeline.Event
		want string
		ok   bool
	}{
		{"type", state, "org.example", true},
		{"sender", state, bob, true},
		{"room_id", state, "!room:localhost", true},
		{"event_id", state, "$event", true},
		{"state_key", state, "key", true},
		{"state_key", message, "", false},
		{"redacts", redaction, "$target", true},
		{"redacts", message, "", false},
		{"content.a.b", state, "deep ä\n", true},
		{"content.a", state, "", false},
		{"content.n", state, "", false},
		{"content.a.b.c", state, "", false},
		{"content.none.b", state, "", false},
		{"content", state, "", false},
		{"origin_server_ts", state, "", false},
		{"unsigned.age", state, "", false},
		{"nothing", state, "", false},
	} {
		p, r, l := newPath(test.key), defaults(), &look{}
		r.giveSlot(&p)
		l.begin(r, test.of, group())
		if got, ok := l.text(&p); got != test.want || ok != test.ok {
			t.Errorf("%s: %q, %v", test.key, got, ok)
		}
	}
}

func TestIsScalar(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{
		`"x"`: true, `"{"`: true, `"1.5e3"`: true, `0`: true, `-7`: true, `true`: true, `false`: true, `null`: true,
		`1.5`: false, `1e3`: false, `1E3`: false, `-0.5`: false, `{}`: false, `[1]`: false, ``: false,
	} {
		if got := isScalar([]byte(value)); got != want {
			t.Errorf("%s: %v", value, got)
		}
	}
}
