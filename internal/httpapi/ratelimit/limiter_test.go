package ratelimit

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"homeserver/internal/matrix"
)

// clock is a clock that only moves when told.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func newTestLimiter(limit Limit) (*Limiter, *clock) {
	c := &clock{now: time.Unix(1000, 0)}
	return New(Messages, limit, c.Now, newBuckets(0)), c
}

func mustTake(t *testing.T, l *Limiter, key string) *Claim {
	t.Helper()
	got, err := l.Take(key)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func wantRefused(t *testing.T, l *Limiter, key string) *matrix.Error {
	t.Helper()
	_, err := l.Take(key)
	e, ok := errors.AsType[*matrix.Error](err)
	if !ok || e.Code != matrix.LimitExceeded || e.HTTPStatus() != 429 {
		t.Fatalf("got %v, want 429 %s", err, matrix.LimitExceeded)
	}
	return e
}

func TestLimiterRefillsWithTime(t *testing.T) {
	t.Parallel()
	l, c := newTestLimiter(Limit{PerSecond: 0.5, Burst: 2})
	mustTake(t, l, "a")
	mustTake(t, l, "a")

	if e := wantRefused(t, l, "a"); e.RetryAfter != 2*time.Second {
		t.Errorf("got %v, want 2s", e.RetryAfter)
	}
	mustTake(t, l, "b")
	c.now = c.now.Add(1500 * time.Millisecond)
	if e := wantRefused(t, l, "a"); e.RetryAfter != 500*time.Millisecond {
		t.Errorf("got %v: being refused must not cost anything", e.RetryAfter)
	}
	c.now = c.now.Add(500 * time.Millisecond)
	mustTake(t, l, "a")
}

func TestSpent(t *testing.T) {
	t.Parallel()
	l, c := newTestLimiter(Limit{PerSecond: 1, Burst: 1})
	for range 2 {
		if l.Spent("a") {
			t.Error("asking takes tokens")
		}
	}
	mustTake(t, l, "a")
	if !l.Spent("a") || l.Spent("b") {
		t.Error("an empty bucket is not spent, or a full one is")
	}
	c.now = c.now.Add(time.Second)
	if l.Spent("a") {
		t.Error("the bucket does not fill again")
	}
	var none *Limits
	if none.Spent(Messages, "a") {
		t.Error("no limits refuse somebody")
	}
}

func TestLimiterGivesBack(t *testing.T) {
	t.Parallel()
	l, c := newTestLimiter(Limit{PerSecond: 0.01, Burst: 1})
	for range 5 {
		taken := mustTake(t, l, "a")
		c.now = c.now.Add(10 * time.Millisecond)
		taken.GiveBack()
	}
	mustTake(t, l, "a")
	_ = wantRefused(t, l, "a")
}

func TestLimiterThatHoldsNothing(t *testing.T) {
	t.Parallel()
	l, _ := newTestLimiter(Limit{PerSecond: 5})
	if e := wantRefused(t, l, "a"); e.RetryAfter != time.Hour {
		t.Errorf("got %v", e.RetryAfter)
	}
	never, _ := newTestLimiter(Limit{Burst: 1})
	mustTake(t, never, "a")
	if e := wantRefused(t, never, "a"); e.RetryAfter.Milliseconds() != 1<<31-1 {
		t.Errorf("got %v", e.RetryAfter)
	}
}

func TestLimiterIsBounded(t *testing.T) {
	t.Parallel()
	const share = 1 << 20
	l := New(Messages, Limit{PerSecond: 1, Burst: 1}, time.Now, newBuckets(share))
	for i := range share / 200 * 2 {
		mustTake(t, l, strconv.Itoa(i)+strings.Repeat("x", 500))
	}
	if got := l.buckets.Stats(); got.Bytes > share || got.Entries < share/300 {
		t.Errorf("got %+v", got)
	}
}

func TestNoLimiterAllowsEverything(t *testing.T) {
	t.Parallel()
	var none *Limiter
	for range 100 {
		mustTake(t, none, "a").GiveBack()
	}
}

func TestTakeN(t *testing.T) {
	t.Parallel()
	l, c := newTestLimiter(Limit{PerSecond: 1, Burst: 10})
	for range 2 {
		if _, err := l.TakeN("a", 4); err != nil {
			t.Fatal(err)
		}
	}
	_, err := l.TakeN("a", 4)
	if e, ok := errors.AsType[*matrix.Error](err); !ok || e.RetryAfter != 2*time.Second {
		t.Errorf("got %v, want to wait for 2s", err)
	}
	mustTake(t, l, "a")
	mustTake(t, l, "a")
	_ = wantRefused(t, l, "a")

	// More than the bucket holds takes all of it.
	c.now = c.now.Add(10 * time.Second)
	if _, err := l.TakeN("a", 1000); err != nil {
		t.Fatal(err)
	}
	_ = wantRefused(t, l, "a")
}

func TestAddressKey(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"192.0.2.1":                "192.0.2.1",
		"::ffff:192.0.2.1":         "192.0.2.1",
		"2001:db8:1:2:3:4:5:6":     "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::":      "2001:db8:1:2::/64",
		"fe80::1%eth0":             "fe80::/64",
		"2001:db8:1:3::1":          "2001:db8:1:3::/64",
		"::1":                      "::/64",
		"2001:db8:1:2:3:4:5:6%en0": "2001:db8:1:2::/64",
	}
	for address, want := range tests {
		if got := AddressKey(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
	if got := AddressKey(netip.Addr{}); got == "" {
		t.Error("an unknown address has no key")
	}
}
