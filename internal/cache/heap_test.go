package cache_test

import (
	"strconv"
	"testing"

	"homeserver/internal/cache"
	"homeserver/internal/cache/cachetest"
)

// Entries that are nearly all overhead are the ones whose weight is easiest to forget.
func TestSmallEntriesTakeNoMoreThanTheyWeigh(t *testing.T) {
	const share = 32 << 20
	weigh := func(key, value string) int { return cache.Text(key, value) }
	c := cache.NewLRU(cache.Options[string, string]{Share: share, Weigh: weigh})
	cachetest.Fill(t, share, c.Stats, func() {
		for i := range 500_000 {
			c.Put(strconv.Itoa(i), strconv.Itoa(-i))
		}
	})
}

func TestPlacesTakeNoMoreThanTheyWeigh(t *testing.T) {
	const share = 32 << 20
	c := cache.New(share, func(key string, _ *int) int { return cache.Text(key) + 8 })
	cachetest.Fill(t, share, c.Stats, func() {
		for i := range 500_000 {
			if place := c.Place(strconv.Itoa(i)); i%2 == 0 {
				place.Store(&i)
			}
		}
	})
}
