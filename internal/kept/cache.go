package kept

import (
	"sync/atomic"

	lru "github.com/hashicorp/golang-lru/v2"
)

// Cache is a bounded cache of what is read from the database and forgotten, or
// brought up to date, when that changes. Whoever reads a value takes its place
// first, and stores the value there: a place that was forgotten meanwhile is
// nobody else's any more, so that nothing outdated is ever found. What was used
// last is kept. Its methods may be called concurrently.
type Cache[K comparable, V any] struct {
	places *lru.Cache[K, *Place[V]]
	uses   Uses
}

// Place is where one value of a cache stands.
type Place[V any] struct{ value atomic.Pointer[V] }

// New makes a cache for so many values, at least one.
func New[K comparable, V any](size int) *Cache[K, V] {
	places, _ := lru.New[K, *Place[V]](max(1, size)) // fails only for less than one
	return &Cache[K, V]{places: places}
}

// Place gives the place of a key's value. Take it before reading the value.
func (c *Cache[K, V]) Place(key K) *Place[V] {
	place, ok := c.places.Get(key)
	c.uses.Count(ok && place.Load() != nil)
	if ok {
		return place
	}
	place = &Place[V]{}
	if other, ok, _ := c.places.PeekOrAdd(key, place); ok {
		return other
	}
	return place
}

// Stats tells how the cache is used.
func (c *Cache[K, V]) Stats() Stats { return c.uses.Stats(c.places.Len()) }

// Load gives the value; nil: nobody has read it yet.
func (p *Place[V]) Load() *V { return p.value.Load() }

// Store puts a value that was read, unless somebody else was first.
func (p *Place[V]) Store(value *V) { p.value.CompareAndSwap(nil, value) }

// Change brings a value up to date, for an observer of the journal: change makes
// the new value of the old one, which it must not write to; nil: it is forgotten. A
// value that somebody is reading at the moment is forgotten, too. Calls must come one
// after the other.
func (c *Cache[K, V]) Change(key K, change func(old *V) *V) {
	place, ok := c.places.Peek(key)
	if !ok {
		return
	}
	next := place.value.Load()
	if next != nil {
		next = change(next)
	}
	if next == nil {
		c.places.Remove(key)
		return
	}
	place.value.Store(next)
}

// Forget forgets the value of a key.
func (c *Cache[K, V]) Forget(key K) { c.places.Remove(key) }

// ForgetAll forgets all values.
func (c *Cache[K, V]) ForgetAll() { c.places.Purge() }
