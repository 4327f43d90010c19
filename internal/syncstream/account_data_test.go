package syncstream_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"homeserver/internal/journal"
	"homeserver/internal/personal/push"
	"homeserver/internal/syncstream"
)

// store sets a piece of account data; room "" stands for the whole account.
func (h *env) store(user, room, typ, content string) {
	h.T.Helper()
	h.OK(h.data.Set(h.T.Context(), user, room, typ, json.RawMessage(content)))
}

func (h *env) tag(user, room, name string) {
	h.T.Helper()
	h.OK(h.data.SetTag(h.T.Context(), user, room, name, json.RawMessage(`{"order":0.5}`)))
}

func TestAccountDataComesOnce(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	c, other := h.synced(bob, ""), h.synced(alice, "")
	h.store(bob, "", "org.example", `{"n":1}`)
	h.store(bob, "", "org.example", `{"n":2}`)
	h.store(bob, room, "org.example", `{"n":3}`)
	h.tag(bob, room, "u.a")
	h.tag(bob, room, "u.b")
	a := c.sync()
	if got := a.AccountData.of(t, "org.example"); got["n"] != 2.0 {
		t.Errorf("the last content is %v", got)
	}
	r := a.in(t, room)
	if got := r.AccountData.of(t, "org.example"); got["n"] != 3.0 {
		t.Errorf("the room's is %v", got)
	}
	if tags, _ := r.AccountData.of(t, "m.tag")["tags"].(map[string]any); len(tags) != 2 {
		t.Errorf("the tags are %v", tags)
	}
	if len(r.timeline()) != 0 || r.Timeline.Limited || len(r.state()) != 0 {
		t.Errorf("the room's history is repeated: %s", a.raw)
	}
	if a = c.sync(); len(a.AccountData.Events) != 0 || !a.empty() {
		t.Errorf("it comes again: %s", a.raw)
	}
	if a = other.sync(); len(a.AccountData.Events) != 0 || !a.empty() {
		t.Errorf("another user sees %s", a.raw)
	}
}

func TestInitialSyncHasAllAccountData(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.store(bob, "", "a", `{}`)
	h.store(bob, room, "b", `{}`)
	h.OK(h.data.SetFullyRead(t.Context(), bob, room, "$event"))
	a := h.client(bob, "").sync()
	equal(t, "of the account", a.AccountData.types(), "a", "m.push_rules")
	equal(t, "of the room", a.in(t, room).AccountData.types(), "b", "m.fully_read")
}

func TestAccountDataWakesPolls(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	c := h.synced(bob, "")
	for _, step := range []struct {
		what string
		do   func()
		told func(*answer) bool
	}{
		{"of the account", func() { h.store(bob, "", "a", `{}`) }, func(a *answer) bool { return len(a.AccountData.Events) == 1 }},
		{"of the room", func() { h.store(bob, room, "a", `{}`) }, func(a *answer) bool { return len(a.in(t, room).AccountData.Events) == 1 }},
		{"the push rules", func() {
			h.OK(h.push.SetEnabled(t.Context(), bob, push.Override, ".m.rule.master", true))
		}, func(a *answer) bool { return a.AccountData.of(t, "m.push_rules") != nil }},
	} {
		w := h.await(c.Query)
		step.do()
		a := w.get()
		if !step.told(a) {
			t.Errorf("%s: %s", step.what, a.raw)
		}
		c.Since = a.NextBatch
	}
}

// A user who joins a room gets the account data that the user had stored for it before.
func TestAccountDataOfARoomThatIsJoined(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.store(bob, room, "before", `{}`)
	c := h.client(bob, "")
	if a := c.sync(); !a.empty() {
		t.Errorf("of a room that bob is not in: %s", a.raw)
	}
	h.store(bob, room, "outside", `{}`)
	if a := c.sync(); !a.empty() {
		t.Errorf("of a room that bob is not in: %s", a.raw)
	}
	h.tag(bob, room, "u.changed")
	h.Join(bob, room)
	h.store(bob, room, "after", `{}`)
	equal(t, "after joining", c.sync().in(t, room).AccountData.types(), "before", "outside", "m.tag", "after")
	h.store(bob, room, "after", `{}`)
	equal(t, "later", c.sync().in(t, room).AccountData.types(), "after")
	equal(t, "with the full state", func() []string {
		q := c.Query
		q.FullState = true
		return h.sync(q).in(t, room).AccountData.types()
	}())
}

func TestAccountDataOfRoomsThatAreLeft(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.store(bob, room, "before", `{}`)
	c := h.synced(bob, "")
	h.store(bob, room, "last", `{}`)
	h.Leave(bob, room)
	equal(t, "on leaving", c.sync().out(t, room).AccountData.types(), "last")
	a := h.client(bob, `{"room":{"include_leave":true}}`).sync()
	equal(t, "in an initial sync", a.out(t, room).AccountData.types(), "before", "last")
}

func TestFiltersOfAccountData(t *testing.T) {
	h := newEnv(t)
	one, two := h.Public(bob), h.Public(bob)
	from := h.synced(bob, "").Since
	h.store(bob, "", "org.example.a", `{}`)
	h.store(bob, "", "org.example.b", `{}`)
	for _, room := range []string{one, two} {
		h.store(bob, room, "org.example.c", `{}`)
		h.tag(bob, room, "u.x")
	}
	for _, test := range []struct {
		filter            string
		account, one, two []string
	}{
		{`{"account_data":{"types":["org.example.a"]}}`, []string{"org.example.a"}, []string{"org.example.c", "m.tag"}, []string{"org.example.c", "m.tag"}},
		{`{"account_data":{"not_types":["org.*"]},"room":{"account_data":{"types":["m.*"]}}}`, nil, []string{"m.tag"}, []string{"m.tag"}},
		{`{"account_data":{"types":[]},"room":{"account_data":{"types":[]}}}`, nil, nil, nil},
		{`{"account_data":{"types":[]},"room":{"account_data":{"rooms":["` + one + `"],"not_types":["m.tag"]}}}`, nil, []string{"org.example.c"}, nil},
		{`{"account_data":{"types":[]},"room":{"account_data":{"not_rooms":["` + one + `"]}}}`, nil, nil, []string{"org.example.c", "m.tag"}},
		{`{"account_data":{"types":[]},"room":{"rooms":["` + two + `"]}}`, nil, nil, []string{"org.example.c", "m.tag"}},
	} {
		for _, since := range []string{from, ""} {
			c := h.client(bob, test.filter)
			c.Since = since
			a := c.sync()
			for _, part := range []struct {
				list *stateList
				want []string
			}{{&a.AccountData, test.account}, {dataOf(a, one), test.one}, {dataOf(a, two), test.two}} {
				got := part.list.types()
				if since == "" && len(got) == len(part.want)+1 && got[len(got)-1] == "m.push_rules" {
					got = got[:len(got)-1]
				}
				equal(t, fmt.Sprint(test.filter, " since ", since), got, part.want...)
			}
		}
	}
}

func dataOf(a *answer, room string) *stateList {
	if r := a.Rooms.Join[room]; r != nil {
		return &r.AccountData
	}
	return &stateList{}
}

// What is not told for a filter wakes nobody for good.
func TestFilteredAccountDataGoesOnWaiting(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	w := h.await(h.synced(bob, `{"account_data":{"types":["wanted"]},"room":{"account_data":{"types":[]}}}`).Query)
	h.store(bob, "", "unwanted", `{}`)
	w.waitsAgain()
	h.tag(bob, room, "u.x")
	w.waitsAgain()
	h.store(bob, "", "wanted", `{}`)
	equal(t, "account data", w.get().AccountData.types(), "wanted")
}

func TestPushRulesComeWhenTheyChange(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	c := h.synced(bob, "")
	away := h.client(bob, "")
	away.Since = c.Since
	h.OK(h.push.PutRule(t.Context(), bob, push.Room, room, push.NewRule{Actions: []json.RawMessage{}}, push.Place{}))
	for _, device := range []*client{c, away} {
		global, _ := device.sync().AccountData.of(t, "m.push_rules")["global"].(map[string]any)
		if list, _ := global["room"].([]any); len(list) != 1 {
			t.Errorf("the rules for rooms are %v", global["room"])
		}
		if a := device.sync(); len(a.AccountData.Events) != 0 {
			t.Errorf("they come again: %s", a.raw)
		}
	}
	slow := envOn(t, h.Pool, journal.Options{})
	if got := slow.sync(syncstream.Query{UserID: bob, Since: syncstream.FormatToken(1)}).AccountData.types(); len(got) != 1 {
		t.Errorf("from SQL come %v", got)
	}
}

func TestReadYourAccountData(t *testing.T) {
	h := newEnv(t)
	other := envOn(t, h.Pool, journal.Options{})
	room := h.Public(bob)
	c := h.synced(bob, "")
	for n := range 10 {
		h.store(bob, room, "org.example", fmt.Sprintf(`{"n":%d}`, n))
		a := c.sync()
		if got := a.in(t, room).AccountData.of(t, "org.example"); got["n"] != float64(n) {
			t.Errorf("got %v, want %d", got, n)
		}
		// The token makes another process catch up first.
		moved := other.client(bob, "")
		moved.Since = a.NextBatch
		if a := moved.sync(); !a.empty() || len(a.AccountData.Events) != 0 {
			t.Errorf("another process repeats %s", a.raw)
		}
	}
}
