package search

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"homeserver/internal/event"
	"homeserver/internal/text"
)

// maxHighlights bounds the words that one answer lists.
const maxHighlights = 100

// phrase is words that must follow on each other.
type phrase struct {
	words []string
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
				last.words = append(last.words, w.Folded)
				continue
			}
			list, begun = append(list, phrase{words: []string{w.Folded}, exact: quoted}), true
		}
	}
	return list
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
		for n, word := range p.words {
			if n > 0 {
				b.WriteString(" <-> ")
			}
			b.WriteString(lexeme(word))
			if n == len(p.words)-1 && !p.exact && !whole {
				b.WriteString(":*")
			}
		}
		b.WriteByte(')')
	}
	return b.String()
}

var lexemeEscapes = strings.NewReplacer(`'`, `''`, `\`, `\\`)

func lexeme(word string) string { return `'` + lexemeEscapes.Replace(word) + `'` }

// highlight adds the words of a text by which it was found.
func (t terms) highlight(highlights []string, body string) []string {
	for _, w := range text.Words(body) {
		shown := strings.ToLower(w.Text)
		if len(highlights) < maxHighlights && t.has(w.Folded) && !slices.Contains(highlights, shown) {
			highlights = append(highlights, shown)
		}
	}
	return highlights
}

// has reports whether a word is one of the terms.
func (t terms) has(folded string) bool {
	return slices.ContainsFunc(t, func(p phrase) bool {
		last := p.words[len(p.words)-1]
		return slices.Contains(p.words, folded) || !p.exact && strings.HasPrefix(folded, last)
	})
}

// tsvector returns the words of a text, with their places, in PostgreSQL's text form of
// a tsvector; "" if there are none.
func tsvector(body string) string {
	var b strings.Builder
	for i, w := range text.Words(body) {
		b.WriteString(lexeme(w.Folded))
		b.WriteByte(':')
		b.WriteString(strconv.Itoa(i + 1))
		b.WriteByte(' ')
	}
	return b.String()
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
