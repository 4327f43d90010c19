package ratelimit

import (
	"testing"
	"time"
)

// The real clock's steps do not show here, since time.Now carries a clock that has
// none; but a machine that slept, or a clock without that, must not lock anybody out.
func TestLimiterWhenTheClockJumps(t *testing.T) {
	t.Parallel()
	l, c := newTestLimiter(Limit{PerSecond: 1, Burst: 2})
	for range 2 {
		mustTake(t, l, "a")
	}
	if e := wantRefused(t, l, "a"); e.RetryAfter > 2*time.Second {
		t.Errorf("one has to wait for %v", e.RetryAfter)
	}
	c.now = c.now.Add(-time.Hour)
	if e := wantRefused(t, l, "a"); e.RetryAfter > 2*time.Second {
		t.Errorf("after a jump back one has to wait for %v", e.RetryAfter)
	}
	c.now = c.now.Add(time.Second)
	mustTake(t, l, "a")
	if e := wantRefused(t, l, "a"); e.RetryAfter > 2*time.Second {
		t.Errorf("one has to wait for %v", e.RetryAfter)
	}
	c.now = c.now.Add(2 * time.Hour)
	for range 2 { // no more than the burst, however long it was
		mustTake(t, l, "a")
	}
	if e := wantRefused(t, l, "a"); e.RetryAfter > 2*time.Second {
		t.Errorf("one has to wait for %v", e.RetryAfter)
	}
}
