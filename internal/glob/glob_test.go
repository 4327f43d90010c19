package glob

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "anything", true},
		{"?", "", false},
		{"?", "ä", true},
		{"??", "ä", false},
		{"a", "a", true},
		{"a", "A", false},
		{"a*c", "abc", true},
		{"a*c", "ac", true},
		{"a*c", "abcd", false},
		{"a**c", "abcbc", true},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"*.example.org", "evil.example.org", true},
		{"*.example.org", "example.org", false},
		{"*a*b*c*", "xxaxxbxxcxx", true},
		{"*a*b*c*", "xxaxxcxxbxx", false},
		{"*aab", "aaaaab", true},
		{"?*é", "xé", true},
		{"*?", "é", true},
		{"a]*", "a]b", true},
		{`a\*`, `a\b`, true},
	} {
		if got := Compile(test.pattern, false).Match(test.text); got != test.want {
			t.Errorf("%q matches %q: %v", test.pattern, test.text, got)
		}
	}
	if !Compile("*.Example.ORG", true).Match("A.eXAMPLE.org") {
		t.Error("case counts although it should be folded")
	}
}

// FuzzMatch compares with a regular expression.
func FuzzMatch(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("**?*", "é")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 100 || len(text) > 100 || strings.ToValidUTF8(pattern+text, "") != pattern+text {
			t.Skip()
		}
		expr := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
		want := regexp.MustCompile(`(?s)\A` + expr + `\z`).MatchString(text)
		if got := Compile(pattern, false).Match(text); got != want {
			t.Errorf("%q matches %q: %v", pattern, text, got)
		}
		s := NewSet[int](false)
		s.Add(pattern, 1)
		if got := len(slices.Collect(s.Match(text))) == 1; got != want {
			t.Errorf("the set of %q matches %q: %v", pattern, text, got)
		}
	})
}

func matches(s *Set[string], text string) string {
	return strings.Join(slices.Sorted(s.Match(text)), " ")
}

func TestSetFindsWhatMatches(t *testing.T) {
	t.Parallel()
	s := NewSet[string](false)
	for _, p := range []string{"@a:x", "@*:x", "@spam*:example.org", "*spam*", "@a*", "?a:x"} {
		if !s.Add(p, p) {
			t.Errorf("%s is not added", p)
		}
	}
	s.Add("@spam*:example.org", "again")
	for text, want := range map[string]string{
		"@a:x":                               "?a:x @*:x @a* @a:x",
		"@spamspam:example.org":              "*spam* @spam*:example.org again",
		"@b:x":                               "@*:x",
		"@nobody:example.org":                "",
		"":                                   "",
		"@a" + strings.Repeat("x", MaxBytes): "",
	} {
		if got := matches(s, text); got != want {
			t.Errorf("%q: %s, not %s", text, got, want)
		}
	}
	for _, p := range []string{"@a:x", "@*:x", "@spam*:example.org", "*spam*", "@a*", "?a:x"} {
		s.Remove(p, p)
		s.Remove(p, p)
	}
	if got := matches(s, "@spam:example.org"); got != "again" {
		t.Errorf("%s is left", got)
	}
	s.Remove("@spam*:example.org", "again")
	if len(s.exact)+len(s.globs)+len(s.byGram)+len(s.short) != 0 {
		t.Errorf("an empty set still has %v", s)
	}
}

func TestSetIsBounded(t *testing.T) {
	t.Parallel()
	s := NewSet[int](false)
	if s.Add(strings.Repeat("x", MaxBytes+1), 0) {
		t.Error("a pattern that no identifier matches is taken")
	}
	added := 0
	for i := range 2 * maxAlike { // that have nothing but the end in common with four bytes in a row
		if s.Add(fmt.Sprintf("%c*:x.y", 'a'+rune(i)), i) {
			added++
		}
	}
	if added != maxAlike || len(s.globs) != added {
		t.Errorf("%d patterns that are alike are taken, and %d are there", added, len(s.globs))
	}
}

// BenchmarkMatchAMillion looks an identifier up among a million patterns.
func BenchmarkMatchAMillion(b *testing.B) {
	s := NewSet[int](false)
	for i := range 1_000_000 {
		s.Add(fmt.Sprintf("@spam%06d*:example.org", i), i)
	}
	b.ResetTimer()
	for range b.N {
		for range s.Match("@somebody-quite-usual:matrix.example.org") {
			b.Fatal("matched")
		}
	}
}
