package rooms_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"homeserver/internal/journal"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// large returns a content of 60 KB.
func large(n int) string { return fmt.Sprintf(`{"n":%d,"a":%q}`, n, strings.Repeat("a", 60_000)) }

func TestPagesOfLargeEventsWereBoundedByNumberOnly(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	var sent []string
	for n := range 100 {
		id, err := h.Rooms.Send(t.Context(), rooms.Request{UserID: alice, RoomID: room}, "org.example.large", []byte(large(n)))
		h.OK(err)
		sent = append(sent, id)
	}
	f := &timeline.EventFilter{Types: &[]string{"org.example.large"}}
	for _, backward := range []bool{true, false} {
		var got []string
		p := timeline.Page{Backward: backward, Limit: 1000, Filter: f}
		for {
			st, err := h.Rooms.Timeline.For(alice).Messages(t.Context(), room, p)
			h.OK(err)
			if n := len(st.Events); n > 80 || n == 0 {
				t.Fatalf("a page has %d events", n)
			}
			got = append(got, roomstest.IDs(st.Events)...)
			if !st.More {
				break
			}
			p.From = &st.End
		}
		if backward {
			slices.Reverse(got)
		}
		matrixtest.Equal(t, fmt.Sprintf("backward %v", backward), got, sent)
	}
}

// What an event has replaced counts like the event.
func TestPagesOfEventsThatReplacedLargeOnesAreBounded(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	const pairs = 60
	want := []string{}
	for n := range pairs {
		pair := []string{fmt.Sprintf(`{"a":%q,"n":%d}`, strings.Repeat("a", 60_000), n), fmt.Sprintf(`{"n":%d}`, n)}
		for _, content := range pair {
			h.SetState(alice, room, "org.example.large", "", content)
		}
		want = append(want, pair...)
	}
	var got []string
	p := timeline.Page{Limit: 1000, Filter: &timeline.EventFilter{Types: &[]string{"org.example.large"}}}
	for more := true; more; {
		st, err := h.Rooms.Timeline.For(alice).Messages(t.Context(), room, p)
		h.OK(err)
		if n := len(st.Events); n > 80 || n == 0 {
			t.Fatalf("a page has %d events", n)
		}
		for _, e := range st.Events {
			if len(got) == 0 != (e.Replaces == nil) || e.Replaces != nil && string(e.Replaces.Content()) != got[len(got)-1] {
				t.Fatalf("event %d has replaced something else", len(got))
			}
			got = append(got, string(e.Content()))
		}
		more, p.From = st.More, &st.End
	}
	matrixtest.Equal(t, "events", got, want)
}

func TestStateThatIsReadInPartsIsWhole(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol)
	for n := range 30 {
		h.SetState(alice, room, "org.example.large", fmt.Sprint(n), large(n))
		h.SetState(alice, room, "org.example.small", fmt.Sprint(n), `{}`)
	}
	state, _, err := h.Rooms.Timeline.For(bob).State(t.Context(), room)
	h.OK(err)
	events := h.all(state)
	if !slices.IsSortedFunc(events, func(a, b *timeline.Event) int { return int(a.Position - b.Position) }) {
		t.Error("the state is in no order")
	}
	want := sortedIDs(stateAt(h.History(alice, room), timeline.PlaceOf(h.Journal.Position())), everything)
	matrixtest.Equal(t, "state", roomstest.IDs(events), want)
}

func TestLargeTimelinesOfOneRoomLeaveThoseOfOthersTheirNewest(t *testing.T) {
	matrixtest.Long(t)
	h := newEnv(t)
	windows := make([]timeline.Window, 2)
	for i := range windows {
		room := h.Public()
		for n := range 60 {
			_, err := h.Rooms.Send(t.Context(), rooms.Request{UserID: alice, RoomID: room}, "org.example.large", []byte(large(n)))
			h.OK(err)
		}
		windows[i].Room = h.History(alice, room)[0].Room
		windows[i].To = timeline.PlaceOf(h.Journal.Position())
	}
	lists, err := h.Rooms.Timeline.Timelines(t.Context(), windows, 100, nil)
	list := lists.All()
	h.OK(err)
	read, left := map[journal.RoomNID]int{}, map[journal.RoomNID]timeline.Place{}
	for _, l := range list.Left {
		left[l.Room] = max(left[l.Room], l.Place)
	}
	for _, e := range list.Events {
		read[e.Room]++
		if e.Place <= left[e.Room] {
			t.Errorf("%d is read, and %d was left", e.Place, left[e.Room])
		}
	}
	for _, w := range windows {
		if n := read[w.Room]; n < 25 || n > 45 {
			t.Errorf("%d events of room %d", n, w.Room)
		}
	}
}
