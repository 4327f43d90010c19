package presence

import (
	"container/list"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"homeserver/internal/cache/cachetest"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrixtest"
	"homeserver/internal/profile"
	"homeserver/internal/rooms/timeline"
)

func TestPresenceTakesNoMoreMemoryThanItsShare(t *testing.T) {
	matrixtest.Long(t)
	const share = 16 << 20
	for name, size := range map[string]struct{ text, rooms, devices int }{
		"nothing": {}, "few rooms": {text: 10, rooms: 5, devices: 1}, "long texts": {text: 1000},
		"many rooms": {rooms: 5000}, "many devices": {devices: 500},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Service{
				Options: Options{Ticks: journal.NewTicks(), Journal: journal.New(nil, journal.Options{}), Share: share, Now: time.Now, Log: slog.Default()},
				users:   map[string]*user{}, order: list.New(),
			}
			var memberships []timeline.Membership
			for nid := range journal.RoomNID(size.rooms) {
				memberships = append(memberships, timeline.Membership{Room: nid, Value: event.Join})
			}
			cachetest.Fill(t, share, s.Caches()["presence"], func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				for i, put := 0, 0; put < 2*share; i++ {
					u := s.add(fmt.Sprintf("@user%d:localhost", i))
					text := func() string { return strings.Repeat("x", size.text) }
					u.fill(u.era, memberships, profile.Profile{DisplayName: text(), AvatarURL: text()})
					u.set(Online, text(), time.Time{})
					for n := range size.devices {
						u.device(fmt.Sprint("DEVICE", n, strings.Repeat("x", 200)))
					}
					s.weigh(u)
					s.touch(u)
					put += u.bytes
				}
			})
		})
	}
}
