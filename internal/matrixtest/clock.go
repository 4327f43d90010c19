package matrixtest

import (
	"sync/atomic"
	"time"
)

// Clock is a clock that stands still until it is moved. The zero value begins at a time in 2023.
type Clock struct{ passed atomic.Int64 }

// Now returns the time that the clock shows.
func (c *Clock) Now() time.Time {
	return time.UnixMilli(1_700_000_000_000).Add(time.Duration(c.passed.Load()))
}

// Pass moves the clock, back if the duration is negative.
func (c *Clock) Pass(d time.Duration) { c.passed.Add(int64(d)) }
