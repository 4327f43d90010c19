package journal

import (
	"crypto/rand"
	"strconv"
	"strings"
	"sync/atomic"
)

// Tick numbers the changes of what is not durable, typing and presence, in one process:
// 1 at first, then 2, 3, … 0 is none. Tokens of /sync have it beside the position.
type Tick int64

// Elsewhere is the tick of a client that has answers of other processes only: all that
// this process has is new to it, and what has ended is sent, too.
const Elsewhere Tick = -1

// Ticks counts the changes of one process. A service that has something counted calls
// Next while it holds the lock that guards the thing, and readers call Now before they
// take that lock: then what they see is complete up to their tick.
//
// Promise: a reader up to a tick has seen every state that was set up to it, or a newer
// one of the same thing. Each process has ticks of its own, and new ones after a
// restart; a token carries those of the processes that its client has asked lately.
// From a process that it has not asked, the client gets all that is in its memory.
type Ticks struct {
	instance string
	tick     atomic.Int64
	onNext   []func()
}

// NewTicks makes a count that no other process has.
func NewTicks() *Ticks {
	const letters = 8
	c := &Ticks{instance: strings.ToLower(rand.Text()[:letters])}
	c.tick.Store(1)
	return c
}

// OnNext adds a function that is called at each change. It must be quick, and must not ask
// what has changed. Call OnNext before anything can change.
func (c *Ticks) OnNext(f func()) { c.onNext = append(c.onNext, f) }

// Next returns the tick of a change.
func (c *Ticks) Next() Tick {
	tick := Tick(c.tick.Add(1))
	for _, f := range c.onNext {
		f()
	}
	return tick
}

// Now returns the tick of the newest change.
func (c *Ticks) Now() Tick { return Tick(c.tick.Load()) }

// maxParts is how many processes a token remembers.
const maxParts = 8

// Format writes a tick as a part of a token, instance.tick, followed by those of other
// processes that were in the token before: a client whose requests go to several
// processes in turn gets everything from each once, and not again.
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

// Parse finds the tick of this process in a text that Format has written, here or
// elsewhere: 0 if there is none at all, Elsewhere if there are only those of other
// processes, or one that cannot be.
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
