package search

import (
	"cmp"
	"slices"

	"github.com/jackc/pgx/v5/pgtype"

	"homeserver/internal/text"
)

// Bounds of a tsvector: PostgreSQL documentation, "Limitations" of full text search.
const (
	// maxPlace is the greatest place of a lexeme: those beyond it are all there.
	maxPlace = 1<<14 - 1
	// maxPlaces is how many places of one lexeme are kept.
	maxPlaces = 256
)

// vectorOf returns the lexemes of a text, with their places, as PostgreSQL stores them: each
// lexeme once, in order. In this form it need not be parsed there.
func vectorOf(body string) pgtype.TSVector {
	words := text.Words(body)
	type placed struct {
		lexeme string
		at     uint16
	}
	list := make([]placed, len(words))
	for i := range words {
		list[i] = placed{lexemeAt(words, i), uint16(min(i+1, maxPlace))}
	}
	slices.SortStableFunc(list, func(a, b placed) int { return cmp.Compare(a.lexeme, b.lexeme) })
	v := pgtype.TSVector{Lexemes: make([]pgtype.TSVectorLexeme, 0, len(list)), Valid: true}
	places := make([]pgtype.TSVectorPosition, 0, len(list)) // of all lexemes
	for i := 0; i < len(list); {
		first, word := len(places), list[i].lexeme
		for ; i < len(list) && list[i].lexeme == word; i++ {
			n := len(places)
			if n-first < maxPlaces && (n == first || list[i].at > places[n-1].Position) {
				places = append(places, pgtype.TSVectorPosition{Position: list[i].at})
			}
		}
		v.Lexemes = append(v.Lexemes, pgtype.TSVectorLexeme{Word: word, Positions: places[first:]})
	}
	return v
}

// bytesOf returns about how many bytes a vector takes.
func bytesOf(v pgtype.TSVector) int {
	const structs = 8 // of a lexeme and a place
	n := 0
	for _, l := range v.Lexemes {
		n += len(l.Word) + structs + 2*len(l.Positions)
	}
	return n
}
