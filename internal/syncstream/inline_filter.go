package syncstream

import (
	"strings"

	"homeserver/internal/cache"
	"homeserver/internal/rooms/timeline"
)

// inlineFilters has filters that requests write out as JSON. Each text is parsed once: the
// clients of a kind all write the same. They have a share of memory of their own, so that
// a user who writes many and large ones does not push stored filters out of memory. A text
// that is refused is not kept.
type inlineFilters[F any] struct {
	parse  func(definition []byte) (*F, error)
	parsed *cache.LRU[string, *F]
}

// newInlineFilters keeps filters in so many bytes. weigh returns the bytes that a filter takes
// beside its text.
func newInlineFilters[F any](share int, parse func(definition []byte) (*F, error), weigh func(*F) int) *inlineFilters[F] {
	return &inlineFilters[F]{parse: parse, parsed: cache.NewLRU(cache.Options[string, *F]{
		Share: share,
		Weigh: func(text string, f *F) int { return cache.Text(text) + weighDefinition(len(text)) + weigh(f) },
	})}
}

// get returns a filter, which must not be written to.
func (fs *inlineFilters[F]) get(text string) (*F, error) {
	if f, ok := fs.parsed.Get(text); ok {
		return f, nil
	}
	f, err := fs.parse([]byte(text))
	if err == nil {
		fs.parsed.Put(strings.Clone(text), f) // the text may be part of a long URL
	}
	return f, err
}

// EventFilter returns the filter for the events of a room that a request for /messages,
// /context or the like writes out; nil, which selects every event, if it has no effect. It
// must not be written to. Errors as for a filter of /sync.
func (s *Service) EventFilter(text string) (*timeline.EventFilter, error) {
	return s.inlineEvents.get(text)
}
