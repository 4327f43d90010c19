package push

import (
	"fmt"
	"slices"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// listed lists the bodies of all of a user's notifications, page by page, with a
// mark on what is read.
func (h *house) listed(q NotificationQuery) []string {
	h.t.Helper()
	list := []string{}
	for range 1000 {
		page, err := h.Notifications(h.t.Context(), q)
		h.ok(err)
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
			h.t.Fatalf("no progress: from %d to %d", *q.From, *page.Next)
		}
		q.From = page.Next
	}
	h.t.Fatal("there is no end")
	return nil
}

func (h *house) wantListed(q NotificationQuery, want ...string) {
	h.t.Helper()
	if got := h.listed(q); !slices.Equal(got, want) {
		h.t.Errorf("got %q, want %q", got, want)
	}
}

func TestNotifications(t *testing.T) {
	h := newHouse(t)
	h.wantListed(NotificationQuery{UserID: bob, Limit: 10})
	first, second := h.room(), h.room(bob)
	h.say(alice, first, "before bob was there")
	h.ok(h.rooms.Join(t.Context(), bob, first, ""))
	h.say(alice, first, "one")
	h.say(alice, second, "two")
	h.say(bob, second, "bob's own")
	h.mention(alice, first, bob)
	h.send(alice, first, "m.reaction", `{}`)
	third := h.room()
	h.ok(h.rooms.Invite(t.Context(), alice, third, bob, ""))
	h.say(alice, third, "bob is not there yet")
	for _, limit := range []int{1, 2, 3, 10} {
		h.wantListed(NotificationQuery{UserID: bob, Limit: limit}, "m.room.member", "hey", "two (read)", "one")
		h.wantListed(NotificationQuery{UserID: bob, Limit: limit, Highlights: true}, "hey")
	}
	h.mark(bob, first, func(m *ReadMarks) { m.Unthreaded = h.journal.Position() })
	h.wantListed(NotificationQuery{UserID: bob, Limit: 10}, "m.room.member", "hey (read)", "two (read)", "one (read)")

	h.read.ignored[bob] = map[string]bool{alice: true}
	h.wantListed(NotificationQuery{UserID: bob, Limit: 10})
	delete(h.read.ignored, bob)
	h.ok(h.rooms.Leave(t.Context(), bob, third, ""))
	h.ok(h.rooms.Leave(t.Context(), bob, first, ""))
	h.wantListed(NotificationQuery{UserID: bob, Limit: 10}, "two (read)")
}

func TestNotificationsOfManyRoomsInOrder(t *testing.T) {
	h := newHouse(t)
	busy, slow := h.room(bob), h.room(bob)
	var want []string
	for i := range 2*mostOfRoom + 10 {
		room := busy
		if i%50 == 0 {
			room = slow
		}
		h.say(alice, room, fmt.Sprint(i))
		want = append(want, fmt.Sprint(i))
	}
	slices.Reverse(want)
	h.wantListed(NotificationQuery{UserID: bob, Limit: 30}, want...)
	h.wantListed(NotificationQuery{UserID: bob, Limit: MaxNotifications + 1}, want...)
}

// TestNotificationsLookAtSoMuch: an answer may be empty, and not the last.
func TestNotificationsLookAtSoMuch(t *testing.T) {
	h := newHouse(t)
	room := h.room(bob)
	h.say(alice, room, "at last")
	for range notificationRounds*mostOfRoom + 1 {
		h.send(alice, room, "m.reaction", `{}`)
	}
	page, err := h.Notifications(t.Context(), NotificationQuery{UserID: bob, Limit: 5})
	h.ok(err)
	if len(page.List) > 0 || page.Next == nil {
		t.Errorf("got %+v", page)
	}
	h.wantListed(NotificationQuery{UserID: bob, Limit: 5}, "at last")
	future := h.journal.Position() + 1000
	h.wantListed(NotificationQuery{UserID: bob, Limit: 0, From: &future}, "at last")
	if page, err := h.Notifications(t.Context(), NotificationQuery{UserID: bob, Limit: 5, From: new(journal.Position(0))}); err != nil || page.Next != nil {
		t.Errorf("from the beginning: %+v, %v", page, err)
	}
}

func TestNotificationsTellActionsAndAccess(t *testing.T) {
	h := newHouse(t)
	room := h.room(bob)
	h.mention(alice, room, bob)
	page, err := h.Notifications(t.Context(), NotificationQuery{UserID: bob, Limit: 5})
	h.ok(err)
	n := page.List[0]
	if len(n.Actions) != 3 || string(n.Actions[0]) != `"notify"` || n.Event.Room != h.nid(room) {
		t.Errorf("got %+v", n)
	}
	if n.Access == nil || !n.Access.Sees(n.Event.Position) {
		t.Error("the access is missing")
	}
	_, err = h.rooms.Redact(t.Context(), asRequest(alice, room), n.Event.ID, "")
	h.ok(err)
	h.wantListed(NotificationQuery{UserID: bob, Limit: 5})
}
