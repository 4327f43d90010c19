package receipts

import (
	"fmt"
	"testing"

	"homeserver/internal/cache"
	"homeserver/internal/cache/cachetest"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms/timeline"
)

func TestReadMarksTakeNoMoreMemoryThanTheirShare(t *testing.T) {
	matrixtest.Long(t)
	const share = 16 << 20
	for name, threads := range map[string]int{"no threads": 0, "one thread": 1, "many threads": keptThreads} {
		t.Run(name, func(t *testing.T) {
			marks := cache.New(share, weighMarks)
			cachetest.Fill(t, share, marks.Stats, func() {
				for i := 0; i < 4*share/(80*threads+250); i++ {
					m := &timeline.ReadMarks{Main: 1}
					if threads > 0 {
						m.Threads = map[string]timeline.Place{}
					}
					for n := range threads {
						m.Threads[fmt.Sprintf("$%043d", n)] = 1
					}
					marks.Place(place{fmt.Sprintf("@user%d:localhost", i), 1}).Store(m)
				}
			})
		})
	}
}
