package accountdata

import (
	"fmt"
	"testing"

	"homeserver/internal/cache"
	"homeserver/internal/cache/cachetest"
	"homeserver/internal/matrixtest"
)

// Long lists once were not kept at all, and all others counted alike.
func TestIgnoredUsersTakeNoMoreMemoryThanTheirShare(t *testing.T) {
	matrixtest.Long(t)
	const share = 16 << 20
	for name, ignored := range map[string]int{"nobody": 0, "few": 3, "many": 20_000} {
		t.Run(name, func(t *testing.T) {
			lists := cache.New(share, weighIgnored)
			cachetest.Fill(t, share, lists.Stats, func() {
				for i := 0; i < 4*share/(60*ignored+250); i++ {
					list := make(map[string]bool, ignored)
					for n := range ignored {
						list[fmt.Sprintf("@ignored%d:localhost", n)] = true
					}
					lists.Place(fmt.Sprintf("@user%d:localhost", i)).Store(&list)
				}
			})
		})
	}
}
