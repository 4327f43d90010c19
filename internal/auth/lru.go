package auth

import "container/list"

// lru is a map of bounded size that forgets what was used least recently. It has
// no lock of its own.
type lru[K comparable, V any] struct {
	max     int
	entries map[K]*list.Element
	order   *list.List // newest first; its values are *lruEntry[K, V]
}

type lruEntry[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](size int) *lru[K, V] {
	return &lru[K, V]{max: size, entries: map[K]*list.Element{}, order: list.New()}
}

// get returns the value of a key and makes it the newest.
func (l *lru[K, V]) get(key K) (V, bool) {
	element, ok := l.entries[key]
	if !ok {
		var none V
		return none, false
	}
	l.order.MoveToFront(element)
	return element.Value.(*lruEntry[K, V]).value, true
}

// put sets the value of a key, makes it the newest, and forgets the oldest one
// when there are too many.
func (l *lru[K, V]) put(key K, value V) {
	if element, ok := l.entries[key]; ok {
		element.Value.(*lruEntry[K, V]).value = value
		l.order.MoveToFront(element)
		return
	}
	l.entries[key] = l.order.PushFront(&lruEntry[K, V]{key, value})
	if len(l.entries) > l.max {
		l.remove(l.order.Back().Value.(*lruEntry[K, V]).key)
	}
}

// remove forgets a key, if it is known.
func (l *lru[K, V]) remove(key K) {
	if element, ok := l.entries[key]; ok {
		l.order.Remove(element)
		delete(l.entries, key)
	}
}

func (l *lru[K, V]) len() int { return len(l.entries) }
