package timeline

import (
	"fmt"
	"testing"

	"homeserver/internal/cache/cachetest"
	"homeserver/internal/event"
	"homeserver/internal/journal"
)

func TestKnownAccessTakesNoMoreMemoryThanItsShare(t *testing.T) {
	const share, entries = 8 << 20, 40_000
	for name, rooms := range map[string]int{"one room": 1, "some rooms": 100, "many rooms": entries} {
		t.Run(name, func(t *testing.T) {
			k := newKnownAccess(share)
			cachetest.Fill(t, share, k.kept.Stats, func() {
				for i := range entries {
					changes := AccessChanges{
						Visibilities: Changes{{From: 1, Value: string([]byte(event.VisibilityShared))}},
						Memberships:  Changes{{From: 1, Value: string([]byte(event.Invite))}, {From: 2, Value: string([]byte(event.Join))}},
					}
					load := k.begin(accessKey{fmt.Sprintf("!room%d:localhost", i%rooms), fmt.Sprintf("@user%d:localhost", i)})
					k.end(load, &roomAccess{journal.RoomNID(i % rooms), changes.Access()})
				}
			})
			users := 0
			for _, of := range k.users {
				users += len(of)
			}
			if kept := k.kept.Stats().Entries; users != kept || len(k.loads) != 0 {
				t.Errorf("%d are kept, and %d are listed by room; %d are being read", kept, users, len(k.loads))
			}
		})
	}
}
