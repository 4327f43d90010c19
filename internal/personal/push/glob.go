package push

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"homeserver/internal/event"
)

// glob is a compiled pattern in which * stands for any text and ? for one character:
// appendices, "Glob-style Matching". It matches text in lower case.
type glob struct {
	// literal is the pattern as it was written; nil if it has * or ?.
	literal []byte
	// parts are the texts between the asterisks, in lower case; there is at least one.
	parts []part
}

// part is a text in which each ? stands for one character.
type part struct {
	text  string
	wild  bool // has any ?
	runes int
}

func newGlob(pattern string) *glob {
	g := &glob{}
	if !strings.ContainsAny(pattern, "*?") {
		g.literal = []byte(pattern)
	}
	for text := range strings.SplitSeq(strings.ToLower(pattern), "*") {
		g.parts = append(g.parts, part{text: text, wild: strings.Contains(text, "?"), runes: utf8.RuneCountInString(text)})
	}
	return g
}

// matches reports whether the pattern matches all of a text, in any case.
// It spends effort, and with none left nothing matches.
func (g *glob) matches(text string, e *effort) bool {
	if g.literal != nil {
		return strings.EqualFold(string(g.literal), text)
	}
	if !e.spend(len(text)) {
		return false
	}
	text = strings.ToLower(text)
	first, last := &g.parts[0], &g.parts[len(g.parts)-1]
	at := first.at(text, 0)
	if len(g.parts) == 1 || at < 0 {
		return at == len(text)
	}
	if at = g.skipMiddle(text, at, e); at < 0 {
		return false
	}
	start := last.startBefore(text)
	return start >= at && last.at(text, start) == len(text)
}

// isJSON does the same for a pattern that is a literal and a JSON value, which must be
// a string.
func (g *glob) isJSON(value []byte, e *effort) bool {
	if len(value) >= 2 && value[0] == '"' && bytes.IndexByte(value, '\\') < 0 {
		return bytes.EqualFold(g.literal, value[1:len(value)-1])
	}
	if !e.spend(len(value)) {
		return false
	}
	text, ok := event.Unquote(value)
	return ok && g.matches(text, e)
}

// skipMiddle returns where the parts between the first and the last end, each found as
// far to the left as it can be; -1: they are not all there.
func (g *glob) skipMiddle(text string, at int, e *effort) int {
	for i := 1; i < len(g.parts)-1; i++ {
		if _, at = g.parts[i].find(text, at, e); at < 0 {
			return -1
		}
	}
	return at
}

// matchesWords reports whether the pattern matches a part of a text that begins
// and ends at word boundaries: client-server API, "Conditions", event_match on
// content.body. The text is in lower case. It spends effort, and with none left
// nothing matches.
func (g *glob) matchesWords(text string, e *effort) bool {
	first, last := &g.parts[0], &g.parts[len(g.parts)-1]
	if len(g.parts) == 1 {
		return first.findWhole(text, e)
	}
	at := 0
	if first.text != "" {
		if at = first.findStart(text, e); at < 0 {
			return false
		}
	}
	if at = g.skipMiddle(text, at, e); at < 0 {
		return false
	}
	return last.text == "" || last.findEnd(text, at, e)
}

// findWhole reports whether the text has the part as whole words.
func (p *part) findWhole(text string, e *effort) bool {
	for start, end := p.find(text, 0, e); start >= 0; start, end = p.find(text, after(text, start), e) {
		if isBoundary(text, start-1) && isBoundary(text, end) {
			return true
		}
	}
	return false
}

// findStart returns where the first place ends at which the part begins a word.
func (p *part) findStart(text string, e *effort) int {
	for start, end := p.find(text, 0, e); start >= 0; start, end = p.find(text, after(text, start), e) {
		if isBoundary(text, start-1) {
			return end
		}
	}
	return -1
}

// findEnd reports whether the part ends a word somewhere.
func (p *part) findEnd(text string, from int, e *effort) bool {
	for start, end := p.find(text, from, e); start >= 0; start, end = p.find(text, after(text, start), e) {
		if isBoundary(text, end) {
			return true
		}
	}
	return false
}

// find returns the first place of the part in a text, and where it ends; -1, -1 if it
// is not there, or there is no effort left to look.
func (p *part) find(text string, from int, e *effort) (start, end int) {
	if from > len(text) {
		return -1, -1
	}
	if !p.wild {
		return p.findLiteral(text, from, e)
	}
	for start = from; start < len(text) && e.spend(len(p.text)); start = after(text, start) {
		if end := p.at(text, start); end >= 0 {
			return start, end
		}
	}
	return -1, -1
}

// bytesAtOnce is how many bytes of a literal are compared in about the time of one byte
// in a part with wildcards.
const bytesAtOnce = 8

func (p *part) findLiteral(text string, from int, e *effort) (start, end int) {
	if !e.spend(1 + len(p.text)/bytesAtOnce) {
		return -1, -1
	}
	i := strings.Index(text[from:], p.text)
	looked := i
	if i < 0 {
		looked = len(text) - from
	}
	if !e.spend(looked/bytesAtOnce) || i < 0 {
		return -1, -1
	}
	return from + i, from + i + len(p.text)
}

// at returns where the part ends if it is at a place of a text; else -1.
func (p *part) at(text string, at int) int {
	if !p.wild {
		if strings.HasPrefix(text[at:], p.text) {
			return at + len(p.text)
		}
		return -1
	}
	for i := 0; i < len(p.text); i++ {
		switch {
		case at >= len(text):
			return -1
		case p.text[i] == '?':
			at = after(text, at)
		case p.text[i] == text[at]:
			at++
		default:
			return -1
		}
	}
	return at
}

// startBefore returns where the part must begin to end with the text; -1 if the text is
// too short.
func (p *part) startBefore(text string) int {
	if !p.wild {
		return len(text) - len(p.text)
	}
	at := len(text)
	for range p.runes {
		if at == 0 {
			return -1
		}
		_, size := utf8.DecodeLastRuneInString(text[:at])
		at -= size
	}
	return at
}

// after returns where the character at a place ends; past the end, one further.
func after(text string, at int) int {
	_, size := utf8.DecodeRuneInString(text[at:])
	return at + max(size, 1)
}

// isBoundary reports whether there is no letter, digit or underscore of ASCII at
// a place, or no character at all.
func isBoundary(text string, at int) bool {
	if at < 0 || at >= len(text) {
		return true
	}
	return !isWord(text[at])
}

// isWord reports whether a character is one of those that words are made of.
func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}
