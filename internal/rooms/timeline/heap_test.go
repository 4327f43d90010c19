package timeline

import (
	"fmt"
	"strings"
	"testing"

	"homeserver/internal/cache/cachetest"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrixtest"
)

func TestKnownAccessTakesNoMoreMemoryThanItsShare(t *testing.T) {
	matrixtest.Long(t)
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

// storedEvent returns an event as it is read from the database.
func storedEvent(t *testing.T, room, n int, evType, more, content string) *Event {
	t.Helper()
	v, _ := event.LookupVersion("11")
	raw := fmt.Sprintf(`{"auth_events":["$a","$b"],"content":%s,"depth":1,"hashes":{"sha256":"hash"},"origin_server_ts":1600000000000,`+
		`"prev_events":["$p"],"room_id":"!room%d:localhost","sender":"@user%d:localhost","signatures":{"localhost":{"ed25519:1":"signature"}}%s,"type":%q}`,
		content, room, n, more, evType)
	parsed, err := event.ParseTrusted(v, fmt.Sprintf("$%043d", n), []byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return &Event{Event: parsed, Room: journal.RoomNID(room), NID: EventNID(n + 1), Position: journal.Position(n + 1), Place: PlaceOf(journal.Position(n + 1))}
}

func TestRecentPartsTakeNoMoreMemoryThanTheirShare(t *testing.T) {
	matrixtest.Long(t)
	const share = 16 << 20
	for name, size := range map[string]struct{ members, messages, length int }{
		"small rooms": {10, 10, 50}, "many members": {1000, 10, 50}, "many messages": {2, 60, 50}, "long messages": {2, 30, 5000},
	} {
		t.Run(name, func(t *testing.T) {
			rs := newRecents(share)
			cachetest.Fill(t, share, rs.stats, func() {
				for room, put := 1, 0; put < 2*share; room++ {
					rows, texts := &recentRows{}, compactor{}
					for n := range size.members + size.messages {
						var e *Event
						if n < size.members {
							e = storedEvent(t, room, n, event.TypeMember, fmt.Sprintf(`,"state_key":"@user%d:localhost"`, n),
								fmt.Sprintf(`{"displayname":"User %d","membership":"join"}`, n))
							e = texts.compact(e)
							rows.line = append(rows.line, &held{Event: e, from: e.Place, until: unbounded})
						} else {
							e = texts.compact(storedEvent(t, room, n, event.TypeMessage, "", `{"body":"`+strings.Repeat("x", size.length)+`"}`))
						}
						rows.events = append(rows.events, e)
					}
					r := newRecent(journal.RoomNID(room))
					if !r.fill(rows) {
						t.Fatal("it can't be filled")
					}
					rs.rooms.Put(r.room, r)
					put += int(r.bytes.Load())
				}
			})
			t.Logf("%d bytes for each", rs.stats().Bytes/rs.stats().Entries)
		})
	}
}
