package glob

import (
	"strings"
	"unicode/utf8"
)

// Pattern is a compiled pattern.
type Pattern struct {
	text string
	fold bool
}

// Compile compiles a pattern. With fold it matches texts in any case.
func Compile(pattern string, fold bool) *Pattern {
	if fold {
		pattern = strings.ToLower(pattern)
	}
	for strings.Contains(pattern, "**") {
		pattern = strings.ReplaceAll(pattern, "**", "*")
	}
	return &Pattern{text: pattern, fold: fold}
}

// IsLiteral reports whether a text has no wildcards.
func IsLiteral(pattern string) bool { return !strings.ContainsAny(pattern, "*?") }

// Match reports whether the pattern matches all of a text. It takes a time of at most the
// length of the one times that of the other.
func (p *Pattern) Match(text string) bool {
	if p.fold {
		text = strings.ToLower(text)
	}
	return p.match(text)
}

// match does the same with a text in the case of the pattern. Where the text stops to
// match, the last * takes one more character: what earlier ones take does not matter then.
func (p *Pattern) match(text string) bool {
	at, in := 0, 0
	star, from := -1, 0
	for in < len(text) {
		switch {
		case at < len(p.text) && p.text[at] == '*':
			star, from = at, in
			at++
		case at < len(p.text) && p.text[at] == '?':
			at, in = at+1, next(text, in)
		case at < len(p.text) && p.text[at] == text[in]:
			at, in = at+1, in+1
		case star >= 0:
			from = next(text, from)
			at, in = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(p.text[at:], "*") == ""
}

// next returns where the character at a place of a text ends.
func next(text string, at int) int {
	_, size := utf8.DecodeRuneInString(text[at:])
	return at + size
}

// literals returns the texts between the wildcards.
func (p *Pattern) literals() []string {
	return strings.FieldsFunc(p.text, func(r rune) bool { return r == '*' || r == '?' })
}
