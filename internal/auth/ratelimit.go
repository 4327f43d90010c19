package auth

import (
	"math"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"homeserver/internal/matrix"
)

// maxBuckets bounds how many addresses or accounts one limit remembers. Beyond it
// the one that was asked for least recently starts afresh.
const maxBuckets = 10_000

// Limit is a token bucket: Burst at once, then PerSecond. The zero value means the
// default of its place.
type Limit struct {
	PerSecond float64
	Burst     int
}

// RateLimits bounds what clients may try. An address is an IPv4 address or the /64
// network of an IPv6 address. Client-server API, "Rate limiting".
type RateLimits struct {
	// Disabled switches all limits off.
	Disabled bool
	// Login bounds the passwords tried by an address, right or wrong.
	Login Limit
	// FailedLogin bounds the wrong passwords for an account, from anywhere.
	FailedLogin Limit
	// Registration bounds the requests to register by an address. One
	// registration takes a client one or two of them.
	Registration Limit
	// Availability bounds the names that an address may ask after.
	Availability Limit
}

// DefaultRateLimits are the limits that hold where none are given.
func DefaultRateLimits() RateLimits {
	return RateLimits{
		Login:        Limit{PerSecond: 1, Burst: 30},
		FailedLogin:  Limit{PerSecond: 0.1, Burst: 10},
		Registration: Limit{PerSecond: 0.2, Burst: 20},
		Availability: Limit{PerSecond: 5, Burst: 50},
	}
}

// limits holds a limiter for each of RateLimits; all nil where they are disabled.
type limits struct {
	login, failedLogin, registration, availability *limiter
}

func newLimits(given RateLimits, now func() time.Time) limits {
	if given.Disabled {
		return limits{}
	}
	normal := DefaultRateLimits()
	return limits{
		login:        newLimiter(given.Login, normal.Login, now),
		failedLogin:  newLimiter(given.FailedLogin, normal.FailedLogin, now),
		registration: newLimiter(given.Registration, normal.Registration, now),
		availability: newLimiter(given.Availability, normal.Availability, now),
	}
}

// limiter holds one bucket for each key. A nil limiter allows everything.
type limiter struct {
	limit Limit
	now   func() time.Time

	mu      sync.Mutex
	buckets *lru[string, *rate.Limiter]
}

func newLimiter(given, normal Limit, now func() time.Time) *limiter {
	if given == (Limit{}) {
		given = normal
	}
	return &limiter{limit: given, now: now, buckets: newLRU[string, *rate.Limiter](maxBuckets)}
}

// claim is one token taken from a bucket.
type claim struct {
	reservation *rate.Reservation
	at          time.Time
}

// giveBack returns the token, for an attempt that should not count.
func (c *claim) giveBack() {
	if c != nil {
		c.reservation.CancelAt(c.at)
	}
}

// take takes one token of the key's bucket. M_LIMIT_EXCEEDED with RetryAfter where
// there is none.
func (l *limiter) take(key string) (*claim, error) {
	if l == nil {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	bucket, ok := l.buckets.get(key)
	if !ok {
		bucket = rate.NewLimiter(rate.Limit(l.limit.PerSecond), l.limit.Burst)
		l.buckets.put(key, bucket)
	}
	now := l.now()
	reservation := bucket.ReserveN(now, 1)
	wait := reservation.DelayFrom(now)
	if !reservation.OK() {
		wait = time.Hour // the bucket holds nothing at all
	}
	if wait == 0 {
		return &claim{reservation, now}, nil
	}
	reservation.CancelAt(now)
	return nil, tooMany(wait)
}

// tooMany says when to come back.
func tooMany(wait time.Duration) *matrix.Error {
	err := matrix.Errorf(matrix.LimitExceeded, "Too many requests: try again later")
	err.RetryAfter = min(wait, time.Duration(math.MaxInt32)*time.Millisecond)
	return err
}

// addressKey is what an address is counted as. Whoever has one address of an IPv6
// /64 usually has all of it.
func addressKey(address netip.Addr) string {
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

// accountKey is what a user name is counted as, in whichever case it was typed.
func accountKey(userID string) string { return strings.ToLower(userID) }
