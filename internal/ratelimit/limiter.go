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

// Or gives the limit, or the fallback where it is the zero value.
func (l Limit) Or(fallback Limit) Limit {
	if l == (Limit{}) {
		return fallback
	}
	return l
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
func (l *Limiter) Take(key string) (*Claim, error) {
	if l == nil {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	bucket, ok := l.buckets.Get(key)
	if !ok {
		bucket = rate.NewLimiter(rate.Limit(l.limit.PerSecond), l.limit.Burst)
		l.buckets.Add(key, bucket)
	}
	now := l.now()
	reservation := bucket.ReserveN(now, 1)
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
