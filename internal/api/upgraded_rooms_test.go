package api

import (
	"sync"
	"testing"

	"homeserver/internal/matrixtest"
)

// replacement returns the room that a tombstone among events leads to, and "" if there is
// none.
func replacement(events []matrixtest.Event) string {
	for _, e := range events {
		if e.Type == "m.room.tombstone" && e.StateKey != nil {
			id, _ := e.Content["replacement_room"].(string)
			return id
		}
	}
	return ""
}

// The members of a room learn that it was replaced, and by which room: a client that waits
// learns it at once, and one that comes later from the state, also if its filter shows messages
// only. The new room names the old one.
func TestUpgradedRoomTellsItsClients(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	carol := alice.Register("carol", "wordpass")
	carol.Join(room)
	since, earlier := bob.Sync("").NextBatch(), carol.Sync("").NextBatch()
	var all sync.WaitGroup
	var told string
	all.Go(func() {
		bob.SyncUntil(since, func(r *matrixtest.Response) bool {
			told = replacement(r.Timeline(room))
			return told != ""
		})
	})
	next := alice.Do("POST", upgradePath(room), map[string]any{"new_version": "11"}).OK().String("replacement_room")
	all.Wait()
	if told != next {
		t.Errorf("the client that waits is led to %q, want %q", told, next)
	}
	const messages = `{"room":{"timeline":{"types":["m.room.message"],"limit":1},"state":{"lazy_load_members":true}}}`
	for what, answer := range map[string]*matrixtest.Response{
		"later, with messages only": carol.Sync(earlier, "filter", messages),
		"anew, with messages only":  carol.Sync("", "filter", messages),
	} {
		if got := replacement(answer.Events("rooms", "join", room, "state", "events")); got != next {
			t.Errorf("%s: led to %q, want %q", what, got, next)
		}
	}
	bob.Do("PUT", matrixtest.Path("rooms", room, "send", "m.room.message", "t"), hello).Refused(403, "M_FORBIDDEN")
	bob.Join(next)
	create := bob.Do("GET", matrixtest.Path("rooms", next, "state", "m.room.create"), nil).OK()
	if got := create.String("predecessor", "room_id"); got != room {
		t.Errorf("the new room leads back to %q", got)
	}
}
