package cache

import "sync/atomic"

// Stats is the use of a cache: how many values it has, their weight, and how often a
// value was found, and not found.
type Stats struct {
	Entries, Bytes int
	Hits, Misses   uint64
}

// Uses counts how often a cache is asked. The zero value is ready for use.
type Uses struct{ hits, misses atomic.Uint64 }

// Count counts one question.
func (u *Uses) Count(hit bool) {
	if hit {
		u.hits.Add(1)
	} else {
		u.misses.Add(1)
	}
}

// Stats returns the counts, with the number of values in the cache and their weight.
func (u *Uses) Stats(entries, bytes int) Stats {
	return Stats{Entries: entries, Bytes: bytes, Hits: u.hits.Load(), Misses: u.misses.Load()}
}

// Caches has the functions that return the statistics of caches, by name.
type Caches map[string]func() Stats
