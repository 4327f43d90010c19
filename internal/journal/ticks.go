package journal

import (
	"crypto/rand"
	"strconv"
	"strings"
	"sync/atomic"
)

// Tick is a moment of one process in what is not durable, typing and presence: 1 at
// first, then 2, 3, … 0 is none. It stands beside the position in the tokens of /sync.
type Tick int64

// Elsewhere is the tick of who knows something, but not from this process:
// everything that is kept here is new, and what has ended is told, too.
const Elsewhere Tick = -1

// Ticks counts the changes of one process. Whoever keeps something by it takes
// Next while holding the lock that guards the thing, and readers take Now before
// that lock: then what they see is complete up to their tick.
//
// Promise: whoever has read up to a tick has seen every state that was set up to it, or
// a newer one of the same thing. Each process has ticks of its own, and new ones after
// a restart; a token carries those of the processes that its client has asked lately.
// From one that it has not asked, the client gets what is kept there.
type Ticks struct {
	instance string
	tick     atomic.Int64
}

// NewTicks makes a count that no other process has.
func NewTicks() *Ticks {
	const letters = 8
	c := &Ticks{instance: strings.ToLower(rand.Text()[:letters])}
	c.tick.Store(1)
	return c
}

// Next returns the tick of a change.
func (c *Ticks) Next() Tick { return Tick(c.tick.Add(1)) }

// Now returns the tick of the newest change.
func (c *Ticks) Now() Tick { return Tick(c.tick.Load()) }

// maxParts is how many processes a token remembers.
const maxParts = 8

// Format writes a tick as a part of a token, instance.tick, followed by those of
// other processes that stood in the token before: a client whose requests go to
// several processes in turn is told everything once by each, and not again.
func (c *Ticks) Format(t Tick, before string) string {
	var parts []string
	if t != Elsewhere {
		parts = append(parts, c.instance+"."+strconv.FormatInt(int64(t), 10))
	}
	for part := range strings.SplitSeq(before, "_") {
		if instance, _, ok := strings.Cut(part, "."); ok && instance != c.instance && len(parts) < maxParts {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "_")
}

// Parse finds the tick of this process in what Format has written, here or
// elsewhere: 0 for who has none at all, Elsewhere for who has one of other processes
// alone, or one that cannot be.
func (c *Ticks) Parse(text string) Tick {
	if text == "" {
		return 0
	}
	for part := range strings.SplitSeq(text, "_") {
		instance, tick, _ := strings.Cut(part, ".")
		if instance != c.instance {
			continue
		}
		if t, err := strconv.ParseInt(tick, 10, 64); err == nil && t >= 0 && Tick(t) <= c.Now() {
			return Tick(t)
		}
	}
	return Elsewhere
}
