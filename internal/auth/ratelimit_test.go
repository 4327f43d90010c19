package auth

import (
	"net/netip"
	"strconv"
	"testing"
	"time"

	"homeserver/internal/matrix"
)

func newTestLimiter(limit Limit) (*limiter, *clock) {
	c := &clock{now: time.Unix(1000, 0)}
	return newLimiter(limit, Limit{}, c.Now), c
}

func mustTake(t *testing.T, l *limiter, key string) *claim {
	t.Helper()
	got, err := l.take(key)
	must(t, err)
	return got
}

func TestLimiterRefillsWithTime(t *testing.T) {
	t.Parallel()
	l, c := newTestLimiter(Limit{PerSecond: 0.5, Burst: 2})
	mustTake(t, l, "a")
	mustTake(t, l, "a")

	_, err := l.take("a")
	if e := wantCode(t, err, matrix.LimitExceeded); e.RetryAfter != 2*time.Second || e.HTTPStatus() != 429 {
		t.Errorf("got %d after %v, want 429 after 2s", e.HTTPStatus(), e.RetryAfter)
	}
	mustTake(t, l, "b")
	c.advance(1500 * time.Millisecond)
	_, err = l.take("a")
	if e := wantCode(t, err, matrix.LimitExceeded); e.RetryAfter != 500*time.Millisecond {
		t.Errorf("got %v: being refused must not cost anything", e.RetryAfter)
	}
	c.advance(500 * time.Millisecond)
	mustTake(t, l, "a")
}

func TestLimiterGivesBack(t *testing.T) {
	t.Parallel()
	l, c := newTestLimiter(Limit{PerSecond: 0.01, Burst: 1})
	for range 5 {
		taken := mustTake(t, l, "a")
		c.advance(10 * time.Millisecond)
		taken.giveBack()
	}
	mustTake(t, l, "a")
	_, err := l.take("a")
	wantCode(t, err, matrix.LimitExceeded)
}

func TestLimiterThatHoldsNothing(t *testing.T) {
	t.Parallel()
	l, _ := newTestLimiter(Limit{PerSecond: 5})
	_, err := l.take("a")
	if e := wantCode(t, err, matrix.LimitExceeded); e.RetryAfter != time.Hour {
		t.Errorf("got %v", e.RetryAfter)
	}
	never, _ := newTestLimiter(Limit{Burst: 1})
	mustTake(t, never, "a")
	_, err = never.take("a")
	if e := wantCode(t, err, matrix.LimitExceeded); e.RetryAfter.Milliseconds() != 1<<31-1 {
		t.Errorf("got %v", e.RetryAfter)
	}
}

func TestLimiterIsBounded(t *testing.T) {
	t.Parallel()
	l, _ := newTestLimiter(Limit{PerSecond: 1, Burst: 1})
	for i := range maxBuckets + 5 {
		mustTake(t, l, strconv.Itoa(i))
	}
	if n := l.buckets.len(); n != maxBuckets {
		t.Errorf("got %d buckets, want %d", n, maxBuckets)
	}
}

func TestLimitsCanBeDisabled(t *testing.T) {
	t.Parallel()
	none := newLimits(RateLimits{Disabled: true, Login: Limit{PerSecond: 1, Burst: 1}}, time.Now)
	for range 100 {
		mustTake(t, none.login, "a").giveBack()
		mustTake(t, none.registration, "a")
	}
	normal := newLimits(RateLimits{Login: Limit{PerSecond: 7, Burst: 8}}, time.Now)
	if normal.login.limit != (Limit{PerSecond: 7, Burst: 8}) {
		t.Errorf("got %+v, want what was given", normal.login.limit)
	}
	if normal.registration.limit != DefaultRateLimits().Registration {
		t.Errorf("got %+v, want the default", normal.registration.limit)
	}
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
		if got := addressKey(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
	if got := addressKey(netip.Addr{}); got == "" {
		t.Error("an unknown address has no key")
	}
}
