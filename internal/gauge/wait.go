package gauge

import (
	"container/heap"
	"context"
	"slices"
	"time"

	"homeserver/internal/matrix"
)

// waiter is one piece of work that waits for its turn.
type waiter struct {
	key   string
	n     int64
	enter chan struct{} // closed when admitted
}

// Enter counts n more for a caller, until Leave subtracts them, and waits for its turn
// if there is no room yet. More than the bounds allow at all counts as much as they
// allow: it returns what was counted, for Leave. The context's error if that ends
// first; 503 M_UNKNOWN if too many wait already, M_LIMIT_EXCEEDED if too many of one
// caller do.
func (g *Gauge) Enter(ctx context.Context, key string, n int64) (counted int64, err error) {
	n = min(n, g.o.Each, g.o.Total)
	w, err := g.join(key, n)
	if err != nil {
		return 0, err
	}
	if w == nil {
		return n, nil
	}
	select {
	case <-w.enter:
		return w.n, nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-w.enter: // let in at the last moment
		return w.n, nil
	default:
	}
	c := g.callers[key]
	c.waiting = slices.DeleteFunc(c.waiting, func(other *waiter) bool { return other == w })
	g.waiting--
	g.line(c)
	g.forget(key, c)
	g.admit() // a smaller one may have waited behind
	return 0, ctx.Err()
}

// join puts a waiter at the end of its caller's line; nil: there is room at once.
func (g *Gauge) join(key string, n int64) (*waiter, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.caller(key)
	fits := g.waiting == 0 && g.held+n <= g.o.Total && c.held+n <= g.o.Each
	switch {
	case fits:
		c.next = max(c.next, g.now)
		g.grant(c, n)
		return nil, nil
	case g.waiting >= g.o.Waiting:
		g.forget(key, c)
		return nil, g.refuse(errOverloaded)
	case len(c.waiting) >= g.o.EachWaiting:
		return nil, g.refuse(matrix.TooMany(time.Second))
	}
	w := &waiter{key: key, n: n, enter: make(chan struct{})}
	c.waiting = append(c.waiting, w)
	g.waiting++
	g.line(c)
	g.admit()
	return w, nil
}

// line adds a caller to those who take turns, or removes it: a caller that has all that
// one may have waits for itself, and delays nobody. It does not get later what others
// got meanwhile: turns never go back.
func (g *Gauge) line(c *caller) {
	ready := len(c.waiting) > 0 && c.held+c.waiting[0].n <= g.o.Each
	switch {
	case ready && c.index < 0:
		c.next = max(c.next, g.now)
		heap.Push(&g.turns, c)
	case !ready && c.index >= 0:
		heap.Remove(&g.turns, c.index)
	}
}

// grant counts n for a caller whose turn it is.
func (g *Gauge) grant(c *caller, n int64) {
	g.now = c.next
	c.next += n
	g.held += n
	c.held += n
}

// admit admits the work whose turn it is, as long as there is room. A large piece of
// work whose turn it is waits for room, and the ones after it wait, too: otherwise it
// would wait for ever.
func (g *Gauge) admit() {
	for len(g.turns) > 0 {
		c := g.turns[0]
		w := c.waiting[0]
		if g.held+w.n > g.o.Total {
			return
		}
		heap.Pop(&g.turns)
		g.grant(c, w.n)
		c.waiting = c.waiting[1:]
		g.waiting--
		g.line(c)
		close(w.enter)
	}
}

// turns is a heap of the callers that can be admitted, by their turns.
type turns []*caller

// Len implements heap.Interface.
func (t turns) Len() int { return len(t) }

// Less implements heap.Interface.
func (t turns) Less(i, j int) bool { return t[i].next < t[j].next }

// Swap implements heap.Interface.
func (t turns) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}

// Push implements heap.Interface.
func (t *turns) Push(x any) {
	c := x.(*caller)
	c.index = len(*t)
	*t = append(*t, c)
}

// Pop implements heap.Interface.
func (t *turns) Pop() any {
	last := len(*t) - 1
	c := (*t)[last]
	c.index = -1
	(*t)[last] = nil
	*t = (*t)[:last]
	return c
}
