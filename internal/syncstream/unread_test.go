package syncstream_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"homeserver/internal/journal"
	"homeserver/internal/personal/push"
	"homeserver/internal/rooms"
)

// unread returns the counts of a room in an answer.
func (a *answer) unread(t testing.TB, id string) count {
	t.Helper()
	r := a.in(t, id)
	if r.Unread == nil {
		t.Fatalf("there are no counts: %s", a.raw)
	}
	return *r.Unread
}

func (h *env) mention(sender, room, user string) string {
	h.T.Helper()
	return h.sendAs(rooms.Request{UserID: sender, RoomID: room}, "m.room.message",
		fmt.Sprintf(`{"body":"hey","m.mentions":{"user_ids":[%q]}}`, user))
}

func (h *env) inThread(sender, room, root string) string {
	h.T.Helper()
	return h.sendAs(rooms.Request{UserID: sender, RoomID: room}, "m.room.message",
		fmt.Sprintf(`{"body":"hi","m.relates_to":{"rel_type":"m.thread","event_id":%q}}`, root))
}

func wantCounts(t testing.TB, what string, got count, notifications, highlights int) {
	t.Helper()
	if want := (count{notifications, highlights}); got != want {
		t.Errorf("%s: %+v, want %+v", what, got, want)
	}
}

func TestUnreadCounts(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol)
	c := h.client(bob, "")
	wantCounts(t, "at first", c.sync().unread(t, room), 0, 0)
	h.say(alice, room, "one", "two")
	wantCounts(t, "two messages", c.sync().unread(t, room), 2, 0)
	last := h.mention(carol, room, bob)
	wantCounts(t, "a mention", c.sync().unread(t, room), 3, 1)
	h.sendAs(rooms.Request{UserID: carol, RoomID: room}, "m.room.message", `{"msgtype":"m.notice","body":"by a bot"}`)
	h.topic(alice, room, "state")
	wantCounts(t, "what does not notify", c.sync().unread(t, room), 3, 1)
	wantCounts(t, "in an initial sync", h.client(bob, "").sync().unread(t, room), 3, 1)
	wantCounts(t, "in another process", envOn(t, h.Pool, journal.Options{}).client(bob, "").sync().unread(t, room), 3, 1)
	h.read(bob, room, "m.read", last)
	wantCounts(t, "all read", c.sync().unread(t, room), 0, 0)
	h.say(alice, room, "three")
	c.sync()
	h.say(bob, room, "an answer")
	wantCounts(t, "after one's own message", c.sync().unread(t, room), 0, 0)
	wantCounts(t, "of others", h.client(alice, "").sync().unread(t, room), 1, 0)
}

func TestPrivateReceiptsClearCounts(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	c := h.synced(bob, "")
	first := h.send(alice, room, "one")
	second := h.mention(alice, room, bob)
	wantCounts(t, "unread", c.sync().unread(t, room), 2, 1)
	w := h.await(c.Query)
	h.read(bob, room, "m.read.private", first)
	a := w.get()
	wantCounts(t, "half of it read", a.unread(t, room), 1, 1)
	c.Since = a.NextBatch
	h.read(bob, room, "m.read.private", second)
	wantCounts(t, "all read", c.sync().unread(t, room), 0, 0)
	h.read(bob, room, "m.read", first) // lags behind, and brings nothing back
	wantCounts(t, "after a public one", c.sync().unread(t, room), 0, 0)
}

func TestRulesDecideWhatIsCounted(t *testing.T) {
	h := newEnv(t)
	quiet, loud := h.Public(bob), h.Public(bob)
	h.OK(h.push.PutRule(t.Context(), bob, push.Room, quiet, push.NewRule{Actions: []json.RawMessage{}}, push.Place{}))
	c := h.synced(bob, "")
	h.say(alice, quiet, "one")
	h.say(alice, loud, "one")
	a := c.sync()
	wantCounts(t, "in a room that is muted", a.unread(t, quiet), 0, 0)
	wantCounts(t, "in another", a.unread(t, loud), 1, 0)
	h.OK(h.push.DeleteRule(t.Context(), bob, push.Room, quiet))
	h.say(alice, quiet, "two")
	wantCounts(t, "not muted any more", c.sync().unread(t, quiet), 2, 0)
	h.OK(h.push.PutRule(t.Context(), bob, push.Content, "cake", push.NewRule{
		Pattern: new("cake"), Actions: []json.RawMessage{json.RawMessage(`"notify"`), json.RawMessage(`{"set_tweak":"highlight"}`)},
	}, push.Place{}))
	h.say(alice, loud, "there is Cake")
	wantCounts(t, "a word", c.sync().unread(t, loud), 2, 1)
}

const threaded = `{"room":{"timeline":{"unread_thread_notifications":true}}}`

func TestUnreadThreads(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol)
	c, plain := h.synced(bob, threaded), h.synced(bob, "")
	root := h.send(alice, room, "root")
	h.inThread(alice, room, root)
	last := h.inThread(carol, room, root)
	h.sendAs(rooms.Request{UserID: carol, RoomID: room}, "m.room.message",
		fmt.Sprintf(`{"body":"hey","m.mentions":{"user_ids":[%q]},"m.relates_to":{"rel_type":"m.thread","event_id":%q}}`, bob, root))
	r := c.sync().in(t, room)
	wantCounts(t, "the main timeline", *r.Unread, 1, 0)
	if len(r.Threads) != 1 {
		t.Errorf("threads: %v", r.Threads)
	}
	wantCounts(t, "the thread", r.Threads[root], 3, 1)
	wantCounts(t, "together", plain.sync().unread(t, room), 4, 1)
	h.readThread(bob, room, "m.read", last, root)
	r = c.sync().in(t, room)
	wantCounts(t, "the main timeline", *r.Unread, 1, 0)
	wantCounts(t, "the rest of the thread", r.Threads[root], 1, 1)
	h.readThread(bob, room, "m.read", root, "main")
	r = c.sync().in(t, room)
	wantCounts(t, "the main timeline, read", *r.Unread, 0, 0)
	wantCounts(t, "the thread is left", r.Threads[root], 1, 1)
	wantCounts(t, "together", plain.sync().unread(t, room), 1, 1)
	h.read(bob, room, "m.read", h.send(alice, room, "newest"))
	r = c.sync().in(t, room)
	wantCounts(t, "all read", *r.Unread, 0, 0)
	if len(r.Threads) != 0 {
		t.Errorf("threads: %v", r.Threads)
	}
}

// TestThreadCountsAreLeftOutWhereEmpty: the member is there only where it holds anything.
func TestThreadCountsAreLeftOutWhereEmpty(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	c := h.client(bob, threaded)
	there := func(what string, want bool) {
		t.Helper()
		if raw := string(c.sync().raw); strings.Contains(raw, `"unread_thread_notifications"`) != want {
			t.Errorf("%s: %s", what, raw)
		}
	}
	root := h.send(alice, room, "root")
	there("no thread", false)
	h.inThread(alice, room, root)
	there("a thread", true)
	h.say(alice, room, "more") // the thread is unread still
	there("another message", true)
	h.read(bob, room, "m.read", h.send(alice, room, "last"))
	there("all read", false)
}

func TestCountsOfWhoComesBack(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	c := h.synced(bob, "")
	h.say(alice, room, "one")
	h.Leave(bob, room)
	a := c.sync()
	if r := a.out(t, room); r.Unread != nil {
		t.Errorf("a room that was left has counts: %s", a.raw)
	}
	h.say(alice, room, "two")
	h.Join(bob, room)
	wantCounts(t, "after coming back", c.sync().unread(t, room), 0, 0)
	h.say(alice, room, "three")
	wantCounts(t, "one more", c.sync().unread(t, room), 1, 0)
}

// In the usual case a poll needs no SQL for the counts, the marks and the lists that
// they depend on: those move with what is committed.
func TestCountsNeedNoDatabase(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.ignore(bob, dave)
	c := h.synced(bob, threaded)
	root := h.send(alice, room, "root")
	thread := h.inThread(alice, room, root)
	c.sync()
	for what, do := range map[string]func(){
		"a message":             func() { h.say(alice, room, "more") },
		"a mention":             func() { h.mention(alice, room, bob) },
		"a message in a thread": func() { h.inThread(alice, room, root) },
		"a receipt":             func() { h.read(bob, room, "m.read", root) },
		"a private receipt":     func() { h.read(bob, room, "m.read.private", thread) },
		"a receipt of a thread": func() { h.readThread(bob, room, "m.read", thread, root) },
		"one's own message":     func() { h.say(bob, room, "mine") },
		"account data":          func() { h.store(bob, room, "a", `{}`) },
		"typing":                func() { h.types(alice, room, patience) },
		"presence":              func() { h.status(alice, "online", what(h)) },
	} {
		do()
		before := h.Pool.Stat().AcquireCount()
		if a := c.sync(); a.empty() {
			t.Errorf("%s is not told", what)
		}
		if more := h.Pool.Stat().AcquireCount() - before; more != 0 {
			t.Errorf("after %s a poll asks the database %d times", what, more)
		}
	}
}

func what(h *env) string { return fmt.Sprint(h.Journal.Position()) }
