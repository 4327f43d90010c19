package cache

import (
	"container/list"
	"reflect"
	"sync"
)

// UsualShare is the size in bytes of a cache without a configured share.
const UsualShare = 16 << 20

// LRU is a cache that is bounded in bytes: the values used last are kept, and a value
// larger than the whole share is not. Its methods may be called concurrently.
type LRU[K comparable, V any] struct {
	o     Options[K, V]
	fixed int // bytes of an entry without what its key and value point to
	uses  Uses

	mu      sync.Mutex
	entries map[K]*list.Element // of *entry[K, V]
	order   list.List           // the newest first
	bytes   int
}

// Options has all that an LRU needs.
type Options[K comparable, V any] struct {
	// Share is how many bytes all entries may have together; 0: [UsualShare].
	Share int
	// Weigh returns how many bytes the key and the value point to. It is called under
	// the cache's lock; so it must be quick, and must not use the cache. nil: none.
	Weigh func(K, V) int
	// Spare reports whether a value must not be dropped at this moment. It is called
	// like Weigh. nil: all may be dropped.
	Spare func(K, V) bool
	// Gone is called with values that were dropped to make room, and with no others.
	// The cache is not locked then. nil: it is not called.
	Gone func(K, V)
}

// entry is one key and its value.
type entry[K comparable, V any] struct {
	key   K
	value V
	bytes int
}

// NewLRU makes a cache.
func NewLRU[K comparable, V any](o Options[K, V]) *LRU[K, V] {
	if o.Share <= 0 {
		o.Share = UsualShare
	}
	if o.Weigh == nil {
		o.Weigh = func(K, V) int { return 0 }
	}
	// Beside the entry there are the element of the list and the place in the map,
	// of which up to half are empty.
	const element = 64
	key := int(reflect.TypeFor[K]().Size())
	fixed := int(reflect.TypeFor[entry[K, V]]().Size()) + element + 2*(key+8)
	return &LRU[K, V]{o: o, fixed: fixed, entries: map[K]*list.Element{}}
}

// Get returns the value of a key, which counts as a use.
func (c *LRU[K, V]) Get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.entries[key]
	c.uses.Count(ok)
	if !ok {
		return value, false
	}
	c.order.MoveToFront(at)
	return at.Value.(*entry[K, V]).value, true
}

// Peek returns the value of a key, which does not count as a use.
func (c *LRU[K, V]) Peek(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.entries[key]
	if !ok {
		return value, false
	}
	return at.Value.(*entry[K, V]).value, true
}

// Put sets the value of a key.
func (c *LRU[K, V]) Put(key K, value V) {
	c.mu.Lock()
	gone := c.settle(c.put(key, value))
	c.mu.Unlock()
	c.callGone(gone)
}

// PutNew sets the value of a key that has none, and returns the value that it has then.
func (c *LRU[K, V]) PutNew(key K, value V) (now V, isNew bool) {
	c.mu.Lock()
	if at, ok := c.entries[key]; ok {
		defer c.mu.Unlock()
		return at.Value.(*entry[K, V]).value, false
	}
	gone := c.settle(c.put(key, value))
	c.mu.Unlock()
	c.callGone(gone)
	return value, true
}

// Reweigh is called when the weight of a key's value may have changed.
func (c *LRU[K, V]) Reweigh(key K) {
	c.mu.Lock()
	var gone []*entry[K, V]
	if at, ok := c.entries[key]; ok {
		gone = c.settle(at)
	}
	c.mu.Unlock()
	c.callGone(gone)
}

// Remove removes a key, and reports whether it was there.
func (c *LRU[K, V]) Remove(key K) bool {
	return c.RemoveIf(key, func(V) bool { return true })
}

// RemoveIf removes a key if meant returns true for its value, and reports whether it
// did.
func (c *LRU[K, V]) RemoveIf(key K, meant func(V) bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.entries[key]
	if !ok || !meant(at.Value.(*entry[K, V]).value) {
		return false
	}
	c.remove(at)
	return true
}

// RemoveAll removes all keys and values for which meant returns true; nil: all.
func (c *LRU[K, V]) RemoveAll(meant func(K, V) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range c.entries {
		if e := at.Value.(*entry[K, V]); meant == nil || meant(e.key, e.value) {
			c.remove(at)
		}
	}
}

// Each calls a function for everything that is kept, in any order. The function is
// called like Weigh.
func (c *LRU[K, V]) Each(see func(K, V)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, at := range c.entries {
		see(key, at.Value.(*entry[K, V]).value)
	}
}

// Share returns how many bytes all entries may have together.
func (c *LRU[K, V]) Share() int { return c.o.Share }

// Stats reports the use of the cache.
func (c *LRU[K, V]) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.uses.Stats(len(c.entries), c.bytes)
}

func (c *LRU[K, V]) put(key K, value V) *list.Element {
	at, ok := c.entries[key]
	if !ok {
		at = c.order.PushFront(&entry[K, V]{key: key})
		c.entries[key] = at
	}
	at.Value.(*entry[K, V]).value = value
	c.order.MoveToFront(at)
	return at
}

// settle weighs an entry. It drops it if it is too large alone, and else the least
// recently used ones until the rest has room. Spared entries stay in place.
func (c *LRU[K, V]) settle(changed *list.Element) (gone []*entry[K, V]) {
	e := changed.Value.(*entry[K, V])
	c.bytes -= e.bytes
	e.bytes = c.fixed + c.o.Weigh(e.key, e.value)
	c.bytes += e.bytes
	if e.bytes > c.o.Share {
		return c.forget(changed, nil)
	}
	for at := c.order.Back(); at != nil && c.bytes > c.o.Share; {
		newer := at.Prev()
		gone = c.forget(at, gone)
		at = newer
	}
	return gone
}

func (c *LRU[K, V]) remove(at *list.Element) {
	e := c.order.Remove(at).(*entry[K, V])
	delete(c.entries, e.key)
	c.bytes -= e.bytes
}

func (c *LRU[K, V]) forget(at *list.Element, gone []*entry[K, V]) []*entry[K, V] {
	e := at.Value.(*entry[K, V])
	if c.o.Spare != nil && c.o.Spare(e.key, e.value) {
		return gone
	}
	c.remove(at)
	if c.o.Gone == nil {
		return gone
	}
	return append(gone, e)
}

func (c *LRU[K, V]) callGone(gone []*entry[K, V]) {
	for _, e := range gone {
		c.o.Gone(e.key, e.value)
	}
}

// Text weighs strings: their bytes, and the rounding of their allocations.
func Text[S ~string | ~[]byte](all ...S) (bytes int) {
	for _, s := range all {
		if len(s) > 0 {
			bytes += len(s) + 8 + len(s)/8
		}
	}
	return bytes
}
