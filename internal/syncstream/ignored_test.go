package syncstream_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"homeserver/internal/journal"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/timeline"
)

// ignore makes a user ignore some others and nobody else.
func (h *env) ignore(user string, others ...string) {
	h.T.Helper()
	list := map[string]struct{}{}
	for _, other := range others {
		list[other] = struct{}{}
	}
	content, err := json.Marshal(map[string]any{"ignored_users": list})
	h.OK(err)
	h.store(user, "", "m.ignored_user_list", string(content))
}

func TestIgnoredMessagesAreNotTold(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol)
	h.SetState(alice, room, "m.room.power_levels", "", `{"state_default":0}`)
	c := h.synced(alice, "")
	h.say(bob, room, "before")
	h.ignore(alice, bob)
	a := c.sync()
	equal(t, "messages from before are hidden, too", a.Rooms.Join[room].timelineOr())
	if a.AccountData.of(t, "m.ignored_user_list") == nil {
		t.Error("the list is not told of")
	}
	h.say(bob, room, "hidden")
	h.say(carol, room, "shown")
	h.topic(bob, room, "state is shown")
	r := c.sync().in(t, room)
	equal(t, "timeline", r.timeline(), "shown", "topic state is shown")
	if r.Timeline.Limited || r.Unread.Notifications != 1 {
		t.Errorf("limited %v, unread %v", r.Timeline.Limited, r.Unread)
	}
	equal(t, "to others", h.client(carol, `{"room":{"timeline":{"limit":3}}}`).sync().in(t, room).timeline(),
		"hidden", "shown", "topic state is shown")
	r = h.client(alice, `{"room":{"timeline":{"limit":3,"types":["m.room.message","m.room.topic"]}}}`).sync().in(t, room)
	equal(t, "in an initial sync", r.timeline(), "shown", "topic state is shown")
	h.ignore(alice)
	c.sync()
	h.say(bob, room, "again")
	equal(t, "when bob is not ignored any more", c.sync().in(t, room).timeline(), "again")
	r = h.client(alice, `{"room":{"timeline":{"types":["m.room.message"]}}}`).sync().in(t, room)
	equal(t, "in a fresh sync", r.timeline(), "before", "hidden", "shown", "again")
}

func (r *room) timelineOr() []string {
	if r == nil {
		return []string{}
	}
	return r.timeline()
}

func TestPollWaitsOverIgnoredMessages(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol)
	h.ignore(alice, bob, carol)
	w := h.await(h.synced(alice, "").Query)
	h.say(bob, room, "hidden")
	w.waitsAgain()
	h.ignore(alice, carol) // from another device; the poll goes on with the new list
	equal(t, "account data", w.get().AccountData.types(), "m.ignored_user_list")
	w = h.await(h.synced(alice, "").Query)
	h.say(carol, room, "hidden")
	w.waitsAgain()
	h.say(bob, room, "shown")
	equal(t, "timeline", w.get().in(t, room).timeline(), "shown")
}

func TestInvitesOfIgnoredUsers(t *testing.T) {
	h := newEnv(t)
	room := h.create(rooms.CreateRequest{})
	h.ignore(bob, alice)
	c := h.synced(bob, "")
	w := h.await(c.Query)
	h.invite(bob, room)
	w.waitsAgain()
	w.cancel()
	wantEmpty(t, h.client(bob, "").sync())
	h.ignore(bob)
	if h.client(bob, "").sync().Rooms.Invite[room] == nil {
		t.Error("the invite is not shown when alice is not ignored any more")
	}
	h.ignore(bob, alice)
	h.Join(bob, room)
	c.sync().in(t, room)
}

func TestEphemeralOfIgnoredUsers(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol)
	h.ignore(alice, bob)
	c := h.synced(alice, "")
	id := h.send(carol, room, "hi")
	c.sync()
	h.types(bob, room, time.Hour)
	h.types(carol, room, time.Hour)
	h.status(bob, "online", "")
	h.status(carol, "online", "")
	h.read(bob, room, "m.read", id)
	h.read(carol, room, "m.read", id)
	for _, a := range []*answer{c.sync(), h.client(alice, "").sync(), envOn(t, h.Pool, journal.Options{}).client(alice, "").sync()} {
		same(t, "receipts", a.in(t, room).receipts(), "carol m.read "+id)
		if got := a.typists(t, room); got != nil {
			equal(t, "typing", got, "carol")
		}
		if got := a.present(); len(got) > 0 {
			same(t, "presence", got, "carol online")
		}
	}
	h.stops(carol, room)
	if got := h.client(alice, "").sync().typists(t, room); got != nil {
		t.Errorf("that nobody but bob is typing is told as %v", got)
	}
}

// Messages, and what is around an event, are read with the same filter.
func TestIgnoredInHistory(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol)
	var middle string
	for i := range 6 {
		h.say(bob, room, fmt.Sprint("hidden ", i))
		middle = h.send(carol, room, fmt.Sprint("shown ", i))
	}
	var none *timeline.EventFilter
	f := none.WithoutMessagesOf([]string{bob})
	st, err := h.Rooms.Timeline.For(alice).Messages(t.Context(), room, timeline.Page{Backward: true, Limit: 6, Filter: f})
	h.OK(err)
	var got []string
	for _, e := range slices.Backward(st.Events) {
		got = append(got, string(e.Content()))
	}
	equal(t, "messages", got, `{"body":"shown 0"}`, `{"body":"shown 1"}`, `{"body":"shown 2"}`, `{"body":"shown 3"}`, `{"body":"shown 4"}`, `{"body":"shown 5"}`)
	around, err := h.Rooms.Timeline.For(alice).Context(t.Context(), room, middle, 4, f)
	h.OK(err)
	for _, e := range around.Before.Events {
		if e.Sender == bob && e.StateKey == nil {
			t.Errorf("the context shows %s", e.Content())
		}
	}
}

func TestNobodyIgnoresThemself(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.ignore(alice, alice)
	c := h.synced(alice, "")
	h.say(alice, room, "mine")
	equal(t, "timeline", c.sync().in(t, room).timeline(), "mine")
}
