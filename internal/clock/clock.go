package clock

import (
	"sync"
	"sync/atomic"
	"time"
)

// Clock is a clock that can be moved forward. The zero value shows the real time. It may be used
// concurrently.
type Clock struct {
	ahead atomic.Int64 // of the real time
	mu    sync.Mutex
	waits map[*Timer]struct{}
}

// Now returns the time that the clock shows.
func (c *Clock) Now() time.Time {
	if c == nil {
		return time.Now()
	}
	return time.Now().Add(time.Duration(c.ahead.Load()))
}

// Advance moves the clock forward. Timers whose time has come by that fire.
func (c *Clock) Advance(d time.Duration) {
	if d <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead.Add(int64(d))
	now := c.Now()
	for t := range c.waits {
		t.timer.Reset(t.at.Sub(now))
	}
}

// Timer is a time.Timer of a clock.
type Timer struct {
	C     <-chan time.Time // nil for one of AfterFunc
	clock *Clock           // nil: the real time
	timer *time.Timer
	at    time.Time
	every time.Duration // above 0: it fires again and again
}

// NewTimer returns a timer that sends on its channel once, when so much time has passed.
func (c *Clock) NewTimer(d time.Duration) *Timer {
	if c == nil {
		timer := time.NewTimer(d)
		return &Timer{C: timer.C, timer: timer}
	}
	fired := make(chan time.Time, 1)
	t := c.afterFunc(d, 0, func() { fired <- c.Now() })
	t.C = fired
	return t
}

// NewTicker returns a timer that sends on its channel each time that so much time has passed. It
// drops what nobody receives, and a clock that is moved by many of these times makes it fire once.
// Reset must not be called.
func (c *Clock) NewTicker(every time.Duration) *Timer {
	fired := make(chan time.Time, 1)
	t := c.orReal().afterFunc(every, every, func() {
		select {
		case fired <- c.Now():
		default:
		}
	})
	t.C = fired
	return t
}

// orReal returns the clock; for none, one that nobody moves.
func (c *Clock) orReal() *Clock {
	if c == nil {
		return &Clock{}
	}
	return c
}

// AfterFunc returns a timer that calls the function once, in a goroutine of its own, when so much
// time has passed.
func (c *Clock) AfterFunc(d time.Duration, f func()) *Timer {
	if c == nil {
		return &Timer{timer: time.AfterFunc(d, f)}
	}
	return c.afterFunc(d, 0, f)
}

func (c *Clock) afterFunc(d, every time.Duration, f func()) *Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &Timer{clock: c, at: c.Now().Add(d), every: every}
	t.timer = time.AfterFunc(d, func() {
		if t.due() {
			f()
		}
	})
	c.add(t)
	return t
}

func (c *Clock) add(t *Timer) {
	if c.waits == nil {
		c.waits = map[*Timer]struct{}{}
	}
	c.waits[t] = struct{}{}
}

// due reports whether the timer fires, and ends its waiting then, unless it fires again. It does
// not if it was stopped, or set to a later time, meanwhile.
func (t *Timer) due() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	now := t.clock.Now()
	if _, waits := t.clock.waits[t]; !waits || t.at.After(now) {
		return false
	}
	if t.every > 0 {
		t.at = now.Add(t.every)
		t.timer.Reset(t.every)
	} else {
		delete(t.clock.waits, t)
	}
	return true
}

// Stop keeps the timer from firing, and reports whether it has.
func (t *Timer) Stop() bool {
	if t.clock == nil {
		return t.timer.Stop()
	}
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	_, waited := t.clock.waits[t]
	delete(t.clock.waits, t)
	t.timer.Stop()
	return waited
}

// Reset has the timer fire when so much time has passed, and reports whether it was waiting. It is
// for a timer that has been stopped, or whose channel has been read.
func (t *Timer) Reset(d time.Duration) bool {
	if t.clock == nil {
		return t.timer.Reset(d)
	}
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	_, waited := t.clock.waits[t]
	t.at = t.clock.Now().Add(d)
	t.clock.add(t)
	t.timer.Reset(d)
	return waited
}
