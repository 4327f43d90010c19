package cache

import "sync/atomic"

// Stats tells how a cache is used: how many values it holds, what they weigh, and how
// often it was asked for one that it had, and that it had not.
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

// Stats returns the counts, beside how many values the cache holds and what they weigh.
func (u *Uses) Stats(entries, bytes int) Stats {
	return Stats{Entries: entries, Bytes: bytes, Hits: u.hits.Load(), Misses: u.misses.Load()}
}

// Caches gives the statistics of caches by name.
type Caches map[string]func() Stats
