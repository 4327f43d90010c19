package syncstream_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"homeserver/internal/auth"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/personal/presence"
	"homeserver/internal/syncstream"
)

func (h *env) status(user, presence, message string) {
	h.T.Helper()
	h.OK(h.presence.Set(h.T.Context(), user, presence, message))
}

// watch moves the clock by d, and then looks which users are idle or away.
func (h *env) watch(d time.Duration) {
	h.clock.Pass(d)
	h.presence.Watch()
}

// present lists the presence events of the answer: the users, and how they are.
func (a *answer) present() []string {
	list := []string{}
	for _, e := range a.Presence.Events {
		list = append(list, fmt.Sprint(name(e.Sender), " ", e.Content["presence"]))
	}
	return list
}

// seen syncs and is shown as it says.
func (c *client) seen(shown string) *answer {
	c.h.T.Helper()
	q := c.Query
	q.SetPresence = shown
	a, err := c.h.Service.Sync(c.h.T.Context(), q)
	c.h.OK(err)
	parsed := parse(c.h.T, a)
	c.Since = parsed.NextBatch
	return parsed
}

func TestPresenceIsTold(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.Public(carol)
	c, stranger := h.synced(alice, ""), h.synced(dave, "")
	h.status(bob, "online", "here")
	a := c.sync()
	if len(a.Presence.Events) != 1 {
		t.Fatalf("presence: %s", a.raw)
	}
	e := a.Presence.Events[0]
	want := map[string]any{"presence": "online", "status_msg": "here", "currently_active": true, "last_active_ago": 0.0}
	if e.Type != "m.presence" || e.Sender != bob || fmt.Sprint(e.Content) != fmt.Sprint(want) {
		t.Errorf("got %v %v", e.Sender, e.Content)
	}
	if len(a.Rooms.Join) != 0 {
		t.Errorf("rooms are told of: %s", a.raw)
	}
	wantEmpty(t, c.sync())
	wantEmpty(t, stranger.sync())
	wantEmpty(t, h.synced(carol, "").sync())
	h.Leave(bob, room)
	c.sync()
	h.status(bob, "unavailable", "")
	same(t, "after bob has left", c.sync().present())
}

func TestSyncMakesOnline(t *testing.T) {
	h := newEnv(t)
	h.Public(bob)
	c, b := h.synced(alice, ""), h.client(bob, "")
	for _, step := range []struct {
		shown string
		want  []string
	}{
		{"offline", nil}, {"", []string{"bob online"}}, {"", nil}, {"unavailable", []string{"bob unavailable"}},
		{"offline", nil}, {"online", []string{"bob online"}}, {"online", nil},
	} {
		b.seen(step.shown)
		same(t, "after bob has asked as "+step.shown, c.sync().present(), step.want...)
	}
	h.watch(5 * time.Minute)
	same(t, "after five minutes", c.sync().present(), "bob offline")
}

func TestWhoIsIdleOrGone(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	c := h.synced(alice, "")
	q := h.synced(bob, "").Query
	q.Timeout, q.SetPresence = 10*patience, "online"
	w := h.startFor(q)
	w.waitsAgain()
	same(t, "at first", c.sync().present(), "bob online")
	h.watch(time.Minute)
	w.waitsAgain()
	e := c.sync().Presence.of(t, "m.presence")
	if e["presence"] != "online" || e["currently_active"] != false || e["last_active_ago"] != 60_000.0 {
		t.Errorf("after a minute: %v", e)
	}
	h.watch(4 * time.Minute)
	w.waitsAgain()
	same(t, "after five minutes", c.sync().present(), "bob unavailable")
	h.say(bob, room, "back")
	same(t, "bob sees himself", w.get().present(), "bob online")
	same(t, "after a message", c.sync().present(), "bob online")
	h.watch(30 * time.Second)
	same(t, "after half a minute away", c.sync().present(), "bob offline")
}

func TestPresenceWakesPolls(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	w, own := h.await(h.synced(alice, "").Query), h.await(h.synced(bob, "").Query)
	h.status(bob, "online", "")
	same(t, "alice sees", w.get().present(), "bob online")
	own.waitsAgain() // one's own ends no wait, but is not lost
	h.types(alice, room, time.Hour)
	same(t, "bob sees", own.get().present(), "bob online")
	w = h.await(h.synced(alice, `{"presence":{"types":[]}}`).Query)
	h.status(bob, "unavailable", "")
	w.waitsAgain()
}

// What is not shown alone wakes nobody: a message by who is active already.
func TestPresenceIsNotRepeated(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	c := h.client(alice, "")
	c.seen("online")
	h.status(bob, "online", "")
	same(t, "at first", c.seen("online").present(), "bob online")
	for range 3 {
		h.say(bob, room, "hi")
		h.types(bob, room, time.Hour)
		h.stops(bob, room)
		same(t, "with a message", c.seen("online").present())
	}
}

func TestPresenceInInitialSyncs(t *testing.T) {
	h := newEnv(t)
	h.Public(bob, carol)
	h.status(bob, "unavailable", "")
	h.status(carol, "online", "")
	h.status(carol, "offline", "")
	h.status(dave, "online", "")
	same(t, "alice sees", h.client(alice, "").sync().present(), "bob unavailable")
	same(t, "and with a token of another process", h.sync(syncstream.Query{
		UserID: alice, Since: syncstream.FormatToken(h.Journal.Position()) + "_zzzzzzzz.5",
	}).present(), "bob unavailable", "carol offline")
	same(t, "in another process", envOn(t, h.Pool, journal.Options{}).client(alice, "").sync().present())
}

func TestPresenceInARoomThatIsJoined(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	other := h.Public(dave)
	h.status(bob, "online", "")
	h.status(carol, "online", "")
	h.status(dave, "online", "")
	c, b := h.synced(carol, ""), h.synced(bob, "")
	h.Join(carol, room)
	same(t, "carol, who has joined, sees", c.sync().present(), "bob online", "carol online")
	same(t, "bob sees", b.sync().present(), "carol online")
	wantEmpty(t, c.sync())
	wantEmpty(t, b.sync())
	h.Join(bob, other)
	same(t, "carol is told of bob again", c.sync().present(), "bob online")
	same(t, "bob sees", b.sync().present(), "bob online", "dave online")
}

func TestProfileReachesPresence(t *testing.T) {
	h := newEnv(t)
	h.Public(bob)
	_, err := h.Users.CreateAccount(t.Context(), auth.NewAccount{Username: "bob", Password: "wordpass"})
	h.OK(err)
	h.Profiles.OnChange(h.Rooms.UpdateProfile)
	h.status(bob, "online", "")
	c := h.synced(alice, "")
	h.OK(h.Profiles.Set(t.Context(), matrix.Session{UserID: bob}, bob, "displayname", json.RawMessage(`"Bobby"`)))
	a := c.sync()
	if content := a.Presence.of(t, "m.presence"); content["displayname"] != "Bobby" {
		t.Errorf("presence: %s", a.raw)
	}
}

func TestFiltersOfPresence(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol)
	for filter, want := range map[string][]string{
		``:                                      {"bob online", "carol online"},
		`{"presence":{"types":["m.presence"]}}`: {"bob online", "carol online"},
		`{"presence":{"types":[]}}`:             {},
		`{"presence":{"not_types":["*"]}}`:      {},
		`{"presence":{"senders":["@bob:localhost"]}}`:     {"bob online"},
		`{"presence":{"not_senders":["@bob:localhost"]}}`: {"carol online"},
		`{"room":{"rooms":[]}}`:                           {"bob online", "carol online"},
		`{"room":{"not_rooms":["` + room + `"]}}`:         {"bob online", "carol online"},
	} {
		h.status(bob, "offline", "")
		h.status(carol, "offline", "")
		c := h.synced(alice, filter)
		h.status(bob, "online", "")
		h.status(carol, "online", "")
		same(t, filter, c.sync().present(), want...)
	}
}

func TestPollsThatWaitStayOnline(t *testing.T) {
	h := newEnv(t)
	h.Public(bob)
	q := h.synced(bob, "").Query
	q.Timeout, q.SetPresence = 10*patience, presence.Unavailable
	w := h.startFor(q)
	w.waitsAgain()
	h.watch(time.Hour)
	same(t, "after an hour", h.client(alice, "").sync().present(), "bob unavailable")
	w.cancel()
	w.end()
	h.watch(time.Minute)
	same(t, "when the client is gone", h.client(alice, "").sync().present())
}
