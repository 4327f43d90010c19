package typing

import (
	"fmt"
	"testing"
	"time"

	"homeserver/internal/ephemeral"
	"homeserver/internal/journal"
	"homeserver/internal/kept/kepttest"
)

func TestTypingTakesNoMoreMemoryThanItsShare(t *testing.T) {
	const share = 8 << 20
	for name, rooms := range map[string]int{"one room": 1, "some rooms": 100, "many rooms": 40_000} {
		t.Run(name, func(t *testing.T) {
			j := journal.New(nil, journal.Options{})
			s := New(nil, j, ephemeral.NewClock(), nil, share)
			kepttest.Fill(t, share, s.Caches()["typing"], func() {
				for i := range 40_000 {
					s.start(journal.RoomNID(i%rooms), fmt.Sprintf("@user%d:localhost", i), time.Hour, time.Time{})
				}
			})
		})
	}
}
