package ratelimit

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"homeserver/internal/cache"
	"homeserver/internal/matrix"
)

// Limit is a token bucket: Burst at once, then PerSecond.
type Limit struct {
	PerSecond float64
	Burst     int
}

// Limiter has one bucket for each key. It may be used concurrently.
type Limiter struct {
	kind  Kind
	limit Limit
	now   func() time.Time

	mu      sync.Mutex
	buckets *buckets
}

// New makes a Limiter for a kind of work, with a clock. It remembers those keys that were
// used last, among those of all Limiters that have their buckets in the same place.
func New(kind Kind, limit Limit, now func() time.Time, b *buckets) *Limiter {
	return &Limiter{kind: kind, limit: limit, now: now, buckets: b}
}

// buckets has the buckets by a number for the kind of work and the key: keys may be
// long, and would need more memory than all else.
type buckets struct {
	seed maphash.Seed
	*cache.LRU[uint64, *rate.Limiter]
}

// newBuckets makes room for so many bytes of buckets; 0: [cache.UsualShare].
func newBuckets(share int) *buckets {
	const bucket = 96
	return &buckets{maphash.MakeSeed(), cache.NewLRU(cache.Options[uint64, *rate.Limiter]{
		Share: share, Weigh: func(uint64, *rate.Limiter) int { return bucket },
	})}
}

func (b *buckets) number(kind Kind, key string) uint64 {
	return maphash.Comparable(b.seed, [2]string{string(kind), key})
}

// Claim is one token taken from a bucket.
type Claim struct {
	reservation rate.Reservation
	at          time.Time
}

// GiveBack returns the token, for an attempt that should not count. It does
// nothing on nil.
func (c *Claim) GiveBack() {
	if c != nil {
		c.reservation.CancelAt(c.at)
	}
}

// Take takes one token of the key's bucket. M_LIMIT_EXCEEDED with RetryAfter if there
// is none. A nil Limiter returns a nil Claim.
func (l *Limiter) Take(key string) (*Claim, error) { return l.TakeN(key, 1) }

// TakeN takes n tokens of the key's bucket, or all that it can have if that is less, so
// that nothing is refused for ever. M_LIMIT_EXCEEDED with RetryAfter if there are not
// as many. A nil Limiter returns a nil Claim.
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
		return &Claim{*reservation, now}, nil
	}
	reservation.CancelAt(now)
	return nil, matrix.TooMany(wait)
}

// Charge takes n tokens of the key's bucket for work that has been done already, also
// more than there are: the key is refused until they have come back. A bucket owes no
// more than its size.
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
	number := l.buckets.number(l.kind, key)
	bucket, ok := l.buckets.Get(number)
	if !ok {
		bucket = rate.NewLimiter(rate.Limit(l.limit.PerSecond), l.limit.Burst)
		l.buckets.Put(number, bucket)
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
	bucket, ok := l.buckets.Get(l.buckets.number(l.kind, key))
	return ok && bucket.TokensAt(l.now()) < 1
}

// AddressKey returns the key by which an address is counted: an IPv4 address, or the
// /64 network of an IPv6 address, since a client with one address of a /64 usually has
// all of it.
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
