package syncstream_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"homeserver/internal/journal"
	"homeserver/internal/rooms"
	"homeserver/internal/syncstream"
)

const (
	lazy      = `{"room":{"state":{"lazy_load_members":true},"timeline":{"limit":2}}}`
	redundant = `{"room":{"state":{"lazy_load_members":true,"include_redundant_members":true},"timeline":{"limit":2}}}`
)

// crowd makes a room with many members who say nothing and who come before the
// others, so that they are its heroes.
func (h *env) crowd(users ...string) string {
	h.T.Helper()
	room := h.Public()
	for i := range 8 {
		h.Join(fmt.Sprintf("@quiet%d:localhost", i), room)
	}
	for _, user := range users {
		h.Join(user, room)
	}
	return room
}

// besidesHeroes leaves out the members of crowd.
func besidesHeroes(r *room) []string {
	return slices.DeleteFunc(r.members(), func(name string) bool { return name[:len("q")] == "q" })
}

func TestLazyLoadingGivesSendersAndOneself(t *testing.T) {
	h := newEnv(t)
	room := h.crowd(bob, carol, dave)
	h.say(carol, room, "hi", "again")
	r := h.client(bob, lazy).sync().in(t, room)
	equal(t, "timeline", r.timeline(), "hi", "again")
	// The heroes are alice and the first four of the quiet ones.
	equal(t, "members", r.members(), "alice", "bob", "carol", "quiet0", "quiet1", "quiet2", "quiet3")
	if got := len(r.state()) - len(r.members()); got != 5 {
		t.Errorf("there are %d other state events", got)
	}
	all := h.client(bob, `{"room":{"timeline":{"limit":1}}}`).sync().in(t, room)
	if got := len(all.members()); got != 12 {
		t.Errorf("without lazy-loading there are %d members", got)
	}
	// It is a matter of the state alone.
	all = h.client(bob, `{"room":{"timeline":{"limit":1,"lazy_load_members":true}}}`).sync().in(t, room)
	if got := len(all.members()); got != 12 {
		t.Errorf("with lazy_load_members of the timeline there are %d members", got)
	}
}

func TestLazyLoadingGivesOneselfOnJoining(t *testing.T) {
	h := newEnv(t)
	room := h.crowd()
	h.say(alice, room, "1", "2")
	c := h.synced(bob, lazy)
	h.Join(bob, room)
	h.say(alice, room, "3", "4")
	equal(t, "members", besidesHeroes(c.sync().in(t, room)), "alice", "bob")
}

func TestLazyLoadingDoesNotRepeatMembers(t *testing.T) {
	h := newEnv(t)
	room := h.crowd(bob, carol, dave)
	h.say(carol, room, "1", "2")
	c, again := h.synced(bob, lazy), h.synced(bob, redundant)
	again.DeviceID = "DESKTOP"
	for i, step := range []struct {
		sender string
		new    []string
		all    []string
	}{
		{carol, []string{}, []string{"carol"}},
		{dave, []string{"dave"}, []string{"dave"}},
		{dave, []string{}, []string{"dave"}},
		{bob, []string{}, []string{"bob"}},
		{alice, []string{}, []string{"alice"}},
	} {
		h.say(step.sender, room, "more")
		equal(t, fmt.Sprint("step ", i), c.sync().in(t, room).members(), step.new...)
		equal(t, fmt.Sprint("redundant, step ", i), again.sync().in(t, room).members(), step.all...)
	}
}

func TestEachDeviceGetsTheMembers(t *testing.T) {
	h := newEnv(t)
	room := h.crowd(bob, carol)
	h.say(bob, room, "1", "2")
	phone, desktop := h.synced(bob, lazy), h.client(bob, lazy)
	desktop.DeviceID = "DESKTOP"
	desktop.sync()
	h.say(carol, room, "3")
	equal(t, "phone", phone.sync().in(t, room).members(), "carol")
	equal(t, "desktop", desktop.sync().in(t, room).members(), "carol")
}

func TestAnswerThatGotLostIsRepeatedWithItsMembers(t *testing.T) {
	h := newEnv(t)
	room := h.crowd(bob, carol)
	h.say(bob, room, "1", "2")
	c := h.synced(bob, lazy)
	old := c.Since
	h.say(carol, room, "3")
	equal(t, "first", c.sync().in(t, room).members(), "carol")
	c.Since = old
	equal(t, "with the old token", c.sync().in(t, room).members(), "carol")
	h.say(carol, room, "4")
	c.Since = old
	equal(t, "with the old token and more", c.sync().in(t, room).members(), "carol")
	h.say(carol, room, "5")
	equal(t, "with the new token", c.sync().in(t, room).members())
	c.Since = ""
	equal(t, "from the start", besidesHeroes(c.sync().in(t, room)), "alice", "bob", "carol")
}

// A client that asks from the start has forgotten everybody, also those whom it is not told of then.
func TestDeviceThatBeginsAnewKnowsNobody(t *testing.T) {
	h := newEnv(t)
	room := h.crowd(bob, carol)
	h.say(bob, room, "1", "2")
	c := h.synced(bob, lazy)
	h.say(carol, room, "3")
	equal(t, "before", c.sync().in(t, room).members(), "carol")
	h.say(bob, room, "4", "5")
	c.Since = ""
	equal(t, "from the start", besidesHeroes(c.sync().in(t, room)), "alice", "bob")
	h.say(carol, room, "6")
	equal(t, "after", c.sync().in(t, room).members(), "carol")
}

// A user who was away is not told how others have changed meanwhile, until they write.
func TestMemberWhoChangedWhileOneWasAwayIsSentAgain(t *testing.T) {
	h := newEnv(t)
	room := h.crowd(bob, carol)
	h.say(carol, room, "1", "2")
	c := h.synced(bob, lazy)
	h.Leave(bob, room)
	c.sync()
	h.rename(carol, room, "Caroline")
	h.Join(bob, room)
	h.say(bob, room, "3", "4")
	equal(t, "back again", besidesHeroes(c.sync().in(t, room)), "alice", "bob")
	h.say(carol, room, "5")
	r := c.sync().in(t, room)
	equal(t, "the other writes", r.members(), "carol")
	if name := r.State.Events[0].Content["displayname"]; name != "Caroline" {
		t.Errorf("she has the name %v", name)
	}
}

func TestMembersOfTheGapAlwaysCome(t *testing.T) {
	h := newEnv(t)
	room := h.crowd(bob, carol)
	h.say(carol, room, "1", "2")
	c := h.synced(bob, lazy)
	h.rename(carol, room, "Caroline")
	h.rename("@quiet7:localhost", room, "Louder")
	h.Join(dave, room)
	h.say(alice, room, "3", "4")
	r := c.sync().in(t, room)
	got := r.members()
	for _, who := range []string{"carol", "dave", "quiet7"} {
		if !slices.Contains(got, who) {
			t.Errorf("%s of the gap is missing in %v", who, got)
		}
	}
}

func TestMemberThatTheTimelineShowsNeedsNoState(t *testing.T) {
	h := newEnv(t)
	room := h.crowd(bob)
	h.say(bob, room, "1", "2")
	c := h.synced(bob, lazy)
	h.Join(carol, room)
	h.say(carol, room, "hi")
	r := c.sync().in(t, room)
	equal(t, "timeline", r.timeline(), "carol join", "hi")
	if slices.Contains(r.members(), "carol") {
		t.Errorf("carol's join is in the state, too: %v", r.state())
	}
	h.say(carol, room, "still here")
	equal(t, "known from the timeline", c.sync().in(t, room).members())
}

func TestNameOfTheStartIsGivenWhereTheTimelineChangesIt(t *testing.T) {
	h := newEnv(t)
	room := h.crowd(bob, carol)
	h.say(bob, room, "1", "2")
	c := h.synced(bob, lazy)
	h.say(carol, room, "as Carol")
	h.rename(carol, room, "Caroline")
	r := c.sync().in(t, room)
	equal(t, "timeline", r.timeline(), "as Carol", "carol join")
	equal(t, "members", r.members(), "carol")
	if name := r.State.Events[0].Content["displayname"]; name != nil {
		t.Errorf("at the start of the timeline carol has the name %v", name)
	}
}

func TestHiddenMemberEventsOfSendersCome(t *testing.T) {
	h := newEnv(t)
	room := h.crowd(bob)
	h.say(bob, room, "1")
	h.Join(carol, room)
	h.say(carol, room, "2")
	filter := `{"room":{"state":{"lazy_load_members":true},"timeline":{"types":["m.room.message"],"limit":2}}}`
	r := h.client(bob, filter).sync().in(t, room)
	equal(t, "timeline", r.timeline(), "1", "2")
	equal(t, "members", besidesHeroes(r), "alice", "bob", "carol")
}

func TestLazyLoadingWithStateAfter(t *testing.T) {
	h := newEnv(t)
	room := h.crowd(bob, carol)
	h.say(carol, room, "1", "2")
	c := h.client(bob, lazy)
	c.UseStateAfter = true
	r := c.sync().in(t, room)
	r.State = r.StateAfter
	equal(t, "initial", besidesHeroes(r), "alice", "bob", "carol")
	h.rename(carol, room, "Caroline")
	r = c.sync().in(t, room)
	r.State = r.StateAfter
	equal(t, "renamed", besidesHeroes(r), "carol")
	h.say(carol, room, "3")
	r = c.sync().in(t, room)
	r.State = r.StateAfter
	equal(t, "known", r.members())
}

func TestLazyLoadedFullState(t *testing.T) {
	h := newEnv(t)
	room := h.crowd(bob, carol)
	h.say(carol, room, "1", "2")
	c := h.synced(bob, lazy)
	c.FullState = true
	equal(t, "no timeline", besidesHeroes(c.sync().in(t, room)), "alice", "bob")
	h.say(carol, room, "3")
	equal(t, "with a sender", besidesHeroes(c.sync().in(t, room)), "alice", "bob", "carol")
}

func TestHeroesAreLazyLoaded(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.say(bob, room, "1", "2")
	c := h.synced(bob, lazy)
	h.Join(carol, room)
	h.say(bob, room, "3", "4")
	r := c.sync().in(t, room)
	equal(t, "members", r.members(), "carol")
	h.Join(dave, room)
	r = c.sync().in(t, room)
	equal(t, "heroes that are known", r.members())
}

// Clients calculate pictures by the heroes, also of rooms that have a name.
func TestRoomWithANameHasNoHeroes(t *testing.T) {
	h := newEnv(t)
	room := h.create(rooms.CreateRequest{Preset: "public_chat", Name: "House", AliasName: "house"})
	h.Join(bob, room)
	c := h.synced(bob, "")
	equal(t, "heroes of a first sync", h.client(bob, "").sync().in(t, room).Summary.Heroes, alice)
	h.Join(carol, room)
	equal(t, "heroes after a join", c.sync().in(t, room).Summary.Heroes, alice, carol)
}

// What a client knows of the members must be the same whether it hears of each change
// at once or of all of them together.
func TestSummaryAfterComingAndGoing(t *testing.T) {
	h := newEnv(t)
	sql := envOn(t, h.Pool, journal.Options{WindowBytes: 1})
	room := h.Public(bob)
	for what, step := range map[string]struct {
		do   func()
		told bool
	}{
		"renamed twice":    {func() { h.rename(bob, room, "1"); h.rename(bob, room, "2") }, false},
		"gone and back":    {func() { h.Leave(bob, room); h.Join(bob, room) }, false},
		"come and renamed": {func() { h.Join(carol, room); h.rename(carol, room, "3") }, true},
		"come and gone":    {func() { h.Join(dave, room); h.Leave(dave, room) }, true},
	} {
		since := h.synced(alice, "").Since
		step.do()
		sql.catchUp()
		for where, process := range map[string]*env{"window": h, "SQL": sql} {
			c := process.client(alice, "")
			c.Since = since
			if s := c.sync().in(t, room).Summary; (s != nil) != step.told {
				t.Errorf("%s, %s: the summary is %v", what, where, s)
			}
		}
	}
}

func TestSummary(t *testing.T) {
	h := newEnv(t)
	room := h.create(rooms.CreateRequest{Preset: "public_chat"})
	c := h.client(alice, "")
	want := func(what string, joined, invited int, heroes ...string) {
		t.Helper()
		s := c.sync().in(t, room).Summary
		if s == nil {
			t.Fatalf("%s: there is no summary", what)
		}
		if s.Joined != joined || s.Invited != invited {
			t.Errorf("%s: %d joined and %d invited, want %d and %d", what, s.Joined, s.Invited, joined, invited)
		}
		equal(t, what, s.Heroes, heroes...)
	}
	want("alone", 1, 0)
	h.invite(bob, room)
	want("an invite", 1, 1, bob)
	h.Join(carol, room)
	want("a join", 2, 1, bob, carol)
	h.Join(bob, room)
	want("an accepted invite", 3, 0, carol, bob)
	h.say(bob, room, "hi")
	h.topic(alice, room, "talk")
	if s := c.sync().in(t, room).Summary; s != nil {
		t.Errorf("nobody came or went, but there is a summary: %v", s)
	}
	var users []string
	for i := range 5 {
		users = append(users, fmt.Sprintf("@user%d:localhost", i))
		h.Join(users[i], room)
	}
	want("five at most", 8, 0, carol, bob, users[0], users[1], users[2])
	for _, user := range append(users, bob) {
		h.Leave(user, room)
	}
	want("back to two", 2, 0, carol)
	h.ban(carol, room)
	// The most recent event of each user counts.
	want("nobody is there", 1, 0, users[0], users[1], users[2], users[3], users[4])
	c.Since = ""
	want("initial", 1, 0, users[0], users[1], users[2], users[3], users[4])
}

// A message of somebody whom many waiting clients don't know wakes all of them, and the member is
// read once, also in a room that is too large to be in memory.
func TestMemberIsReadOnceForAllWhoWait(t *testing.T) {
	h := newEnv(t)
	pool, count := counted(h)
	const many = 50
	user := func(i int) string { return fmt.Sprintf("@member%d:localhost", i) }
	room := h.Public(carol, dave)
	for i := range many {
		h.Join(user(i), room)
	}
	for name, share := range map[string]int{"in memory": 0, "too large": 100_000} {
		readers := envWith(t, pool, journal.Options{Watch: time.Hour}, rooms.Shares{Recent: share})
		since := syncstream.FormatToken(h.newest())
		for _, sender := range []string{alice, carol, dave} {
			var polls []*waiting
			for i := range many {
				polls = append(polls, readers.await(syncstream.Query{UserID: user(i), DeviceID: fmt.Sprint(name, sender, since), Filter: lazy, Since: since}))
			}
			count.mention()
			h.say(sender, room, "hello")
			readers.catchUp()
			for _, w := range polls {
				a := w.get()
				since = a.NextBatch
				equal(t, "members", a.in(t, room).members(), strings.TrimSuffix(sender, ":localhost")[1:])
			}
			// With the first message the members' own names are read, by which they may be mentioned.
			if n := count.mention("(SELECT 'm.room.member') AND state_key"); sender != alice && (n > 1 || n > 0 && share == 0) {
				t.Errorf("%s: %d statements read members", name, n)
			}
		}
	}
}
