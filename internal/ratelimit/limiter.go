package ratelimit

import (
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"

	"homeserver/internal/matrix"
)

// maxBuckets bounds how many keys one limiter remembers.
const maxBuckets = 10_000

// Limit is a token bucket: Burst at once, then PerSecond.
type Limit struct {
	PerSecond float64
	Burst     int
}

// Limiter holds one bucket for each key. It may be used concurrently.
type Limiter struct {
	limit Limit
	now   func() time.Time

	mu      sync.Mutex
	buckets *simplelru.LRU[string, *rate.Limiter]
}

// New makes a Limiter with a clock.
func New(limit Limit, now func() time.Time) *Limiter {
	// The one error is that of a size below 1.
	buckets, _ := simplelru.NewLRU[string, *rate.Limiter](maxBuckets, nil)
	return &Limiter{limit: limit, now: now, buckets: buckets}
}

// Claim is one token taken from a bucket.
type Claim struct {
	reservation *rate.Reservation
	at          time.Time
}

// GiveBack returns the token, for an attempt that should not count. It does
// nothing on nil.
func (c *Claim) GiveBack() {
	if c != nil {
		c.reservation.CancelAt(c.at)
	}
}

// Take takes one token of the key's bucket. M_LIMIT_EXCEEDED with RetryAfter where
// there is none. A nil Limiter gives a nil Claim.
func (l *Limiter) Take(key string) (*Claim, error) { return l.TakeN(key, 1) }

// TakeN takes n tokens of the key's bucket, or all that it can hold where that is
// less, so that nothing is refused for ever. M_LIMIT_EXCEEDED with RetryAfter where
// there are not as many. A nil Limiter gives a nil Claim.
func (l *Limiter) TakeN(key string, n int) (*Claim, error) {
	if l == nil {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	reservation := l.bucket(key).ReserveN(now, max(1, min(n, l.limit.Burst)))
	wait := reservation.DelayFrom(now)
	if !reservation.OK() {
		wait = time.Hour // the bucket holds nothing at all
	}
	if wait == 0 {
		return &Claim{reservation, now}, nil
	}
	reservation.CancelAt(now)
	return nil, TooMany(wait)
}

// Charge takes n tokens of the key's bucket for work that has been done already, also
// those that are not there: the key is refused until they have come back. A bucket that
// holds fewer owes no more than all that it holds.
func (l *Limiter) Charge(key string, n int) {
	if l == nil || n < 1 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bucket(key).ReserveN(l.now(), min(n, l.limit.Burst))
}

// bucket finds the bucket of a key, or makes one.
func (l *Limiter) bucket(key string) *rate.Limiter {
	bucket, ok := l.buckets.Get(key)
	if !ok {
		bucket = rate.NewLimiter(rate.Limit(l.limit.PerSecond), l.limit.Burst)
		l.buckets.Add(key, bucket)
	}
	return bucket
}

// Spent reports whether Take would refuse the key now. A nil Limiter refuses nobody.
func (l *Limiter) Spent(key string) bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	bucket, ok := l.buckets.Get(key)
	return ok && bucket.TokensAt(l.now()) < 1
}

// TooMany is the M_LIMIT_EXCEEDED that says when to come back.
func TooMany(wait time.Duration) *matrix.Error {
	err := matrix.Errorf(matrix.LimitExceeded, "Too many requests: try again later")
	err.RetryAfter = min(wait, time.Duration(math.MaxInt32)*time.Millisecond)
	return err
}

// AddressKey is what an address is counted as: an IPv4 address, or the /64 network
// of an IPv6 address, since whoever has one address of a /64 usually has all of it.
func AddressKey(address netip.Addr) string {
	address = address.Unmap().WithZone("")
	if !address.Is6() {
		return address.String()
	}
	network, err := address.Prefix(64)
	if err != nil {
		return address.String()
	}
	return network.String()
}
