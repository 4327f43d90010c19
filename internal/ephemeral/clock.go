package ephemeral

import (
	"crypto/rand"
	"strconv"
	"strings"
	"sync/atomic"
)

// Tick is a moment of one process: 1 at first, then 2, 3, … 0 is none.
type Tick int64

// Clock counts the changes of one process. Whoever keeps something by it takes
// Next while holding the lock that guards the thing, and readers take Now before
// that lock: then what they see is complete up to their tick.
type Clock struct {
	instance string
	tick     atomic.Int64
}

// NewClock makes a clock that no other process has.
func NewClock() *Clock {
	const letters = 8
	c := &Clock{instance: strings.ToLower(rand.Text()[:letters])}
	c.tick.Store(1)
	return c
}

// Next gives the tick of a change.
func (c *Clock) Next() Tick { return Tick(c.tick.Add(1)) }

// Now gives the tick of the newest change.
func (c *Clock) Now() Tick { return Tick(c.tick.Load()) }

// Format writes a tick as a part of a token: instance.tick.
func (c *Clock) Format(t Tick) string { return c.instance + "." + strconv.FormatInt(int64(t), 10) }

// Parse reads what Format has written. A tick of another process, or none at
// all, is 0: everything current is new to whoever has that token.
func (c *Clock) Parse(text string) Tick {
	instance, tick, _ := strings.Cut(text, ".")
	if instance != c.instance {
		return 0
	}
	t, err := strconv.ParseInt(tick, 10, 64)
	if err != nil || t < 0 || Tick(t) > c.Now() {
		return 0
	}
	return Tick(t)
}
