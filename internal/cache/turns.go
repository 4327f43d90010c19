package cache

import (
	"context"
	"sync"
)

// Turns lets those who change the same things, such as those of one user, do so one
// after the other. Between processes something else must tell, such as the position
// of the last change; here a change that comes second would only fail and take the
// rest of its group along. The zero value is ready for use.
type Turns struct {
	mu    sync.Mutex
	taken map[string]*turn
}

// turn is what those wait on who change the same things.
type turn struct {
	free chan struct{} // holds a token while nobody has the turn
	many int           // who has it or waits for it
}

// Take waits for the turn, and gives what ends it; else the context's error.
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
