package search

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzParseCursor makes sure that a token says the same when it is read and written
// again, and holds nothing that PostgreSQL would not take.
func FuzzParseCursor(f *testing.F) {
	for _, c := range []cursor{{}, {Recent: true, Position: 5}, {Rank: 0.25, Position: 1, Key: GroupRoom, Value: "!x:y"}, {Value: "\x00"}} {
		f.Add(c.token(), c.Recent)
	}
	f.Add("e30", false)
	f.Fuzz(func(t *testing.T, token string, recent bool) {
		c, err := parseCursor(token, recent)
		if err != nil || c == nil {
			return
		}
		if c.token() != token || c.Recent != recent || !utf8.ValidString(c.Value) || strings.ContainsRune(c.Value, 0) {
			t.Errorf("%q is read as %+v", token, c)
		}
	})
}

// FuzzTerms makes sure that what people type never gets out of the quotes of a
// tsquery.
func FuzzTerms(f *testing.F) {
	for _, seed := range []string{`hello world`, `"a phrase" and more`, `it's`, `back\slash`, `"open`, `a:* & !b | (c)`, `汉字`, "é\u0301", `""`, `'`, `\'`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list := parseTerms(text)
		for _, whole := range []bool{false, true} {
			rest := list.tsquery(whole)
			for rest != "" {
				before, quoted, found := strings.Cut(rest, "'")
				if strings.Trim(before, " &()<->:*") != "" {
					t.Fatalf("%q becomes %s", text, list.tsquery(whole))
				}
				if !found {
					break
				}
				rest = afterLexeme(t, quoted)
			}
		}
		for _, p := range list {
			for _, word := range p.words {
				if word.Folded == "" {
					t.Errorf("%q has an empty word", text)
				}
			}
		}
		_ = list.highlight(nil, text)
	})
}

// afterLexeme returns the text after the quote that ends a lexeme, by the rules of
// PostgreSQL.
func afterLexeme(t *testing.T, s string) string {
	t.Helper()
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '\'' && i+1 < len(s) && s[i+1] == '\'':
			i++
		case s[i] == '\'':
			return s[i+1:]
		}
	}
	t.Fatalf("a lexeme does not end: %s", s)
	return ""
}
