package syncstream_test

import (
	"fmt"
	"testing"

	"homeserver/internal/rooms"
	"homeserver/internal/rooms/timeline"
	"homeserver/internal/syncstream"
)

func TestTimelineIsLimited(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.say(alice, room, "1", "2", "3")
	for _, c := range []struct {
		limit   string
		want    []string
		limited bool
	}{
		{`{"room":{"timeline":{"limit":1}}}`, []string{"3"}, true},
		{`{"room":{"timeline":{"limit":4}}}`, []string{"bob join", "1", "2", "3"}, true},
		{`{"room":{"timeline":{"limit":0}}}`, nil, true},
		{`{"room":{"timeline":{"limit":1000000}}}`, []string{
			"create", "alice join", "power_levels", "join_rules", "history_visibility", "guest_access", "bob join", "1", "2", "3",
		}, false},
		{``, []string{
			"create", "alice join", "power_levels", "join_rules", "history_visibility", "guest_access", "bob join", "1", "2", "3",
		}, false},
	} {
		r := h.client(bob, c.limit).sync().in(t, room)
		equal(t, c.limit, r.timeline(), c.want...)
		if r.Timeline.Limited != c.limited {
			t.Errorf("%s: limited %v", c.limit, r.Timeline.Limited)
		}
		if got := len(r.timeline()) + len(r.state()); c.limited && c.limit != `{"room":{"timeline":{"limit":4}}}` && got != 7+len(c.want) {
			t.Errorf("%s: %d events of state and timeline", c.limit, got)
		}
	}
	h.say(alice, room, "4")
	if r := h.client(bob, "").sync().in(t, room); !r.Timeline.Limited || len(r.timeline()) != timeline.DefaultLimit {
		t.Errorf("without a filter there are %d events, limited %v", len(r.timeline()), r.Timeline.Limited)
	}
}

func TestLimitedTimelineCarriesTheStateOfTheGap(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	c := h.synced(bob, `{"room":{"timeline":{"limit":2}}}`)
	h.topic(alice, room, "one")
	h.topic(alice, room, "two")
	h.Join(carol, room)
	h.Leave(carol, room)
	h.topic(alice, room, "three")
	h.say(alice, room, "end")
	r := c.sync().in(t, room)
	equal(t, "timeline", r.timeline(), "topic three", "end")
	equal(t, "state", r.state(), "topic two", "carol leave")
	if !r.Timeline.Limited {
		t.Error("the timeline is not limited")
	}
}

func TestPrevBatchContinuesInMessages(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.say(alice, room, "1", "2", "3")
	c := h.client(bob, `{"room":{"timeline":{"limit":2}}}`)
	r := c.sync().in(t, room)
	equal(t, "timeline", r.timeline(), "2", "3")
	equal(t, "before", h.before(bob, room, r.Timeline.PrevBatch, "", nil), "1", "bob join", "guest_access",
		"history_visibility", "join_rules", "power_levels", "alice join", "create")
	since := c.Since
	h.say(alice, room, "4", "5", "6", "7")
	r = c.sync().in(t, room)
	equal(t, "timeline", r.timeline(), "6", "7")
	equal(t, "gap", h.before(bob, room, r.Timeline.PrevBatch, since, nil), "5", "4")
	since = c.Since
	h.say(alice, room, "8")
	r = c.sync().in(t, room)
	equal(t, "no gap", h.before(bob, room, r.Timeline.PrevBatch, since, nil))
}

// before names the events of /messages from one token back to another, newest first.
func (h *env) before(user, room, from, to string, f *timeline.EventFilter) []string {
	h.T.Helper()
	list := []string{}
	for _, e := range h.backward(user, room, from, to, f) {
		switch body, ok := e.Event.StateKey, e.Type == "m.room.message"; {
		case ok:
			list = append(list, string(e.Content()[len(`{"body":"`):len(e.Content())-2]))
		case e.Type == "m.room.member":
			list = append(list, name(*body)+" "+e.Membership())
		default:
			list = append(list, e.Type[len("m.room."):])
		}
	}
	return list
}

// backward reads /messages from one token back to another ("": the beginning).
func (h *env) backward(user, room, from, to string, f *timeline.EventFilter) []*timeline.Event {
	h.T.Helper()
	page := timeline.Page{Backward: true, Limit: timeline.MaxLimit, From: h.place(from), Filter: f}
	if to != "" {
		page.To = h.place(to)
	}
	st, err := h.Rooms.Timeline.For(user).Messages(h.T.Context(), room, page)
	h.OK(err)
	return st.Events
}

func (h *env) place(token string) *timeline.Place {
	h.T.Helper()
	p, err := syncstream.ParseToken(token)
	h.OK(err)
	place := timeline.PlaceOf(p)
	return &place
}

func TestTimelineFilters(t *testing.T) {
	h := newEnv(t)
	room, other := h.Public(bob), h.Public(bob)
	c := h.synced(bob, "")
	h.say(alice, room, "by alice")
	h.say(bob, room, "by bob")
	h.sendAs(rooms.Request{UserID: alice, RoomID: room}, "m.room.message", `{"body":"picture","url":"mxc://localhost/x"}`)
	h.sendAs(rooms.Request{UserID: alice, RoomID: room}, "org.example.one", `{}`)
	h.sendAs(rooms.Request{UserID: alice, RoomID: room}, "org.example_one", `{}`)
	h.say(alice, other, "elsewhere")
	all := []string{"by alice", "by bob", "picture", "org.example.one", "org.example_one", "elsewhere"}
	for _, c2 := range []struct {
		timeline string
		want     []string
	}{
		{`{}`, all},
		{`{"types":["m.room.message"]}`, []string{"by alice", "by bob", "picture", "elsewhere"}},
		{`{"types":["org.*"]}`, []string{"org.example.one", "org.example_one"}},
		{`{"types":["org.example.*"]}`, []string{"org.example.one"}},
		{`{"types":["*e.one"]}`, []string{"org.example.one"}},
		{`{"types":["*"],"not_types":["m.*"]}`, []string{"org.example.one", "org.example_one"}},
		{`{"types":[]}`, nil},
		{`{"types":["m.room.message"],"not_types":["m.room.message"]}`, nil},
		{`{"types":["org.example_%"]}`, nil},
		{`{"senders":["@bob:localhost"]}`, []string{"by bob"}},
		{`{"senders":[]}`, nil},
		{`{"not_senders":["@bob:localhost"],"types":["m.room.message"]}`, []string{"by alice", "picture", "elsewhere"}},
		{`{"senders":["@bob:localhost"],"not_senders":["@bob:localhost"]}`, nil},
		{`{"contains_url":true}`, []string{"picture"}},
		{`{"contains_url":false,"types":["m.room.message"]}`, []string{"by alice", "by bob", "elsewhere"}},
		{`{"rooms":["` + other + `"]}`, []string{"elsewhere"}},
		{`{"rooms":[]}`, nil},
		{`{"not_rooms":["` + room + `"]}`, []string{"elsewhere"}},
		{`{"rooms":["` + other + `"],"not_rooms":["` + other + `"]}`, nil},
	} {
		wanted := map[string]bool{}
		for _, word := range c2.want {
			wanted[word] = true
		}
		for _, where := range []string{`{"room":{"timeline":%s}}`, `{"room":{"timeline":%s,"state":{"lazy_load_members":true}}}`} {
			q := c.Query
			q.Filter = fmt.Sprintf(where, c2.timeline)
			a := h.sync(q)
			got := 0
			for _, r := range a.Rooms.Join {
				for _, word := range r.timeline() {
					if got++; !wanted[word] {
						t.Errorf("the filter %s does not hide %q", c2.timeline, word)
					}
				}
			}
			if got != len(c2.want) {
				t.Errorf("the filter %s leaves %d events, want %d: %s", q.Filter, got, len(c2.want), a.raw)
			}
		}
	}
}

func TestRoomFilterLeavesRoomsOut(t *testing.T) {
	h := newEnv(t)
	one, two, invited := h.Public(bob), h.Public(bob), h.Public()
	h.invite(bob, invited)
	for filter, want := range map[string][2]int{
		`{"room":{"rooms":["` + one + `"]}}`:                                     {1, 0},
		`{"room":{"rooms":["` + invited + `"]}}`:                                 {0, 1},
		`{"room":{"not_rooms":["` + one + `","` + invited + `"]}}`:               {1, 0},
		`{"room":{"rooms":[]}}`:                                                  {0, 0},
		`{"room":{"rooms":["` + two + `"],"not_rooms":["` + two + `"]}}`:         {0, 0},
		`{"room":{"rooms":null,"not_rooms":[]}}`:                                 {2, 1},
		`{"room":{"timeline":{"rooms":["` + one + `"]},"state":{"rooms":[]}}}`:   {2, 1},
		`{"room":{"ephemeral":{"rooms":[]},"account_data":{"not_types":["*"]}}}`: {2, 1},
	} {
		a := h.client(bob, filter).sync()
		if got := [2]int{len(a.Rooms.Join), len(a.Rooms.Invite)}; got != want {
			t.Errorf("%s: %d joined and invited rooms, want %d", filter, got, want)
		}
	}
}

func TestStateThatTheTimelineFilterHidesComesAsState(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.topic(alice, room, "first")
	h.say(alice, room, "1")
	h.topic(alice, room, "second")
	h.say(alice, room, "2")
	h.topic(alice, room, "third")
	c := h.client(bob, `{"room":{"timeline":{"types":["m.room.message"]}}}`)
	r := c.sync().in(t, room)
	equal(t, "timeline", r.timeline(), "1", "2")
	same(t, "state", r.state(), "create", "alice join", "power_levels", "join_rules", "history_visibility", "guest_access",
		"bob join", "topic third")
	h.topic(alice, room, "fourth")
	h.say(alice, room, "3")
	h.topic(alice, room, "fifth")
	r = c.sync().in(t, room)
	equal(t, "timeline", r.timeline(), "3")
	equal(t, "state", r.state(), "topic fifth")
	h.topic(alice, room, "sixth")
	r = c.sync().in(t, room)
	equal(t, "timeline", r.timeline())
	equal(t, "state", r.state(), "topic sixth")
	if r.Timeline.Limited {
		t.Error("what the filter hides makes no timeline limited")
	}
	c.Filter = `{"room":{"timeline":{"not_rooms":["` + room + `"]}}}`
	h.topic(alice, room, "seventh")
	h.say(alice, room, "unseen")
	r = c.sync().in(t, room)
	equal(t, "timeline", r.timeline())
	equal(t, "state", r.state(), "topic seventh")
	c.Since = ""
	r = c.sync().in(t, room)
	same(t, "state", r.state(), "create", "alice join", "power_levels", "join_rules", "history_visibility", "guest_access",
		"bob join", "topic seventh")
}

func TestStateFilters(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.topic(alice, room, "x")
	for filter, want := range map[string][]string{
		`{"types":["m.room.topic"]}`:                                    {"topic x"},
		`{"senders":["@bob:localhost"]}`:                                {"bob join"},
		`{"not_senders":["@alice:localhost"]}`:                          {"bob join"},
		`{"not_types":["m.room.*"]}`:                                    {},
		`{"rooms":[]}`:                                                  {},
		`{"not_rooms":["` + room + `"]}`:                                {},
		`{"contains_url":true}`:                                         {},
		`{"types":["m.room.topic"],"lazy_load_members":true}`:           {"topic x"},
		`{"not_rooms":["` + room + `"],"lazy_load_members":true}`:       {},
		`{"types":["m.room.member"],"lazy_load_members":true}`:          {"alice join", "bob join"},
		`{"senders":["@alice:localhost"],"types":["m.room.*member"]}`:   {"alice join"},
		`{"types":["m.room.topic"],"limit":1}`:                          {"topic x"},
		`{"types":["m.room.topic"],"unread_thread_notifications":true}`: {"topic x"},
	} {
		q := `{"room":{"state":` + filter + `,"timeline":{"limit":0}}}`
		r := h.client(bob, q).sync().in(t, room)
		same(t, filter, r.state(), want...)
		if r.Summary == nil {
			t.Errorf("%s: there is no summary", filter)
		}
	}
}

func TestEventFields(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	c := h.synced(alice, "")
	h.sendAs(rooms.Request{UserID: alice, RoomID: room}, "m.room.message",
		`{"body":"hi","m.relates_to":{"rel_type":"x","event_id":"$y"},"a\\b":1,"a.b":{"c":2,"d":3},"list":[{"body":1}]}`)
	for fields, want := range map[string]string{
		`["type"]`:                            `{"type":"m.room.message"}`,
		`["type","sender"]`:                   `{"sender":"@alice:localhost","type":"m.room.message"}`,
		`["content.body"]`:                    `{"content":{"body":"hi"}}`,
		`["content.m\\.relates_to.rel_type"]`: `{"content":{"m.relates_to":{"rel_type":"x"}}}`,
		`["content.m.relates_to"]`:            `{}`,
		`["content.a\\\\b"]`:                  `{"content":{"a\\b":1}}`,
		`["content.a\\b"]`:                    `{"content":{"a\\b":1}}`,
		`["content.a\\.b.d","content.body"]`:  `{"content":{"a.b":{"d":3},"body":"hi"}}`,
		`["content.list.body"]`:               `{}`,
		`["content.list"]`:                    `{"content":{"list":[{"body":1}]}}`,
		`["content.body.x","type"]`:           `{"type":"m.room.message"}`,
		`["content","content.body"]`:          `{"content":{"a.b":{"c":2,"d":3},"a\\b":1,"body":"hi","list":[{"body":1}],"m.relates_to":{"event_id":"$y","rel_type":"x"}}}`,
		`["unsigned.membership"]`:             `{"unsigned":{"membership":"join"}}`,
		`["", ".", "no.such", "type"]`:        `{"type":"m.room.message"}`,
	} {
		a, err := h.Sync(t.Context(), syncstream.Query{UserID: alice, Since: c.Since, Filter: `{"event_fields":` + fields + `}`})
		h.OK(err)
		wantPart(t, fields, string(written(t, a)), `"timeline":{"events":[`+want+`]`)
	}
	for _, all := range []string{`[]`, `null`} {
		q := c.Query
		q.Filter = `{"event_fields":` + all + `}`
		if e := h.sync(q).in(t, room).Timeline.Events[0]; e.EventID == "" || e.Sender != alice {
			t.Errorf("%s cuts events down: %v", all, e)
		}
	}
	c.Filter, c.Since = `{"event_fields":["type"],"room":{"timeline":{"limit":0}}}`, ""
	for _, e := range c.sync().in(t, room).State.Events {
		if e.Type == "" || e.Content != nil {
			t.Errorf("the state is not cut down: %+v", e)
		}
	}
}
