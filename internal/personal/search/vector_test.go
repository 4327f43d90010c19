package search

import (
	"strconv"
	"strings"
	"testing"

	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/text"
)

// TestVectorIsTheOneOfPostgreSQL compares what is sent with what PostgreSQL makes of the same
// words in its own text form.
func TestVectorIsTheOneOfPostgreSQL(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	var many strings.Builder
	for i := range 20_000 {
		many.WriteString("w" + strconv.Itoa(i%19_000) + " ")
	}
	for name, body := range map[string]string{
		"words":               "the quick brown fox, the lazy dog and The END",
		"one":                 "word",
		"quotes":              `it's a\back "slash" :*&`,
		"characters":          "今天天气很好 weather 天气 ｆｕｌｌ",
		"accents":             "Élodie élodie ELODIE ß ss",
		"emoji":               "👍 👍🏽 yes",
		"one word often":      strings.Repeat("again ", 300),
		"often, far":          strings.Repeat("again and ", 10_000),
		"many":                many.String(),
		"a long word":         strings.Repeat("x", 5000) + " y",
		"prefixes in order":   "a ab abc b aa a",
		"longer than a place": strings.Repeat("a b c ", 6_000) + "last",
	} {
		var same bool
		var got, want string
		err := pool.QueryRow(t.Context(), `SELECT $1::tsvector = $2::text::tsvector, left($1::tsvector::text, 300), left($2::text::tsvector::text, 300)`,
			vectorOf(body), asText(body)).Scan(&same, &got, &want)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !same || got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// asText returns the words of a text in PostgreSQL's text form of a tsvector, in which they
// may come in any order and more than once.
func asText(body string) string {
	var b strings.Builder
	words := text.Words(body)
	for i := range words {
		b.WriteString(lexeme(lexemeAt(words, i)) + ":" + strconv.Itoa(i+1) + " ")
	}
	return b.String()
}

func BenchmarkVector(b *testing.B) {
	for b.Loop() {
		vectorOf("a message of the usual length, which is not very long")
	}
}
