package syncstream

import (
	"fmt"
	"strings"
	"testing"

	"homeserver/internal/cache"
	"homeserver/internal/cache/cachetest"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms/timeline"
)

func TestViewersTakeNoMoreMemoryThanTheirShare(t *testing.T) {
	matrixtest.Long(t)
	const share = 16 << 20
	for name, size := range map[string]struct{ rooms, changes, ignored int }{
		"nothing": {}, "few rooms": {rooms: 5, changes: 1}, "many rooms": {rooms: 1000, changes: 1},
		"many changes": {rooms: 10, changes: 500}, "many ignored": {rooms: 1, ignored: 5000},
	} {
		t.Run(name, func(t *testing.T) {
			j := journal.New(nil, journal.Options{})
			vs := newViewers(nil, nil, j, share)
			cachetest.Fill(t, share, vs.stats, func() {
				for i, put := 0, 0; put < 2*share; i++ {
					v, _ := vs.take(fmt.Sprintf("@user%d:localhost", i))
					vs.mu.Lock()
					for nid := range size.rooms {
						v.rooms = append(v.rooms, manyChanges(nid, size.changes))
						vs.follow(v, v.rooms[nid])
					}
					for n := range size.ignored {
						v.ignored = append(v.ignored, fmt.Sprintf("@ignored%d:localhost", n))
					}
					v.bytes = v.weigh()
					vs.bytes += v.bytes
					put += v.bytes
					vs.mu.Unlock()
					close(v.loaded)
					vs.release(v)
				}
			})
		})
	}
}

// manyChanges is how a user stands to a room who comes and goes.
func manyChanges(nid, changes int) *standing {
	st := &timeline.Standing{Room: journal.RoomNID(nid), RoomID: fmt.Sprintf("!%043d", nid)}
	for i := range changes {
		membership := event.Join
		if i%2 == 1 {
			membership = event.Leave
		}
		at := timeline.Place(10 * i)
		st.Memberships = append(st.Memberships, timeline.Change{From: at, Value: strings.Clone(membership)})
		st.Visibilities = append(st.Visibilities, timeline.Change{From: at + 5, Value: strings.Clone("shared")})
	}
	return &standing{st, timeline.NewAccess(st.Visibilities, st.Memberships)}
}

func TestFiltersTakeNoMoreMemoryThanTheirShare(t *testing.T) {
	matrixtest.Long(t)
	const share = 16 << 20
	list := func(text string, n int) string { return strings.Repeat(`"`+text+`",`, n) + `"x"` }
	for name, definition := range map[string]string{
		"smallest": `{}`,
		"types":    `{"room":{"timeline":{"types":[` + list("a", 16_000) + `]}}}`,
		"fields":   `{"event_fields":["` + strings.Repeat("a.", 30_000) + `"]}`,
		"many fields": `{"event_fields":[` + func() (all string) {
			for i := range 7000 {
				all += fmt.Sprintf(`"%x",`, i)
			}
			return all
		}() + `"x"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			filters := cache.NewLRU(cache.Options[storedFilter, *keptFilter]{Share: share, Weigh: weighStored})
			cachetest.Fill(t, share, filters.Stats, func() {
				for i, put := 0, 0; put < 2*share; i++ {
					f, err := parseFilter([]byte(definition))
					if err != nil {
						t.Fatal(err)
					}
					kept, key := &keptFilter{f, len(definition)}, storedFilter{fmt.Sprint("@user", i), "1"}
					filters.Put(key, kept)
					put += weighStored(key, kept)
				}
			})
		})
	}
}

func TestLazyMembersTakeNoMoreMemoryThanTheirShare(t *testing.T) {
	matrixtest.Long(t)
	const share = 8 << 20
	for name, size := range map[string]struct{ rooms, members int }{
		"a room": {1, 2}, "many rooms": {1000, 5}, "large rooms": {10, 3000}, "nobody": {},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLazyMembers(share)
			cachetest.Fill(t, share, l.devices.Stats, func() {
				for i, put := 0, 0; put < 2*share; i++ {
					p := &plan{userID: fmt.Sprint("@user", i, strings.Repeat("u", 200)), deviceID: "D"}
					p.known = l.of(p)
					for nid := range size.rooms {
						for n := range size.members {
							p.noteMember(&timeline.Event{Event: &event.Event{Type: event.TypeMember, StateKey: new(fmt.Sprint("@member", n))}})
						}
						p.rememberMembers(&room{nid: journal.RoomNID(nid), fullState: nid%2 == 0})
					}
					l.keep(p)
					put += weighKnown(device{p.userID, p.deviceID}, p.known)
				}
			})
		})
	}
}
