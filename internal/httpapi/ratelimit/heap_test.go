package ratelimit

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"homeserver/internal/cache/cachetest"
)

func TestBucketsTakeNoMoreMemoryThanTheirShare(t *testing.T) {
	const share = 8 << 20
	limits := NewLimits(map[Kind]Limit{Messages: {PerSecond: 1, Burst: 10}, Joins: {PerSecond: 1, Burst: 10}}, time.Now, share)
	cachetest.Fill(t, share, limits.buckets.Stats, func() {
		for i := range 40_000 {
			key := strconv.Itoa(i) + strings.Repeat("x", 240)
			for _, kind := range []Kind{Messages, Joins} {
				if _, err := limits.Take(kind, key); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
