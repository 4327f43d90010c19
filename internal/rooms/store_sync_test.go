package rooms_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// stateAt works out the state of a room from its whole history.
func stateAt(history []*timeline.Event, at timeline.Place) map[event.StateKey]*timeline.Event {
	state := map[event.StateKey]*timeline.Event{}
	for _, e := range history {
		if e.Place <= at && e.StateKey != nil {
			state[event.StateKey{Type: e.Type, Key: *e.StateKey}] = e
		}
	}
	return state
}

// sortedIDs returns the IDs of events that pass, in the order of places.
func sortedIDs(state map[event.StateKey]*timeline.Event, pass func(e *timeline.Event) bool) []string {
	var list []*timeline.Event
	for _, e := range state {
		if pass(e) {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b *timeline.Event) int { return int(a.Place - b.Place) })
	return roomstest.IDs(list)
}

func everything(*timeline.Event) bool { return true }

// described returns a room with much history, of which the recent part is in memory, and that
// history as its creator sees it.
func (h *env) described(seed uint64) (nid journal.RoomNID, history []*timeline.Event) {
	h.T.Helper()
	history = h.History(alice, h.long(rand.New(rand.NewPCG(seed, 17))))
	h.OK(h.Rooms.Timeline.Recall(h.T.Context(), []journal.RoomNID{history[0].Room}))
	return history[0].Room, history
}

// either returns the store, or the one that reads from the database alone.
func (h *env) either(random *rand.Rand) *timeline.Store {
	if random.IntN(2) == 0 {
		return h.Rooms.Timeline
	}
	return h.Rooms.Timeline.Stored()
}

func TestStateOfManyRoomsAtAnyTime(t *testing.T) {
	h := newEnv(t)
	one, first := h.described(1)
	two, second := h.described(2)
	random := rand.New(rand.NewPCG(3, 4))
	end := int(h.Journal.Position())
	for range 40 {
		a, b := timeline.PlaceOf(journal.Position(random.IntN(end+2))), timeline.PlaceOf(journal.Position(random.IntN(end+2)))
		f := &timeline.EventFilter{Types: &[]string{"m.room.*"}, NotTypes: []string{"m.room.name"}}
		got, err := h.either(random).States(t.Context(), []timeline.RoomAt{{Room: one, At: a}, {Room: two, At: b}}, f, false)
		h.OK(err)
		pass := func(e *timeline.Event) bool { return e.Type != event.TypeMember && f.Match(e) }
		want := append(sortedIDs(stateAt(first, a), pass), sortedIDs(stateAt(second, b), pass)...)
		slices.Sort(want)
		sorted := roomstest.IDs(got.All().Events)
		slices.Sort(sorted)
		matrixtest.Equal(t, fmt.Sprintf("state at %d and %d", a, b), sorted, want)
		got, err = h.either(random).States(t.Context(), []timeline.RoomAt{{Room: one, At: a}}, nil, true)
		h.OK(err)
		matrixtest.Equal(t, fmt.Sprintf("state at %d", a), roomstest.IDs(got[one].Events), sortedIDs(stateAt(first, a), everything))
	}
}

func TestStateChangesBetweenTwoTimes(t *testing.T) {
	h := newEnv(t)
	nid, history := h.described(5)
	random := rand.New(rand.NewPCG(6, 7))
	end := int(h.Journal.Position())
	for range 80 {
		cut := []timeline.Place{timeline.PlaceOf(journal.Position(random.IntN(end))), timeline.PlaceOf(journal.Position(random.IntN(end))), timeline.PlaceOf(journal.Position(random.IntN(end)))}
		slices.Sort(cut)
		since, start, upTo := cut[0], cut[1]+1, cut[2]
		want := map[string]bool{}
		for _, state := range []map[event.StateKey]*timeline.Event{stateAt(history, start-1), stateAt(history, upTo)} {
			for _, e := range state {
				if e.Place > since {
					want[e.ID] = true
				}
			}
		}
		got, err := h.either(random).StateChanges(t.Context(), []timeline.Delta{{Room: nid, Since: since, Start: start, UpTo: upTo}})
		h.OK(err)
		for _, at := range got[nid].Intervals {
			if !want[at.Event.ID] || !at.IsByEvent() {
				t.Errorf("after %d, before %d or at %d: %+v is no change", since, start, upTo, at)
			}
			delete(want, at.Event.ID)
		}
		if len(want) > 0 {
			t.Errorf("after %d, before %d or at %d: %d changes are missing", since, start, upTo, len(want))
		}
	}
}

func TestNewestEventsOfManyRooms(t *testing.T) {
	h := newEnv(t)
	one, first := h.described(8)
	two, second := h.described(9)
	random := rand.New(rand.NewPCG(10, 11))
	end := int(h.Journal.Position())
	for range 60 {
		var windows []timeline.Window
		var want []*timeline.Event
		limit := random.IntN(6)
		f := &timeline.EventFilter{NotTypes: []string{"m.room.name"}}
		for nid, history := range map[journal.RoomNID][]*timeline.Event{one: first, two: second} {
			low, high := timeline.PlaceOf(journal.Position(random.IntN(end))), timeline.PlaceOf(journal.Position(random.IntN(end)))
			windows = append(windows, timeline.Window{Room: nid, Range: timeline.Range{From: low, To: high}})
			within := slices.DeleteFunc(slices.Clone(history), func(e *timeline.Event) bool {
				return e.Place < low || e.Place > high || !f.Match(e)
			})
			want = append(want, within[max(0, len(within)-limit-1):]...)
		}
		slices.SortFunc(want, func(a, b *timeline.Event) int { return int(b.Place - a.Place) })
		got, err := h.either(random).Timelines(t.Context(), windows, limit, f)
		h.OK(err)
		list := got.All().Events
		slices.SortFunc(list, func(a, b *timeline.Event) int { return int(b.Place - a.Place) })
		matrixtest.Equal(t, fmt.Sprintf("%+v", windows), roomstest.IDs(list), roomstest.IDs(want))
	}
}

func TestMemberEventsAtAnyTime(t *testing.T) {
	h := newEnv(t)
	nid, history := h.described(12)
	random := rand.New(rand.NewPCG(13, 14))
	for at := timeline.Place(0); at <= timeline.PlaceOf(h.Journal.Position()); at += timeline.PlaceOf(7) {
		var places []timeline.MemberAt
		for _, user := range []string{alice, bob, "@nobody:localhost"} {
			places = append(places, timeline.MemberAt{RoomAt: timeline.RoomAt{Room: nid, At: at}, User: user})
		}
		got, err := h.either(random).MemberEvents(t.Context(), places, nil)
		h.OK(err)
		matrixtest.Equal(t, fmt.Sprintf("members at %d", at), roomstest.IDs(got[nid].Events), sortedIDs(stateAt(history, at), func(e *timeline.Event) bool {
			return e.IsState(event.TypeMember, alice) || e.IsState(event.TypeMember, bob)
		}))
	}
}

func TestStrippedStateIsWhatTheSpecificationLists(t *testing.T) {
	h := newEnv(t)
	room := h.Create(alice, rooms.CreateRequest{Name: "n", Topic: "t", AliasName: "a", Invite: []string{bob, carol}})
	for _, evType := range []string{"m.room.avatar", "m.room.encryption", "org.example.secret"} {
		h.SetState(alice, room, evType, "", `{}`)
	}
	h.SetState(alice, room, "m.room.name", "other", `{"name":"of something else"}`)
	nid := h.History(alice, room)[0].Room
	got, err := h.Rooms.Timeline.Stripped(t.Context(), []timeline.RoomAt{{Room: nid, At: timeline.PlaceOf(h.Journal.Position())}}, bob)
	h.OK(err)
	matrixtest.Equal(t, "stripped", roomstest.Keys(got.Events), []string{
		"m.room.create|", "m.room.member|" + alice, "m.room.canonical_alias|", "m.room.join_rules|", "m.room.name|", "m.room.topic|",
		"m.room.member|" + bob, "m.room.avatar|", "m.room.encryption|",
	})
}

func TestSummaries(t *testing.T) {
	h := newEnv(t)
	user := func(i int) string { return fmt.Sprintf("@user%d:localhost", i) }
	room := h.Public()
	nid := h.History(alice, room)[0].Room
	summary := func() timeline.Summary {
		t.Helper()
		h.OK(h.Rooms.Timeline.Recall(t.Context(), []journal.RoomNID{nid}))
		list, err := h.Rooms.Timeline.Summaries(t.Context(), []journal.RoomNID{nid}, alice)
		h.OK(err)
		stored, err := h.Rooms.Timeline.Stored().Summaries(t.Context(), []journal.RoomNID{nid}, alice)
		h.OK(err)
		matrixtest.Equal(t, "from the database", []string{fmt.Sprintf("%+v", stored)}, []string{fmt.Sprintf("%+v", list)})
		if len(list) != 1 || list[0].Room != nid {
			t.Fatalf("got %+v", list)
		}
		return list[0]
	}
	if s := summary(); s.Joined != 1 || s.Invited != 0 || len(s.Heroes) != 0 {
		t.Errorf("alone: %+v", s)
	}
	for i := range 7 {
		h.Join(user(i), room)
	}
	h.Invite(alice, room, user(7))
	s := summary()
	matrixtest.Equal(t, "heroes", s.Heroes, []string{user(0), user(1), user(2), user(3), user(4)})
	if s.Joined != 8 || s.Invited != 1 {
		t.Errorf("full: %+v", s)
	}
	for i := range 7 {
		h.Leave(user(i), room)
	}
	matrixtest.Equal(t, "the invited hero", summary().Heroes, []string{user(7)})
	h.Leave(user(7), room)
	matrixtest.Equal(t, "who has left", summary().Heroes, []string{user(0), user(1), user(2), user(3), user(4)})
}

func TestStandings(t *testing.T) {
	h := newEnv(t)
	joined, left, gone := h.Public(bob), h.Public(bob), h.Public(bob)
	h.Public()
	h.SetState(alice, joined, "m.room.history_visibility", "", `{"history_visibility":"joined"}`)
	h.Leave(bob, left)
	h.Leave(bob, gone)
	h.OK(h.Rooms.Forget(t.Context(), bob, gone))
	standings, err := h.Rooms.Timeline.Standings(t.Context(), bob)
	h.OK(err)
	got := map[string]string{}
	for _, s := range standings {
		last := s.Memberships[len(s.Memberships)-1].Value
		got[s.RoomID] = fmt.Sprintf("%s %v %d", last, s.Forgotten, len(s.Visibilities))
	}
	want := map[string]string{joined: "join false 2", left: "leave false 1", gone: "leave true 0"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	visibilities, err := h.Rooms.Timeline.Visibilities(t.Context(), standings[0].Room)
	h.OK(err)
	if len(visibilities) != 2 || visibilities[0].Value != "shared" || visibilities[1].Value != "joined" {
		t.Errorf("visibilities are %+v", visibilities)
	}
}
