package syncstream_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"homeserver/internal/journal"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/syncstream"
)

func (h *env) read(user, room, typ, id string) {
	h.T.Helper()
	h.OK(h.receipts.Send(h.T.Context(), user, room, typ, id, nil))
}

func (h *env) readThread(user, room, typ, id, thread string) {
	h.T.Helper()
	h.OK(h.receipts.Send(h.T.Context(), user, room, typ, id, &thread))
}

// receipts lists the receipts of a room, as "user type event thread".
func (r *room) receipts() []string {
	list := []string{}
	for _, e := range r.Ephemeral.Events {
		if e.Type != "m.receipt" {
			continue
		}
		for id, types := range e.Content {
			for typ, users := range types.(map[string]any) {
				for user, of := range users.(map[string]any) {
					text := fmt.Sprint(name(user), " ", typ, " ", id)
					if thread, ok := of.(map[string]any)["thread_id"]; ok {
						text += fmt.Sprint(" ", thread)
					}
					list = append(list, text)
				}
			}
		}
	}
	slices.Sort(list)
	return list
}

func TestReceiptsAreTold(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol)
	id := h.send(alice, room, "hi")
	clients := map[string]*client{}
	for _, user := range []string{alice, bob, carol, dave} {
		clients[user] = h.synced(user, "")
	}
	h.read(bob, room, "m.read", id)
	h.read(carol, room, "m.read.private", id)
	public, private := "bob m.read "+id, "carol m.read.private "+id
	same(t, "alice sees", clients[alice].sync().in(t, room).receipts(), public)
	same(t, "bob sees", clients[bob].sync().in(t, room).receipts(), public)
	same(t, "carol sees", clients[carol].sync().in(t, room).receipts(), public, private)
	for _, c := range clients {
		wantEmpty(t, c.sync())
	}
	// And all of them in initial syncs, and in such as reach further back than memory.
	away := envOn(t, h.Pool, journal.Options{})
	for _, h := range []*env{h, away} {
		for _, since := range []string{"", syncstream.FormatToken(1)} {
			for user, want := range map[string][]string{alice: {public}, bob: {public}, carol: {public, private}} {
				same(t, user+" sees", h.sync(syncstream.Query{UserID: user, Since: since}).in(t, room).receipts(), want...)
			}
		}
	}
}

func TestReceiptsWakePolls(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol)
	id := h.send(alice, room, "hi")
	polls := map[string]*waiting{}
	for _, user := range []string{alice, bob, carol} {
		polls[user] = h.await(h.synced(user, "").Query)
	}
	h.read(bob, room, "m.read.private", id)
	same(t, "bob sees", polls[bob].get().in(t, room).receipts(), "bob m.read.private "+id)
	h.read(bob, room, "m.read", id)
	same(t, "alice sees", polls[alice].get().in(t, room).receipts(), "bob m.read "+id)
	same(t, "carol sees", polls[carol].get().in(t, room).receipts(), "bob m.read "+id)
}

func TestOnlyTheLastReceiptOfAKindIsTold(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	one, two := h.send(alice, room, "one"), h.send(alice, room, "two")
	c := h.synced(alice, "")
	h.read(bob, room, "m.read", one)
	h.read(bob, room, "m.read", two)
	h.read(bob, room, "m.read", one) // does nothing
	same(t, "alice sees", c.sync().in(t, room).receipts(), "bob m.read "+two)
	h.read(bob, room, "m.read", one)
	wantEmpty(t, c.sync())
}

func TestReceiptsOfThreadsStandBesideOthers(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	root := h.send(alice, room, "root")
	c := h.synced(alice, "")
	h.read(bob, room, "m.read", root)
	h.readThread(bob, room, "m.read", root, "main")
	h.readThread(bob, room, "m.read", root, root)
	want := []string{"bob m.read " + root, "bob m.read " + root + " main", "bob m.read " + root + " " + root}
	same(t, "alice sees", c.sync().in(t, room).receipts(), want...)
	same(t, "at first", h.client(alice, "").sync().in(t, room).receipts(), want...)
}

func TestReceiptsOfARoomThatIsJoined(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	id := h.send(alice, room, "hi")
	h.read(bob, room, "m.read", id)
	h.read(bob, room, "m.read.private", id)
	c := h.synced(carol, "")
	h.Join(carol, room)
	same(t, "carol sees", c.sync().in(t, room).receipts(), "bob m.read "+id)
	h.Leave(carol, room)
	c.sync()
	h.read(alice, room, "m.read", id)
	wantEmpty(t, c.sync())
	h.Join(carol, room)
	same(t, "after coming back", c.sync().in(t, room).receipts(), "alice m.read "+id, "bob m.read "+id)
	// In and out between two answers.
	h.Leave(carol, room)
	h.Join(carol, room)
	same(t, "after a short absence", c.sync().in(t, room).receipts(), "alice m.read "+id, "bob m.read "+id)
	c.FullState = true
	same(t, "with the full state", c.sync().in(t, room).receipts())
}

func TestFiltersOfReceipts(t *testing.T) {
	h := newEnv(t)
	room, other := h.Public(bob), h.Public(bob)

	for filter, want := range map[string][]string{
		`{"room":{"ephemeral":{"types":["m.receipt"]}}}`:          {room, other},
		`{"room":{"ephemeral":{"types":["m.typing"]}}}`:           {},
		`{"room":{"ephemeral":{"not_types":["m.*"]}}}`:            {},
		`{"room":{"ephemeral":{"rooms":["` + room + `"]}}}`:       {room},
		`{"room":{"ephemeral":{"not_rooms":["` + room + `"]}}}`:   {other},
		`{"room":{"not_rooms":["` + room + `"]}}`:                 {other},
		`{"room":{"ephemeral":{"types":["m.read"],"limit":10}}}`:  {},
		`{"room":{"timeline":{"types":[]},"state":{"types":[]}}}`: {room, other},
	} {
		c := h.synced(alice, filter)
		next := map[string]string{}
		for _, r := range []string{room, other} {
			next[r] = h.send(alice, r, "more")
			h.read(bob, r, "m.read", next[r])
		}
		got := []string{}
		for id, r := range c.sync().Rooms.Join {
			if slices.Equal(r.receipts(), []string{"bob m.read " + next[id]}) {
				got = append(got, id)
			} else if len(r.receipts()) > 0 {
				t.Errorf("%s: %v", filter, r.receipts())
			}
		}
		same(t, filter, got, want...)
	}
}

func TestFullyReadIsAccountData(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	id := h.send(alice, room, "hi")
	c, other := h.synced(bob, ""), h.synced(alice, "")
	h.OK(h.receipts.SetMarkers(t.Context(), bob, room, receipts.Markers{FullyRead: id}))
	r := c.sync().in(t, room)
	if got := r.AccountData.of(t, "m.fully_read"); got["event_id"] != id {
		t.Errorf("the marker is %v", got)
	}
	same(t, "receipts", r.receipts())
	wantEmpty(t, other.sync())
}

// A device that wants no receipts hears all the same that another has read.
func TestCountsAreToldWithoutReceipts(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	id := h.send(alice, room, "hi")
	const filter = `{"room":{"ephemeral":{"types":[]}}}`
	for _, typ := range []string{"m.read", "m.read.private"} {
		c := h.synced(bob, filter)
		h.read(bob, room, typ, id)
		away := envOn(t, h.Pool, journal.Options{}).client(bob, filter)
		away.Since = c.Since
		for _, c := range []*client{c, away} {
			r := c.sync().in(t, room)
			if r.Unread == nil || r.Unread.Notifications != 0 || len(r.Ephemeral.Events) != 0 {
				t.Errorf("%s: %v, %v", typ, r.Unread, r.Ephemeral.Events)
			}
		}
	}
}

func TestReceiptsOfManyRoomsInOrder(t *testing.T) {
	h := newEnv(t)
	var list []string
	ids := map[string]string{}
	for range 4 {
		room := h.Public(bob)
		ids[room] = h.send(alice, room, "hi")
		list = append(list, room)
	}
	c := h.synced(bob, "")
	for _, room := range slices.Backward(list) {
		h.read(bob, room, "m.read.private", ids[room])
	}
	h.say(alice, list[2], "more")
	a := c.sync()
	same(t, "rooms", slices.Collect(maps.Keys(a.Rooms.Join)), slices.Clone(list)...)
	for id, r := range a.Rooms.Join {
		same(t, "receipts", r.receipts(), "bob m.read.private "+ids[id])
	}
}
