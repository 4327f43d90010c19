package glob

import (
	"iter"
	"slices"
	"strings"
)

// MaxBytes is the length of the longest pattern that a Set has, and of the longest text
// that it matches: identifiers are not longer.
const MaxBytes = 255

// maxAlike bounds the patterns with wildcards that are told apart by nothing but what is
// between the same four bytes, and those that have no four bytes in a row.
const maxAlike = 1000

// gram is four bytes in a row.
type gram [4]byte

// Set has patterns, each with values. It must not be written to while it is read.
type Set[V comparable] struct {
	fold  bool
	exact map[string][]V
	globs map[string]*item[V]
	// byGram has each pattern with wildcards once: by those four bytes of its that the
	// fewest others are found by. short has those that have none.
	byGram map[gram][]*item[V]
	short  []*item[V]
}

type item[V comparable] struct {
	pattern *Pattern
	gram    gram
	short   bool
	values  []V
}

// NewSet returns an empty set. With fold its patterns match texts in any case.
func NewSet[V comparable](fold bool) *Set[V] {
	return &Set[V]{fold: fold, exact: map[string][]V{}, globs: map[string]*item[V]{}, byGram: map[gram][]*item[V]{}}
}

// Add adds a value to a pattern. It returns false, and adds nothing, if the pattern is too
// long, or too many are like it.
func (s *Set[V]) Add(pattern string, value V) bool {
	if len(pattern) > MaxBytes {
		return false
	}
	p := Compile(pattern, s.fold)
	if IsLiteral(p.text) {
		s.exact[p.text] = append(s.exact[p.text], value)
		return true
	}
	if i := s.globs[p.text]; i != nil {
		i.values = append(i.values, value)
		return true
	}
	i := &item[V]{pattern: p, values: []V{value}}
	if !s.file(i) {
		return false
	}
	s.globs[p.text] = i
	return true
}

// file puts a pattern where it is found.
func (s *Set[V]) file(i *item[V]) bool {
	least := -1
	for _, text := range i.pattern.literals() {
		for g := range grams(text) {
			if n := len(s.byGram[g]); least < 0 || n < least {
				least, i.gram = n, g
			}
		}
	}
	if i.short = least < 0; i.short {
		if len(s.short) >= maxAlike {
			return false
		}
		s.short = append(s.short, i)
		return true
	}
	if least >= maxAlike {
		return false
	}
	s.byGram[i.gram] = append(s.byGram[i.gram], i)
	return true
}

// Remove removes a value of a pattern, if it is there.
func (s *Set[V]) Remove(pattern string, value V) {
	p := Compile(pattern, s.fold)
	if IsLiteral(p.text) {
		if s.exact[p.text] = without(s.exact[p.text], value); len(s.exact[p.text]) == 0 {
			delete(s.exact, p.text)
		}
		return
	}
	i := s.globs[p.text]
	if i == nil {
		return
	}
	if i.values = without(i.values, value); len(i.values) > 0 {
		return
	}
	delete(s.globs, p.text)
	if i.short {
		s.short = without(s.short, i)
	} else if s.byGram[i.gram] = without(s.byGram[i.gram], i); len(s.byGram[i.gram]) == 0 {
		delete(s.byGram, i.gram)
	}
}

func without[T comparable](list []T, one T) []T {
	if at := slices.Index(list, one); at >= 0 {
		return slices.Delete(list, at, at+1)
	}
	return list
}

// Match yields the values of the patterns that match all of a text; none for a text that is
// too long.
func (s *Set[V]) Match(text string) iter.Seq[V] {
	return func(yield func(V) bool) {
		if len(text) > MaxBytes {
			return
		}
		if s.fold {
			text = strings.ToLower(text)
		}
		if !yieldAll(s.exact[text], yield) || !matchAmong(s.short, text, yield) || len(s.byGram) == 0 {
			return
		}
		for g, at := range grams(text) {
			among := s.byGram[g]
			if len(among) > 0 && strings.Index(text, string(g[:])) == at && !matchAmong(among, text, yield) {
				return
			}
		}
	}
}

func matchAmong[V comparable](among []*item[V], text string, yield func(V) bool) bool {
	for _, i := range among {
		if i.pattern.match(text) && !yieldAll(i.values, yield) {
			return false
		}
	}
	return true
}

func yieldAll[V any](values []V, yield func(V) bool) bool {
	for _, v := range values {
		if !yield(v) {
			return false
		}
	}
	return true
}

// grams yields every four bytes in a row of a text, and where they begin.
func grams(text string) iter.Seq2[gram, int] {
	return func(yield func(gram, int) bool) {
		for at := 0; at+len(gram{}) <= len(text); at++ {
			if !yield(gram([]byte(text[at:at+len(gram{})])), at) {
				return
			}
		}
	}
}
