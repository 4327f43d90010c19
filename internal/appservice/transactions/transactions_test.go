package transactions

import (
	"slices"
	"testing"

	"homeserver/internal/appservice/registration"
	"homeserver/internal/rooms"
)

func TestEventsReachAServiceAndAgainOnlyIfNotAcknowledged(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	services := []*registration.Registration{register(t, "irc", p.url)}
	h := start(t, nil, services)
	room := h.Public(ghost)
	first := h.Send(alice, room, "one")
	events := p.eventsUntil(first)
	last := events[len(events)-1]
	if last.RoomID != room || last.Sender != alice || last.Content["body"] != "one" || last.Unsigned["age"] == nil || last.OriginServerTS == 0 {
		t.Errorf("got %+v", last)
	}
	p.refuses(500, 1000)
	second := h.Send(alice, room, "two")
	for asked := p.nextAsked(); !containsText(asked[1], second); asked = p.nextAsked() {
	}
	h.sending.Stop()
	for len(p.asked) > 0 {
		<-p.asked
	}
	third := h.Send(alice, room, "three")
	again := start(t, h.Pool, services)
	repeated := p.nextAsked()
	p.recovers()
	got := p.next()
	if len(got.Events) != 1 || got.Events[0].EventID != second || got.ID != repeated[0] || got.raw != repeated[1] {
		t.Errorf("first %s came, then %+v; want %s alone, the same again", repeated, got, second)
	}
	if ids := p.until(third); !slices.Equal(ids, []string{third}) {
		t.Errorf("%s came next, want %s", ids, third)
	}
	again.sending.Stop()
	start(t, h.Pool, services)
	fourth := h.Send(alice, room, "four")
	if ids := p.until(fourth); !slices.Equal(ids, []string{fourth}) {
		t.Errorf("%s came after a restart, want %s", ids, fourth)
	}
}

// What concerns a service is decided where an event stands, also when it catches up later.
func TestEventsConcernAService(t *testing.T) {
	t.Parallel()
	now, later := newPeer(t), newPeer(t)
	services := []*registration.Registration{register(t, "irc", now.url), register(t, "matrix", later.url, "namespaces:",
		`  users: [{exclusive: false, regex: "@_irc_.*"}]`)}
	h := start(t, nil, services)
	later.refuses(500, 1000)
	room := h.Public(bob)
	var want []string
	h.Send(alice, room, "before anybody is in the room")
	h.Invite(alice, room, ghost)
	want = append(want, h.newest(alice, room))
	h.Send(alice, room, "while invited")
	h.Join(ghost, room)
	want = append(want, h.newest(alice, room), h.Send(alice, room, "one is in"))
	h.Join(other, room)
	want = append(want, h.newest(alice, room))
	h.Leave(ghost, room)
	want = append(want, h.newest(alice, room), h.Send(bob, room, "another is still in"), h.SetState(alice, room, "m.room.topic", "", `{"topic":"x"}`))
	h.Leave(other, room)
	want = append(want, h.newest(alice, room))
	h.Send(alice, room, "after all have left")
	both := slices.Clone(want)
	for _, e := range h.History(bot, h.Create(bot, rooms.CreateRequest{})) {
		want = append(want, e.ID)
	}
	if got := now.until(want[len(want)-1]); !slices.Equal(got, want) {
		t.Errorf("the service got %s, want %s", got, want)
	}
	h.sending.Stop()
	later.recovers()
	again := start(t, h.Pool, services) // without anything in memory
	again.Join(ghost, room)
	last := again.newest(alice, room)
	if got := later.until(last); !slices.Equal(got, append(both, last)) {
		t.Errorf("the service that was away got %s, want %s", got, append(both, last))
	}
}

// newest returns the ID of the newest event of a room.
func (h *env) newest(user, room string) string {
	h.T.Helper()
	history := h.History(user, room)
	return history[len(history)-1].ID
}
