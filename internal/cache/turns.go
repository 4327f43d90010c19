package cache

import (
	"context"
	"sync"
)

// Turns makes changes of the same things, such as those of one user, happen one after
// the other. Between processes something else must order them, such as the position of
// the last change; in one process a second change would only fail, together with the
// rest of its group. The zero value is ready for use.
type Turns struct {
	mu    sync.Mutex
	taken map[string]*turn
}

// turn is the turn of changes with one key.
type turn struct {
	free chan struct{} // holds a token while nobody has the turn
	many int           // number of those who have it or wait for it
}

// Take waits for the turn, and returns the function that ends it; else the context's
// error.
func (t *Turns) Take(ctx context.Context, key string) (end func(), err error) {
	mine := t.join(key)
	select {
	case <-mine.free:
		return func() {
			mine.free <- struct{}{}
			t.leave(key, mine)
		}, nil
	case <-ctx.Done():
		t.leave(key, mine)
		return nil, ctx.Err()
	}
}

func (t *Turns) join(key string) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken == nil {
		t.taken = map[string]*turn{}
	}
	mine := t.taken[key]
	if mine == nil {
		mine = &turn{free: make(chan struct{}, 1)}
		mine.free <- struct{}{}
		t.taken[key] = mine
	}
	mine.many++
	return mine
}

func (t *Turns) leave(key string, mine *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if mine.many--; mine.many == 0 {
		delete(t.taken, key)
	}
}
