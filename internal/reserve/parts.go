package reserve

import (
	"cmp"
	"context"
	"iter"
	"slices"
)

// PartCost is how much memory a part should need. One that cannot be divided needs
// more.
const PartCost = 512 << 10

// Stretch is the range (After, UpTo] of a list for a key, with its estimated memory.
type Stretch[K cmp.Ordered] struct {
	Key         K
	After, UpTo int64
	Cost        int64
}

// Columns returns stretches as columns, for the arguments of a query.
func Columns[K cmp.Ordered](part []Stretch[K]) (key []K, after, upTo []int64) {
	for _, st := range part {
		key, after, upTo = append(key, st.Key), append(after, st.After), append(upTo, st.UpTo)
	}
	return key, after, upTo
}

// Parts is a list that is too much to be held at once: it is read while it is written.
// Its memory is counted, and waited for before anything is written. It is not for
// concurrent use.
type Parts[K cmp.Ordered, T any] struct {
	stretches []Stretch[K]
	read      func(ctx context.Context, part []Stretch[K]) (map[K][]T, error)
	most      int64 // what one part needs at most

	from, to int // the stretches that were read last
	found    map[K][]T
	held     int64
}

// NewParts makes a list of stretches, in the order of their keys and ranges; nil if
// there are none. read reads some of them and counts their bytes. Errors of [Read].
func NewParts[K cmp.Ordered, T any](
	ctx context.Context, stretches []Stretch[K], read func(ctx context.Context, part []Stretch[K]) (map[K][]T, error),
) (*Parts[K, T], error) {
	if len(stretches) == 0 {
		return nil, nil
	}
	most := int64(PartCost)
	for _, st := range stretches {
		most = max(most, st.Cost)
	}
	p := &Parts[K, T]{stretches: stretches, read: read, most: most}
	return p, p.Ahead(ctx)
}

// Ahead waits for the memory of a part. A list for which more was read after it was made is
// to be waited for again, so that the answer need not wait once it has begun. Errors of
// [Read].
func (p *Parts[K, T]) Ahead(ctx context.Context) error {
	if p == nil {
		return nil
	}
	return Ahead(ctx, p.most)
}

// Done frees the memory of the part that was read last, so that the next list can use it. A
// list that is gone through again is read again.
func (p *Parts[K, T]) Done(ctx context.Context) {
	if p == nil {
		return
	}
	Drop(ctx, p.held)
	p.found, p.held, p.from, p.to = nil, 0, 0, 0
}

// Keys returns the keys for which there is something. There are none in nil.
func (p *Parts[K, T]) Keys() iter.Seq[K] {
	return func(yield func(K) bool) {
		for i := 0; p != nil && i < len(p.stretches); i++ {
			key := p.stretches[i].Key
			if (i == 0 || p.stretches[i-1].Key != key) && !yield(key) {
				return
			}
		}
	}
}

// Of returns the list for a key, part by part, until an error. The caller must keep
// nothing of a part when it asks for the next. Keys that follow each other are read
// together. A nil list is empty.
func (p *Parts[K, T]) Of(ctx context.Context, key K) iter.Seq2[[]T, error] {
	return func(yield func([]T, error) bool) {
		if p == nil {
			return
		}
		at, _ := slices.BinarySearchFunc(p.stretches, key, func(st Stretch[K], key K) int { return cmp.Compare(st.Key, key) })
		for at < len(p.stretches) && p.stretches[at].Key == key {
			if at < p.from || at >= p.to {
				if err := p.next(ctx, at); err != nil {
					yield(nil, err)
					return
				}
			}
			if !yield(p.found[key], nil) {
				return
			}
			for at < p.to && p.stretches[at].Key == key {
				at++
			}
		}
	}
}

// next reads the part that begins with a stretch.
func (p *Parts[K, T]) next(ctx context.Context, from int) (err error) {
	p.Done(ctx)
	to, cost := from+1, p.stretches[from].Cost
	for to < len(p.stretches) && cost+p.stretches[to].Cost <= PartCost {
		cost += p.stretches[to].Cost
		to++
	}
	before := Used(ctx)
	p.found, err = p.read(ctx, p.stretches[from:to])
	p.from, p.to, p.held = from, to, Used(ctx)-before
	return err
}
