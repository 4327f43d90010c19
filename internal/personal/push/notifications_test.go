package push

import (
	"fmt"
	"slices"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// listed lists the bodies of all of a user's notifications, page by page, with a
// mark on what is read.
func (h *env) listed(q NotificationQuery) []string {
	h.T.Helper()
	list := []string{}
	for range 1000 {
		page, err := h.Notifications(h.T.Context(), q)
		h.OK(err)
		for _, n := range page.List {
			text, ok := event.StringField(n.Event.Content(), "body")
			if !ok {
				text = n.Event.Type
			}
			if n.Read {
				text += " (read)"
			}
			list = append(list, text)
		}
		if page.Next == nil {
			return list
		}
		if q.From != nil && *page.Next >= *q.From {
			h.T.Fatalf("no progress: from %d to %d", *q.From, *page.Next)
		}
		q.From = page.Next
	}
	h.T.Fatal("there is no end")
	return nil
}

func (h *env) wantListed(q NotificationQuery, want ...string) {
	h.T.Helper()
	if got := h.listed(q); !slices.Equal(got, want) {
		h.T.Errorf("got %q, want %q", got, want)
	}
}

func TestNotifications(t *testing.T) {
	h := newEnv(t)
	h.wantListed(NotificationQuery{UserID: bob, Limit: 10})
	first, second := h.Public(), h.Public(bob)
	h.Send(alice, first, "before bob was there")
	h.OK(h.Rooms.Join(t.Context(), bob, first, ""))
	h.Send(alice, first, "one")
	h.Send(alice, second, "two")
	h.Send(bob, second, "bob's own")
	h.mention(alice, first, bob)
	h.SendEvent(alice, first, "m.reaction", `{}`)
	third := h.Public()
	h.OK(h.Rooms.Invite(t.Context(), alice, third, bob, ""))
	h.Send(alice, third, "bob is not there yet")
	for _, limit := range []int{1, 2, 3, 10} {
		h.wantListed(NotificationQuery{UserID: bob, Limit: limit}, "m.room.member", "hey", "two (read)", "one")
		h.wantListed(NotificationQuery{UserID: bob, Limit: limit, Highlights: true}, "hey")
	}
	h.mark(bob, first, func(m *timeline.ReadMarks) { m.Unthreaded = timeline.PlaceOf(h.Journal.Position()) })
	h.wantListed(NotificationQuery{UserID: bob, Limit: 10}, "m.room.member", "hey (read)", "two (read)", "one (read)")

	h.read.ignored[bob] = map[string]bool{alice: true}
	h.wantListed(NotificationQuery{UserID: bob, Limit: 10})
	delete(h.read.ignored, bob)
	h.OK(h.Rooms.Leave(t.Context(), bob, third, ""))
	h.OK(h.Rooms.Leave(t.Context(), bob, first, ""))
	h.wantListed(NotificationQuery{UserID: bob, Limit: 10}, "two (read)")
}

func TestNotificationsOfManyRoomsInOrder(t *testing.T) {
	h := newEnv(t)
	busy, slow := h.Public(bob), h.Public(bob)
	var want []string
	for i := range 2*mostOfRoom + 10 {
		room := busy
		if i%50 == 0 {
			room = slow
		}
		h.Send(alice, room, fmt.Sprint(i))
		want = append(want, fmt.Sprint(i))
	}
	slices.Reverse(want)
	h.wantListed(NotificationQuery{UserID: bob, Limit: 30}, want...)
	h.wantListed(NotificationQuery{UserID: bob, Limit: MaxNotifications + 1}, want...)
}

// TestNotificationsLookAtSoMuch: an answer may be empty, and not the last.
func TestNotificationsLookAtSoMuch(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.Send(alice, room, "at last")
	for range notificationRounds*mostOfRoom + 1 {
		h.SendEvent(alice, room, "m.reaction", `{}`)
	}
	page, err := h.Notifications(t.Context(), NotificationQuery{UserID: bob, Limit: 5})
	h.OK(err)
	if len(page.List) > 0 || page.Next == nil {
		t.Errorf("got %+v", page)
	}
	h.wantListed(NotificationQuery{UserID: bob, Limit: 5}, "at last")
	future := timeline.PlaceOf(h.Journal.Position() + 1000)
	h.wantListed(NotificationQuery{UserID: bob, Limit: 0, From: &future}, "at last")
	if page, err := h.Notifications(t.Context(), NotificationQuery{UserID: bob, Limit: 5, From: new(timeline.Place(0))}); err != nil || page.Next != nil {
		t.Errorf("from the beginning: %+v, %v", page, err)
	}
}

func TestNotificationsTellActionsAndAccess(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.mention(alice, room, bob)
	page, err := h.Notifications(t.Context(), NotificationQuery{UserID: bob, Limit: 5})
	h.OK(err)
	n := page.List[0]
	if len(n.Actions) != 3 || string(n.Actions[0]) != `"notify"` || n.Event.Room != h.NID(room) {
		t.Errorf("got %+v", n)
	}
	if n.Access == nil || !n.Access.Sees(n.Event.Place) {
		t.Error("the access is missing")
	}
	_, err = h.Rooms.Redact(t.Context(), roomstest.As(alice, room), n.Event.ID, "")
	h.OK(err)
	h.wantListed(NotificationQuery{UserID: bob, Limit: 5})
}
