package syncstream_test

import (
	"testing"
	"time"

	"homeserver/internal/journal"
	"homeserver/internal/syncstream"
)

func (h *env) types(user, room string, timeout time.Duration) {
	h.T.Helper()
	h.OK(h.typing.Set(h.T.Context(), user, room, true, timeout))
}

func (h *env) stops(user, room string) {
	h.T.Helper()
	h.OK(h.typing.Set(h.T.Context(), user, room, false, 0))
}

// typists names the users who type in a room, by its m.typing event; nil: there is none.
func (a *answer) typists(t testing.TB, id string) []string {
	t.Helper()
	if a.Rooms.Join[id] == nil {
		return nil
	}
	content := a.Rooms.Join[id].Ephemeral.of(t, "m.typing")
	if content == nil {
		return nil
	}
	list := []string{}
	for _, user := range content["user_ids"].([]any) {
		list = append(list, name(user.(string)))
	}
	return list
}

func TestTypingIsTold(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	c, outside := h.synced(alice, ""), h.synced(carol, "")
	h.types(bob, room, time.Hour)
	a := c.sync()
	equal(t, "typing", a.typists(t, room), "bob")
	if r := a.in(t, room); len(r.timeline())+len(r.state()) != 0 || r.Timeline.Limited || r.Timeline.PrevBatch == "" {
		t.Errorf("the room's history is repeated: %s", a.raw)
	}
	wantEmpty(t, c.sync())
	h.types(alice, room, time.Hour)
	h.types(bob, room, time.Hour)
	equal(t, "typing", c.sync().typists(t, room), "bob", "alice")
	h.stops(bob, room)
	h.stops(alice, room)
	if got := c.sync().typists(t, room); got == nil || len(got) != 0 {
		t.Errorf("when nobody is typing: %v", got)
	}
	wantEmpty(t, c.sync())
	wantEmpty(t, outside.sync())
}

func TestTypingWakesPolls(t *testing.T) {
	h := newEnv(t)
	room, other := h.Public(bob), h.Public(carol)
	w, outside := h.await(h.synced(alice, "").Query), h.await(h.synced(bob, "").Query)
	h.types(carol, other, time.Hour)
	equal(t, "typing", w.get().typists(t, other), "carol")
	h.types(alice, room, time.Hour)
	equal(t, "typing", outside.get().typists(t, room), "alice")
}

func TestTypingRunsOut(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	c := h.synced(alice, "")
	c.Timeout = patience
	h.types(bob, room, time.Millisecond)
	for {
		if got := c.sync().typists(t, room); got != nil && len(got) == 0 {
			return
		} else if got == nil {
			t.Fatal("the end is not told")
		}
	}
}

func TestTypingEndsOnLeaving(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.types(bob, room, time.Hour)
	c := h.synced(alice, "")
	h.Leave(bob, room)
	if got := c.sync().typists(t, room); got == nil || len(got) != 0 {
		t.Errorf("after leaving: %v", got)
	}
}

func TestTypingInARoomThatIsJoined(t *testing.T) {
	h := newEnv(t)
	room, quiet := h.Public(bob), h.Public()
	h.types(bob, room, time.Hour)
	h.types(alice, quiet, time.Hour)
	h.stops(alice, quiet)
	equal(t, "in an initial sync", h.client(bob, "").sync().typists(t, room), "bob")
	c := h.synced(carol, "")
	h.Join(carol, room)
	h.Join(carol, quiet)
	a := c.sync()
	equal(t, "after joining", a.typists(t, room), "bob")
	if got := a.typists(t, quiet); got != nil {
		t.Errorf("where nobody is typing: %v", got)
	}
	wantEmpty(t, c.sync())
	h.Leave(carol, room)
	c.sync()
	h.stops(bob, room)
	wantEmpty(t, c.sync())
}

func TestFiltersOfTyping(t *testing.T) {
	h := newEnv(t)
	room, other := h.Public(bob), h.Public(bob)
	for filter, want := range map[string][2]bool{
		``: {true, true},
		`{"room":{"ephemeral":{"types":["m.typing"]}}}`:         {true, true},
		`{"room":{"ephemeral":{"not_types":["m.typing"]}}}`:     {false, false},
		`{"room":{"ephemeral":{"types":[]}}}`:                   {false, false},
		`{"room":{"ephemeral":{"rooms":["` + other + `"]}}}`:    {false, true},
		`{"room":{"ephemeral":{"not_rooms":["` + room + `"]}}}`: {false, true},
		`{"room":{"rooms":["` + room + `"]}}`:                   {true, false},
	} {
		h.stops(bob, room)
		h.stops(bob, other)
		c := h.synced(alice, filter)
		h.types(bob, room, time.Hour)
		h.types(bob, other, time.Hour)
		a := c.sync()
		if got := [2]bool{a.typists(t, room) != nil, a.typists(t, other) != nil}; got != want {
			t.Errorf("%s: %v, want %v", filter, got, want)
		}
	}
}

func TestPollWaitsOverTypingThatIsFilteredOut(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	w := h.await(h.synced(alice, `{"room":{"ephemeral":{"types":[]}}}`).Query)
	h.types(bob, room, time.Hour)
	w.waitsAgain()
	h.stops(bob, room)
	w.waitsAgain()
	h.say(bob, room, "done")
	equal(t, "timeline", w.get().in(t, room).timeline(), "done")
}

// To a token of another process, or from before a restart, all that is current is
// new; and what it knew of is not lost.
func TestTokensOfAnotherProcess(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	other := envOn(t, h.Pool, journal.Options{})
	c := h.synced(alice, "")
	moved := other.client(alice, "")
	moved.Since = c.Since
	wantEmpty(t, moved.sync())
	h.types(bob, room, time.Hour)
	c.sync()
	back := h.client(alice, "")
	for _, since := range []string{moved.Since, syncstream.FormatToken(h.Journal.Position()), durable(c.Since) + "_zzzzzzzz.99"} {
		back.Since = since
		equal(t, "with "+since, back.sync().typists(t, room), "bob")
		wantEmpty(t, back.sync())
	}
	other.OK(other.Journal.CatchUp(t.Context(), h.Journal.Position()))
	moved.Since = c.Since
	wantEmpty(t, moved.sync())
}
