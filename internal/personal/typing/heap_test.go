package typing

import (
	"fmt"
	"testing"
	"time"

	"homeserver/internal/cache/cachetest"
	"homeserver/internal/journal"
	"homeserver/internal/matrixtest"
)

func TestTypingTakesNoMoreMemoryThanItsShare(t *testing.T) {
	matrixtest.Long(t)
	const share = 8 << 20
	for name, rooms := range map[string]int{"one room": 1, "some rooms": 100, "many rooms": 40_000} {
		t.Run(name, func(t *testing.T) {
			j := journal.New(nil, journal.Options{})
			s := New(nil, j, journal.NewTicks(), nil, share, nil)
			cachetest.Fill(t, share, s.Caches()["typing"], func() {
				for i := range 40_000 {
					s.start(journal.RoomNID(i%rooms), fmt.Sprintf("@user%d:localhost", i), time.Hour, time.Time{})
				}
			})
		})
	}
}
