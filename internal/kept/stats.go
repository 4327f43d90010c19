package kept

import "sync/atomic"

// Stats tells how a cache is used: how many values it holds, and how often it was
// asked for one that it had, and that it had not.
type Stats struct {
	Entries      int
	Hits, Misses uint64
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

// Stats gives the counts, beside how many values the cache holds.
func (u *Uses) Stats(entries int) Stats {
	return Stats{Entries: entries, Hits: u.hits.Load(), Misses: u.misses.Load()}
}

// Caches gives the statistics of caches by name.
type Caches map[string]func() Stats

// Scale is by how much caches are larger, or smaller, than usual; 0 means not at all.
type Scale float64

// Of gives the size for what usually has the size n: one at least.
func (s Scale) Of(n int) int {
	if s == 0 {
		return n
	}
	return max(1, int(float64(s)*float64(n)))
}
