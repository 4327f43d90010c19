package kept_test

import (
	"strconv"
	"testing"

	"homeserver/internal/kept"
	"homeserver/internal/kept/kepttest"
)

// Entries that are nearly all overhead are the ones whose weight is easiest to forget.
func TestSmallEntriesTakeNoMoreThanTheyWeigh(t *testing.T) {
	const share = 32 << 20
	weigh := func(key, value string) int { return kept.Text(key, value) }
	c := kept.NewLRU(kept.Options[string, string]{Share: share, Weigh: weigh})
	kepttest.Fill(t, share, c.Stats, func() {
		for i := range 500_000 {
			c.Put(strconv.Itoa(i), strconv.Itoa(-i))
		}
	})
}

func TestPlacesTakeNoMoreThanTheyWeigh(t *testing.T) {
	const share = 32 << 20
	c := kept.New(share, func(key string, _ *int) int { return kept.Text(key) + 8 })
	kepttest.Fill(t, share, c.Stats, func() {
		for i := range 500_000 {
			if place := c.Place(strconv.Itoa(i)); i%2 == 0 {
				place.Store(&i)
			}
		}
	})
}
