package gauge

import (
	"maps"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/matrix"
)

// Options has all that a Gauge needs. Total and the bounds of each caller are in the
// unit that the work is measured in.
type Options struct {
	// Total is how much may go on at once.
	Total int64
	// Each is how much of it one caller may have; 0: all of it.
	Each int64
	// Waiting is how many may wait for their turn, and EachWaiting how many of one
	// caller; 0: as many as ask.
	Waiting, EachWaiting int
	// Refused counts refusals; nil: they are not counted.
	Refused prometheus.Counter
}

// Gauge counts the work that goes on. It may be used concurrently.
type Gauge struct {
	o Options

	mu      sync.Mutex
	held    int64
	callers map[string]*caller
	turns   turns
	waiting int
	now     int64 // the turn of what was let in last
	sweepAt int   // at so many callers, those that need not be remembered are dropped
}

// caller has the work that one caller holds and waits for.
type caller struct {
	held    int64
	waiting []*waiter
	// next is the turn of the caller's next work: it moves along with work that the
	// caller gets, and with work that others get while the caller has none.
	next  int64
	index int // in turns; -1: not in there
}

// New makes a Gauge.
func New(o Options) *Gauge {
	if o.Each == 0 {
		o.Each = o.Total
	}
	if o.Waiting == 0 {
		o.Waiting = math.MaxInt
	}
	if o.EachWaiting == 0 {
		o.EachWaiting = math.MaxInt
	}
	return &Gauge{o: o, callers: map[string]*caller{}}
}

// errOverloaded is the answer to work that would be too much at the moment.
var errOverloaded = &matrix.Error{
	Code: matrix.Unknown, Status: http.StatusServiceUnavailable, RetryAfter: time.Second,
	Message: "the server is too busy at the moment: try again in a second",
}

// TryEnter counts n more for a caller, until Leave subtracts them. It never waits: work
// is counted and not queued, so that the answer comes at once. 503 M_UNKNOWN if that
// would be too much in total, M_LIMIT_EXCEEDED if it would be for one caller; both with
// RetryAfter.
func (g *Gauge) TryEnter(key string, n int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.caller(key)
	defer g.forget(key, c)
	switch {
	case g.held+n > g.o.Total:
		return g.refuse(errOverloaded)
	case c.held+n > g.o.Each:
		return g.refuse(matrix.TooMany(time.Second))
	}
	g.held += n
	c.held += n
	return nil
}

// TakeFree counts n more for a caller if there is room at once and nobody waits for
// it, and reports whether it has. It is for work that is under way, and that waits by
// Enter where this refuses.
func (g *Gauge) TakeFree(key string, n int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.caller(key)
	if g.held+n > g.o.Total || c.held+n > g.o.Each || len(g.turns) > 0 {
		g.forget(key, c)
		return false
	}
	g.held += n
	c.held += n
	return true
}

// Overloaded counts a caller that has waited in vain, and returns the answer: 503
// M_UNKNOWN with RetryAfter.
func (g *Gauge) Overloaded() error { return g.refuse(errOverloaded) }

// Leave subtracts what was counted for a caller, and admits those who wait for it.
func (g *Gauge) Leave(key string, n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.caller(key)
	g.held -= n
	c.held -= n
	g.line(c)
	g.forget(key, c)
	g.admit()
}

// Held returns how much goes on at the moment.
func (g *Gauge) Held() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held
}

// Waiting returns how many wait for their turn.
func (g *Gauge) Waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting
}

// Callers returns how many callers are remembered.
func (g *Gauge) Callers() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.callers)
}

func (g *Gauge) refuse(err *matrix.Error) error {
	if g.o.Refused != nil {
		g.o.Refused.Inc()
	}
	return err
}

func (g *Gauge) caller(key string) *caller {
	c := g.callers[key]
	if c == nil {
		g.sweep()
		c = &caller{next: g.now, index: -1}
		g.callers[key] = c
	}
	return c
}

// fewCallers are not worth a sweep.
const fewCallers = 1000

// sweep drops those whose turn has come meanwhile without their asking again.
func (g *Gauge) sweep() {
	if len(g.callers) < max(fewCallers, g.sweepAt) {
		return
	}
	maps.DeleteFunc(g.callers, func(_ string, c *caller) bool { return g.forgettable(c) })
	g.sweepAt = 2 * len(g.callers)
}

// forget drops a caller that need not be remembered; all of them if nothing goes on.
func (g *Gauge) forget(key string, c *caller) {
	switch {
	case g.waiting == 0 && g.held == 0:
		clear(g.callers) // nobody is ahead of anybody
	case g.forgettable(c):
		delete(g.callers, key)
	}
}

// forgettable reports whether a caller has nothing, and would wait no longer than a new
// one.
func (g *Gauge) forgettable(c *caller) bool {
	return c.held == 0 && len(c.waiting) == 0 && (c.next <= g.now || g.waiting == 0)
}
