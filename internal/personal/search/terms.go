package search

import (
	"encoding/json"
	"slices"
	"strings"

	"homeserver/internal/event"
	"homeserver/internal/text"
)

const (
	// maxHighlights bounds the words that one answer lists, maxHighlightBytes each of them.
	maxHighlights     = 100
	maxHighlightBytes = 256
	// maxHighlighted is how many words of a text are looked at for them.
	maxHighlighted = 2000
)

// phrase is words that must follow on each other.
type phrase struct {
	words []text.Word
	// exact reports that the last word must be whole.
	exact bool
}

// terms are the phrases that must all be in a text.
type terms []phrase

// parseTerms parses a search: words, and phrases in double quotes. Words without a
// space between them, as in Chinese, are a phrase as well.
func parseTerms(query string) terms {
	var list terms
	for i, part := range strings.Split(query, `"`) {
		quoted := i%2 == 1
		begun := false
		for _, w := range text.Words(part) {
			if begun && (quoted || w.Adjoins) {
				last := &list[len(list)-1]
				last.words = append(last.words, w)
				continue
			}
			w.Adjoins = false
			list, begun = append(list, phrase{words: []text.Word{w}, exact: quoted}), true
		}
	}
	return list
}

// pairs reports whether a word makes one lexeme with the next one: both are characters of
// one run. Lexemes of two characters are rare enough to be searched for; one by one, each
// character would stand in every other text.
func pairs(words []text.Word, i int) bool {
	return words[i].IsCharacter && i+1 < len(words) && words[i+1].IsCharacter && words[i+1].Adjoins
}

// lexemeAt returns the lexeme of a word at its place in a text: the word, or of a character
// it and the next one. The last of a run of characters is one by itself, so that each is
// found as the beginning of a lexeme.
func lexemeAt(words []text.Word, i int) string {
	if pairs(words, i) {
		return words[i].Folded + words[i+1].Folded
	}
	return words[i].Folded
}

// tsquery returns the terms in PostgreSQL's text form of a tsquery; "" if there are
// none.
func (t terms) tsquery(whole bool) string {
	var b strings.Builder
	for i, p := range t {
		if i > 0 {
			b.WriteString(" & ")
		}
		b.WriteByte('(')
		p.write(&b, whole)
		b.WriteByte(')')
	}
	return b.String()
}

func (p phrase) write(b *strings.Builder, whole bool) {
	last := len(p.words) - 1
	for n := range p.words {
		switch {
		case n > 0 && n == last && pairs(p.words, n-1):
			return // the lexeme before it has it
		case n > 0:
			b.WriteString(" <-> ")
		}
		b.WriteString(lexeme(lexemeAt(p.words, n)))
		// A character may begin a pair. Of words the beginning may do.
		if n == last && (p.words[n].IsCharacter || !p.exact && !whole) {
			b.WriteString(":*")
		}
	}
}

var lexemeEscapes = strings.NewReplacer(`'`, `''`, `\`, `\\`)

func lexeme(word string) string { return `'` + lexemeEscapes.Replace(word) + `'` }

// highlight adds the words of a text by which it was found: of a phrase without spaces the
// whole of it.
func (t terms) highlight(highlights []string, body string) []string {
	words := text.Words(body)
	words = words[:min(len(words), maxHighlighted)]
	for i := range words {
		for _, p := range t {
			if p.isAt(words[i:]) {
				highlights = appendShown(highlights, words[i:i+len(p.words)])
			}
		}
	}
	return highlights
}

// isAt reports whether a text begins with a phrase.
func (p phrase) isAt(words []text.Word) bool {
	if len(words) < len(p.words) {
		return false
	}
	for n, want := range p.words {
		isBeginning := n == len(p.words)-1 && !p.exact && !want.IsCharacter
		if got := words[n].Folded; got != want.Folded && !(isBeginning && strings.HasPrefix(got, want.Folded)) {
			return false
		}
	}
	return true
}

// appendShown adds words as they were written, in lower case: as one where there is nothing
// between them.
func appendShown(highlights []string, words []text.Word) []string {
	for i := 0; i < len(words); {
		shown := words[i].Text
		for i++; i < len(words) && words[i].Adjoins; i++ {
			shown += words[i].Text
		}
		shown = strings.ToLower(shown)
		if len(highlights) < maxHighlights && len(shown) <= maxHighlightBytes && !slices.Contains(highlights, shown) {
			highlights = append(highlights, shown)
		}
	}
	return highlights
}

// topicText returns the texts of m.room.topic: topic, and the representations in
// text/plain, which is also the type of a representation without one.
func topicText(content []byte) string {
	text, _ := event.StringField(content, "topic")
	var block struct {
		Text []struct {
			Body string `json:"body"`
			Type string `json:"mimetype"`
		} `json:"m.text"`
	}
	if json.Unmarshal(event.Field(content, "m.topic"), &block) != nil {
		return text // another form is like none
	}
	for _, t := range block.Text {
		if (t.Type == "" || t.Type == "text/plain") && t.Body != text {
			text += "\n" + t.Body
		}
	}
	return text
}
