package push

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestGlobMatchesAllOfAText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, text string
		want          bool
	}{
		{"lunc?*", "Lunch plans", true},
		{"lunc?*", "LUNCH", true},
		{"lunc?*", " lunch", false},
		{"lunc?*", "lunc", false},
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "anything at all", true},
		{"**", "x", true},
		{"?", "ß", true},
		{"?", "", false},
		{"??", "a", false},
		{"m.notice", "M.Notice", true},
		{"m.notice", "m.notices", false},
		{"m.notice", "mxnotice", false},
		{"a*b*c", "a-b-c", true},
		{"a*b*c", "abc", true},
		{"a*b*c", "acb", false},
		{"aa*aa", "aaa", false},
		{"aa*aa", "aaaa", true},
		{"*a?", "xxab", true},
		{"*a?", "a", false},
		{"?*?", "x", false},
		{"*é", "CAFÉ", true},
		{"a[b]", "a[b]", true},
		{`a\*`, "a*", false},
		{`a\*`, `a\anything`, true},
	} {
		g := newGlob(test.pattern)
		if got := g.matches(test.text, enough()); got != test.want {
			t.Errorf("%q matches %q: %v", test.pattern, test.text, got)
		}
	}
}

func TestGlobMatchesWords(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, body string
		want          bool
	}{
		{"ex*ple", "An example event.", true},
		{"ex*ple", "exple", true},
		{"ex*ple", "An exciting triple-whammy", true},
		{"ex*ple", "inexample", false},
		{"cake", "cakes", false},
		{"cake", "pancake cake", true},
		{"cake", "pan_cake", false},
		{"cake", "a cake!", true},
		{"cake", "CAKE", true},
		{"cake", "9cake", false},
		{"cake", "", false},
		{"cake*lie", "the cake is a lie", true},
		{"cake*lie", "the cake is a liejust lies", false},
		{"cake*lie", "the lie is a cake", false},
		{"c?ke", "my coke, please", true},
		{"c?ke", "my cke, please", false},
		{"c?ke", "xcake coke", true},
		{"@room", "hello @room", true},
		{"@room", "x@room", false},
		{"*foo", "barfoo", true},
		{"*foo", "barfoobar", false},
		{"foo*", "foobar", true},
		{"foo*", "barfoo", false},
		{"*", "", true},
		{"café", "un café noir", true},
		{"ca?é", "un CAFÉ noir", true},
		{"", "a b", false},
		{"aa", "aaa aa", true},
		{"a?a", "baaa a-a", true},
	} {
		g := newGlob(test.pattern)
		if got := g.matchesWords(strings.ToLower(test.body), enough()); got != test.want {
			t.Errorf("%q in %q: %v", test.pattern, test.body, got)
		}
	}
}

// asRegexp is what the specification says of a pattern, as a regular expression.
func asRegexp(pattern string, words bool) *regexp.Regexp {
	var b strings.Builder
	for _, r := range pattern {
		switch r {
		case '*':
			b.WriteString(`(?s:.*)`)
		case '?':
			b.WriteString(`(?s:.)`)
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	if words {
		return regexp.MustCompile(`(?:^|[^A-Za-z0-9_])` + b.String() + `(?:$|[^A-Za-z0-9_])`)
	}
	return regexp.MustCompile(`^` + b.String() + `$`)
}

// FuzzGlob compares with regular expressions.
func FuzzGlob(f *testing.F) {
	for _, seed := range [][2]string{
		{"a*b", "aXb"}, {"a?b*c", "a.b.c"}, {"*a*a*", "aaa"}, {"aa a", "aa aa a"}, {"?*é", "xé"}, {"a", "b a"}, {"**", ""}, {"_?", "a _b"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		pattern, text = strings.ToLower(pattern), strings.ToLower(text)
		if len(pattern) > 20 || !utf8.ValidString(pattern) || !utf8.ValidString(text) || text != strings.ToLower(text) {
			t.Skip()
		}
		g := newGlob(pattern)
		if strings.ContainsAny(pattern, "*?") { // without, case is folded otherwise than by ToLower
			if got, want := g.matches(text, enough()), asRegexp(pattern, false).MatchString(text); got != want {
				t.Errorf("%q matches all of %q: %v, want %v", pattern, text, got, want)
			}
		}
		if strings.Trim(pattern, "*") == "" {
			t.Skip() // an empty match needs no character at its boundaries
		}
		if got, want := g.matchesWords(text, enough()), asRegexp(pattern, true).MatchString(text); got != want {
			t.Errorf("%q in %q: %v, want %v", pattern, text, got, want)
		}
	})
}

// TestNastyPatternsEnd would go on for ever with backtracking.
func TestNastyPatternsEnd(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("a", 60_000)
	for _, pattern := range []string{
		strings.Repeat("a*", 200) + "b", strings.Repeat("*a?", 150) + "b", strings.Repeat("a", 511) + "b",
	} {
		g := newGlob(pattern)
		if g.matches(body, enough()) || g.matchesWords(body, enough()) {
			t.Errorf("%q matches", pattern)
		}
	}
}

// enough is the effort that there is for one event.
func enough() *effort { return &effort{left: maxEffort, asked: true} }

// TestEffortIsBounded has more patterns than one event is worth.
func TestEffortIsBounded(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("a", 60_000)
	e := enough()
	for _, pattern := range []string{strings.Repeat("?", 511) + "b", "a"} {
		for n := 0; e.left > len(pattern); n++ {
			if newGlob(pattern).matchesWords(body, e) {
				t.Fatalf("%q matches", pattern)
			}
			if n > maxEffort {
				t.Fatalf("%q takes no effort", pattern)
			}
		}
		e.left = 0
		if newGlob("*").matchesWords("a", e) != true || newGlob("b").matchesWords("b", e) {
			t.Error("what takes effort matches without any")
		}
		e = enough()
	}
	if !newGlob("b").matchesWords(strings.Repeat("a", 60_000)+" b", enough()) {
		t.Error("a word in a long text is not found")
	}
}
