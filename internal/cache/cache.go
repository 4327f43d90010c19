package cache

import "sync/atomic"

// Cache is a bounded cache of values that are read from the database, and forgotten or
// updated when they change there. A reader gets the value's place first, and stores the
// value there: a place that was forgotten meanwhile is not in the cache any more, so
// that no outdated value is ever found. It is bounded in bytes like [LRU]. Its methods
// may be called concurrently.
type Cache[K comparable, V any] struct {
	slots *LRU[K, *slot[V]]
	uses  Uses
}

// Place is the place of one value in a cache.
type Place[K comparable, V any] struct {
	*slot[V]
	key   K
	cache *Cache[K, V]
}

type slot[V any] struct{ value atomic.Pointer[V] }

// New makes a cache of so many bytes; 0: [UsualShare]. weigh returns how many bytes a
// key points to, and a value has with all that it points to; the value is nil while
// nobody has read it. It must be quick, and must not use the cache.
func New[K comparable, V any](share int, weigh func(K, *V) int) *Cache[K, V] {
	const empty = 8 // of a slot
	return &Cache[K, V]{slots: NewLRU(Options[K, *slot[V]]{
		Share: share, Weigh: func(key K, s *slot[V]) int { return empty + weigh(key, s.value.Load()) },
	})}
}

// Place returns the place of a key's value. Take it before reading the value.
func (c *Cache[K, V]) Place(key K) Place[K, V] {
	at, ok := c.slots.Get(key)
	c.uses.Count(ok && at.value.Load() != nil)
	if !ok {
		at, _ = c.slots.PutNew(key, &slot[V]{})
	}
	return Place[K, V]{slot: at, key: key, cache: c}
}

// Known returns the value of a key; nil: it is not in memory. Unlike Place it makes no room for
// one, so that keys which there are not take none.
func (c *Cache[K, V]) Known(key K) *V {
	at, ok := c.slots.Get(key)
	if !ok {
		return nil
	}
	value := at.value.Load()
	if value != nil {
		c.uses.Count(true)
	}
	return value
}

// Stats reports the use of the cache.
func (c *Cache[K, V]) Stats() Stats {
	all := c.slots.Stats()
	return c.uses.Stats(all.Entries, all.Bytes)
}

// Load returns the value; nil: nobody has read it yet.
func (p Place[K, V]) Load() *V { return p.value.Load() }

// Store puts a value that was read, unless somebody else was first.
func (p Place[K, V]) Store(value *V) {
	if p.value.CompareAndSwap(nil, value) {
		p.cache.slots.Reweigh(p.key)
	}
}

// Change brings a value up to date, for an observer of the journal: change makes
// the new value of the old one, which it must not write to; nil: it is forgotten. A
// value that somebody is reading at the moment is forgotten, too. Calls must come one
// after the other.
func (c *Cache[K, V]) Change(key K, change func(old *V) *V) {
	at, ok := c.slots.Peek(key)
	if !ok {
		return
	}
	next := at.value.Load()
	if next != nil {
		next = change(next)
	}
	if next == nil {
		c.slots.Remove(key)
		return
	}
	at.value.Store(next)
	c.slots.Reweigh(key)
}

// Forget forgets the value of a key.
func (c *Cache[K, V]) Forget(key K) { c.slots.Remove(key) }

// ForgetAll forgets all values.
func (c *Cache[K, V]) ForgetAll() { c.slots.RemoveAll(nil) }
