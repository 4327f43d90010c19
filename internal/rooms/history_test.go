package rooms_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// long makes a room with a history of all kinds of events, of which bob sees a part.
func (h *env) long(random *rand.Rand) string {
	h.T.Helper()
	room, other := h.Public(carol), h.Public()
	visibilities := []string{"shared", "joined", "invited", "world_readable"}
	for i := range 120 {
		switch random.IntN(8) {
		case 0:
			h.SetState(alice, room, "m.room.history_visibility", "", `{"history_visibility":"`+visibilities[random.IntN(4)]+`"}`)
		case 1:
			if h.Membership(room, bob) == event.Join {
				h.Leave(bob, room)
			} else {
				h.Join(bob, room)
			}
		case 2:
			h.SetState(alice, room, "m.room.name", "", fmt.Sprintf(`{"name":"%d"}`, i))
		case 3:
			h.Send(alice, other, "elsewhere") // positions of the room have gaps
		case 4:
			_, err := h.Rooms.Send(h.T.Context(), roomstest.As(carol, room), "org.example.picture", roomstest.Raw(map[string]any{"url": "mxc://localhost/x"}))
			h.OK(err)
		default:
			h.Send([]string{alice, carol}[i%2], room, fmt.Sprint(i))
		}
	}
	return room
}

// pageThrough reads from one end to the other, following the tokens.
func (h *env) pageThrough(user, room string, p timeline.Page) (events []*timeline.Event) {
	h.T.Helper()
	for range 1000 {
		st, err := h.Rooms.Timeline.For(user).Messages(h.T.Context(), room, p)
		h.OK(err)
		if len(st.Events) > p.Limit {
			h.T.Fatalf("%d events in a page of %d", len(st.Events), p.Limit)
		}
		if p.From != nil && st.Start != *p.From {
			h.T.Errorf("the page from %d starts at %d", *p.From, st.Start)
		}
		events = append(events, st.Events...)
		if !st.More {
			return events
		}
		if len(st.Events) == 0 {
			h.T.Fatal("a page has no events, and more is to come")
		}
		p.From = &st.End
	}
	h.T.Fatal("paging does not end")
	return nil
}

func TestPagingVisitsEveryEventOnce(t *testing.T) {
	h := newEnv(t)
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 7))
		room := h.long(random)
		for _, user := range []string{alice, bob} {
			all, err := h.Rooms.Timeline.For(user).Messages(t.Context(), room, timeline.Page{Limit: timeline.MaxLimit})
			if matrix.IsCode(err, matrix.Forbidden) {
				continue // bob never joined
			}
			h.OK(err)
			for _, f := range []*timeline.EventFilter{nil, {Types: &[]string{"m.room.message"}}, {NotSenders: []string{carol}}, {ContainsURL: new(bool)}} {
				var want []string
				for _, e := range all.Events {
					if f.Match(e) {
						want = append(want, e.ID)
					}
				}
				limit := 1 + random.IntN(12)
				matrixtest.Equal(t, "forward", roomstest.IDs(h.pageThrough(user, room, timeline.Page{Limit: limit, Filter: f})), want)
				slices.Reverse(want)
				matrixtest.Equal(t, "backward", roomstest.IDs(h.pageThrough(user, room, timeline.Page{Limit: limit, Filter: f, Backward: true})), want)
			}
		}
	}
}

func TestPagingBetweenTwoTokens(t *testing.T) {
	h := newEnv(t)
	random := rand.New(rand.NewPCG(9, 9))
	room := h.long(random)
	all := h.History(alice, room)
	end := h.Journal.Position()
	for range 60 {
		from, to := timeline.PlaceOf(journal.Position(random.IntN(int(end)+3))), timeline.PlaceOf(journal.Position(random.IntN(int(end)+3)))
		for _, backward := range []bool{false, true} {
			low, high := from, to
			if backward {
				low, high = to, from
			}
			var want []string
			for _, e := range all {
				if low < e.Place && e.Place <= high {
					want = append(want, e.ID)
				}
			}
			if backward {
				slices.Reverse(want)
			}
			p := timeline.Page{Backward: backward, From: &from, To: &to, Limit: timeline.MaxLimit}
			st, err := h.Rooms.Timeline.For(alice).Messages(t.Context(), room, p)
			h.OK(err)
			matrixtest.Equal(t, fmt.Sprintf("from %d to %d, backward %v", from, to, backward), roomstest.IDs(st.Events), want)
			if from <= timeline.PlaceOf(end) {
				p.Limit = 1 + random.IntN(9)
				matrixtest.Equal(t, "in pages", roomstest.IDs(h.pageThrough(alice, room, p)), want)
			}
		}
	}
}

func TestTokenOfOneDirectionServesTheOther(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	for i := range 9 {
		h.Send(alice, room, fmt.Sprint(i))
	}
	back, err := h.Rooms.Timeline.For(alice).Messages(t.Context(), room, timeline.Page{Backward: true, Limit: 4})
	h.OK(err)
	forth, err := h.Rooms.Timeline.For(alice).Messages(t.Context(), room, timeline.Page{From: &back.End, Limit: 10})
	h.OK(err)
	want := roomstest.IDs(back.Events)
	slices.Reverse(want)
	matrixtest.Equal(t, "there and back", roomstest.IDs(forth.Events), want)
	if forth.More {
		t.Error("there is more than everything")
	}
	start, err := h.Rooms.Timeline.For(alice).Messages(t.Context(), room, timeline.Page{From: &back.Start, Limit: 10})
	h.OK(err)
	if len(start.Events) != 0 || start.End != start.Start {
		t.Errorf("%d events come after the newest", len(start.Events))
	}
	h.Send(alice, room, "new")
	next, err := h.Rooms.Timeline.For(alice).Messages(t.Context(), room, timeline.Page{From: &forth.End, Limit: 10})
	h.OK(err)
	if len(next.Events) != 1 {
		t.Errorf("%d events are new", len(next.Events))
	}
}

func TestLimits(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	id := h.Send(alice, room, "one")
	for _, limit := range []int{-1 << 62, -1, 0} {
		st, err := h.Rooms.Timeline.For(alice).Messages(t.Context(), room, timeline.Page{Limit: limit})
		h.OK(err)
		if len(st.Events) != 0 || !st.More {
			t.Errorf("with limit %d there are %d events", limit, len(st.Events))
		}
		c, err := h.Rooms.Timeline.For(alice).Context(t.Context(), room, id, limit, nil)
		h.OK(err)
		if c.Event.ID != id || len(c.Before.Events)+len(c.After.Events) != 0 {
			t.Errorf("with limit %d there are %d events around", limit, len(c.Before.Events)+len(c.After.Events))
		}
	}
	st, err := h.Rooms.Timeline.For(alice).Messages(t.Context(), room, timeline.Page{Limit: 1 << 62})
	h.OK(err)
	if len(st.Events) != 7 || st.More {
		t.Errorf("with an enormous limit there are %d events", len(st.Events))
	}
}

func TestRoomsAreNotReadByStrangers(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	id := h.Send(alice, room, "hi")
	for from, enter := range map[string]func(*env, string){"stranger": before["stranger"], "invited": before["invited"], "banned": before["banned"]} {
		room := h.Public()
		id := h.Send(alice, room, "hi")
		enter(h, room)
		_, err := h.Rooms.Timeline.For(bob).Messages(t.Context(), room, timeline.Page{Limit: 1})
		matrixtest.WantCode(t, err, matrix.Forbidden, from+": messages")
		matrixtest.WantCode(t, second(h.Rooms.Timeline.For(bob).Event(t.Context(), room, id)), matrix.NotFound, from+": event")
		_, err = h.Rooms.Timeline.For(bob).Context(t.Context(), room, id, 5, nil)
		matrixtest.WantCode(t, err, matrix.NotFound, from+": context")
	}
	other := h.Public()
	for what, where := range map[string][2]string{
		"of another room": {other, id}, "of no room": {"!none:localhost", id}, "that is none": {room, "$none"},
		"with NUL": {room, "$\x00"}, "not UTF-8": {room, "$\xff"}, "too long": {room, "$" + strings.Repeat("x", 300)}, "empty": {room, ""},
	} {
		matrixtest.WantCode(t, second(h.Rooms.Timeline.For(alice).Event(t.Context(), where[0], where[1])), matrix.NotFound, "event "+what)
		_, err := h.Rooms.Timeline.For(alice).Context(t.Context(), where[0], where[1], 5, nil)
		matrixtest.WantCode(t, err, matrix.NotFound, "context of an event "+what)
	}
	_, err := h.Rooms.Timeline.For(alice).Messages(t.Context(), "!none:localhost", timeline.Page{Limit: 1})
	matrixtest.WantCode(t, err, matrix.Forbidden, "messages of no room")
	_, err = h.Rooms.Timeline.For(alice).Messages(t.Context(), "none", timeline.Page{Limit: 1})
	matrixtest.WantCode(t, err, matrix.InvalidParam, "messages of what is no room ID")
}

func TestInviteeSeesTheInviteAndNothingElse(t *testing.T) {
	h := newEnv(t)
	room := h.withRule("invite")
	h.Send(alice, room, "before")
	h.Invite(alice, room, bob)
	invite, _, err := h.Rooms.Timeline.For(alice).StateEvent(t.Context(), room, event.TypeMember, bob)
	h.OK(err)
	h.Send(alice, room, "after")
	matrixtest.WantCode(t, second(h.Rooms.Timeline.For(bob).Event(t.Context(), room, invite.ID)), "", "the own invite")
	c, err := h.Rooms.Timeline.For(bob).Context(t.Context(), room, invite.ID, 10, nil)
	h.OK(err)
	if n := len(c.Before.Events) + len(c.After.Events) + len(c.State.Events); n != 0 {
		t.Errorf("around the invite %d events are seen", n)
	}
}

func TestContext(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	var sent []string
	for i := range 11 {
		sent = append(sent, h.Send(alice, room, fmt.Sprint(i)))
	}
	reversed := func(list []string) []string {
		list = slices.Clone(list)
		slices.Reverse(list)
		return list
	}
	for _, c := range []struct{ at, limit, from, to int }{
		{5, 4, 3, 8}, {5, 5, 3, 9}, {5, 1, 5, 7}, {5, 0, 5, 6}, {10, 6, 7, 11}, {9, 6, 6, 11},
	} {
		got, err := h.Rooms.Timeline.For(alice).Context(t.Context(), room, sent[c.at], c.limit, nil)
		h.OK(err)
		what := fmt.Sprintf("%d events around %d: ", c.limit, c.at)
		matrixtest.Equal(t, what+"before", roomstest.IDs(got.Before.Events), reversed(sent[c.from:c.at]))
		matrixtest.Equal(t, what+"after", roomstest.IDs(got.After.Events), sent[c.at+1:c.to])
		st, err := h.Rooms.Timeline.For(alice).Messages(t.Context(), room, timeline.Page{From: &got.Before.End, To: &got.After.End, Limit: 100})
		h.OK(err)
		matrixtest.Equal(t, what+"between its tokens", roomstest.IDs(st.Events), sent[c.from:c.to])
	}
}

func TestContextOfTheFirstEvent(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	first := h.History(alice, room)[0]
	c, err := h.Rooms.Timeline.For(alice).Context(t.Context(), room, first.ID, 4, nil)
	h.OK(err)
	if len(c.Before.Events) != 0 || c.Before.More || len(c.After.Events) != 2 || !c.After.More {
		t.Errorf("%d before, %d after", len(c.Before.Events), len(c.After.Events))
	}
	matrixtest.Equal(t, "the state after the last", roomstest.Keys(c.State.Events), []string{"m.room.create|", "m.room.member|" + alice, "m.room.power_levels|"})
}

func TestContextFilter(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.Send(bob, room, "of bob")
	at := h.Send(alice, room, "the one")
	h.SetState(alice, room, "m.room.name", "", `{"name":"n"}`)
	h.Send(bob, room, "of bob again")
	c, err := h.Rooms.Timeline.For(alice).Context(t.Context(), room, at, 20, &timeline.EventFilter{Senders: &[]string{bob}})
	h.OK(err)
	if c.Event.ID != at || len(c.Before.Events) != 2 || len(c.After.Events) != 1 {
		t.Errorf("%d before, %d after", len(c.Before.Events), len(c.After.Events))
	}
	matrixtest.Equal(t, "filtered state", roomstest.Keys(c.State.Events), []string{"m.room.member|" + bob})
	c, err = h.Rooms.Timeline.For(alice).Context(t.Context(), room, at, 20, &timeline.EventFilter{NotRooms: []string{room}})
	h.OK(err)
	if n := len(c.Before.Events) + len(c.After.Events) + len(c.State.Events); n != 0 {
		t.Errorf("%d events of a room that is filtered out", n)
	}
}

func TestContextOfFormerMemberEndsWhereTheyLeft(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	at := h.Send(alice, room, "before")
	h.Leave(bob, room)
	h.SetState(alice, room, "m.room.name", "", `{"name":"secret"}`)
	h.Send(alice, room, "after")
	c, err := h.Rooms.Timeline.For(bob).Context(t.Context(), room, at, 20, nil)
	h.OK(err)
	for _, e := range slices.Concat(c.After.Events, c.State.Events) {
		if e.Type == "m.room.name" || e.Type == "m.room.message" {
			t.Errorf("bob sees %s %s", e.Type, e.Content())
		}
	}
	if len(c.After.Events) != 1 {
		t.Errorf("%d events after, want that of leaving alone", len(c.After.Events))
	}
}

func TestLazyLoadedMembers(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol, dave)
	at := h.Send(bob, room, "one")
	h.Send(bob, room, "two")
	h.Send(carol, room, "three")
	lazy := &timeline.EventFilter{LazyLoadMembers: true, Types: &[]string{"m.room.message"}}
	for _, backward := range []bool{false, true} {
		st, err := h.Rooms.Timeline.For(alice).Messages(t.Context(), room, timeline.Page{Backward: backward, Limit: 10, Filter: lazy})
		h.OK(err)
		matrixtest.Equal(t, "members of a page", roomstest.Members(st.Members.Events), []string{bob + " join", carol + " join"})
	}
	st, err := h.Rooms.Timeline.For(alice).Messages(t.Context(), room, timeline.Page{Limit: 10})
	h.OK(err)
	if st.Members.Events != nil {
		t.Errorf("not asked for, %d members come", len(st.Members.Events))
	}
	c, err := h.Rooms.Timeline.For(alice).Context(t.Context(), room, at, 0, &timeline.EventFilter{LazyLoadMembers: true})
	h.OK(err)
	if list := roomstest.Keys(c.State.Events); !slices.Contains(list, "m.room.member|"+bob) || slices.Contains(list, "m.room.member|"+dave) || len(list) != 6 {
		t.Errorf("the state is %q", list)
	}
}

func TestLazyLoadedMembersAreThoseOfThatTime(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.Send(alice, room, "while bob is here")
	h.Leave(bob, room)
	h.SetState(alice, room, event.TypeMember, alice, `{"membership":"join","displayname":"not for bob"}`)
	for _, backward := range []bool{false, true} {
		st, err := h.Rooms.Timeline.For(bob).Messages(t.Context(), room, timeline.Page{
			Backward: backward, Limit: 10, Filter: &timeline.EventFilter{LazyLoadMembers: true, Senders: &[]string{alice}},
		})
		h.OK(err)
		if len(st.Members.Events) != 1 || strings.Contains(string(st.Members.Events[0].Content()), "not for bob") {
			t.Errorf("bob is shown %v", roomstest.Members(st.Members.Events))
		}
	}
}
