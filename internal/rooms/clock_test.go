package rooms_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"homeserver/internal/event"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// Times of the clock are only for people to read: they order nothing.
func TestRoomsWhenTheClockJumps(t *testing.T) {
	t.Parallel()
	clock := &matrixtest.Clock{}
	h := envWith(t, roomstest.Options{Rooms: func(o *rooms.Options) { o.Now = clock.Now }})
	room := h.Public(bob)
	var want []string
	created := map[string]bool{room: true}
	for i, jump := range []time.Duration{0, -time.Hour, time.Hour, 2 * time.Hour, -2 * time.Hour} {
		clock.Pass(jump)
		text := fmt.Sprint(i)
		want = append(want, text)
		h.Send(bob, room, text)
		h.SetState(alice, room, "m.room.topic", "", `{"topic":"`+text+`"}`)
		other := h.Public()
		if created[other] {
			t.Errorf("two rooms have the ID %s", other)
		}
		created[other] = true
		h.Send(alice, other, "works")
	}
	if got := h.Bodies(alice, room); !slices.Equal(got, want) {
		t.Errorf("the messages of the room are %q, want %q", got, want)
	}
	h.WantContent(bob, room, "m.room.topic", "", `{"topic":"4"}`)
	f := &timeline.Format{Now: clock.Now()}
	for _, e := range h.History(alice, room) {
		text := f.AppendJSON(nil, e)
		if age := event.Field(event.Field(text, "unsigned"), "age"); len(age) == 0 || age[0] == '-' {
			t.Errorf("the age of an event: %s", text)
		}
	}
	checkChain(t, h, room)
}
