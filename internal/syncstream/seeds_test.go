package syncstream_test

import (
	"flag"
	"fmt"
	"testing"

	"homeserver/internal/matrixtest"
)

// seeds names the random histories to try, as first-last, in the place of those that
// are always tried: go test ./internal/syncstream -run TestProcessesAgree -seeds 1-600
var seeds = flag.String("seeds", "", "the random histories to try, as `first-last`")

// longHistories is how many random histories are tried where there is time.
const longHistories = 15

// eachHistory runs a test for some random histories, for more of them where there is
// time, or for those that are asked for. The test is given the seed of each.
func eachHistory(t *testing.T, test func(t *testing.T, seed uint64)) {
	t.Parallel()
	if *seeds != "" {
		var first, last uint64
		if _, err := fmt.Sscanf(*seeds, "%d-%d", &first, &last); err != nil {
			t.Fatalf("-seeds %s: %v", *seeds, err)
		}
		histories(t, first, last, test)
		return
	}
	histories(t, 1, 1, test)
	t.Run("more", func(t *testing.T) {
		t.Parallel()
		matrixtest.Long(t)
		histories(t, 2, longHistories, test)
	})
}

func histories(t *testing.T, first, last uint64, test func(t *testing.T, seed uint64)) {
	for seed := first; seed <= last; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			test(t, seed)
		})
	}
}
