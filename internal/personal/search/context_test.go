package search_test

import (
	"testing"

	"homeserver/internal/auth"
	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/personal/search"
	"homeserver/internal/rooms/timeline"
)

func TestContext(t *testing.T) {
	h := newEnv(t)
	room, other := h.Public(bob), h.Public()
	for _, body := range []string{"1", "2", "3", "word 4", "5", "word 6", "7"} {
		h.Send(alice, room, body)
		h.Send(alice, other, "elsewhere")
	}
	two, one, none := 2, 1, 0
	r := h.search(bob, search.Criteria{Term: "word", Order: search.OrderRecent, Context: &search.Context{Before: &two, After: &one}})
	matrixtest.Equal(t, "before 6", bodiesOf(r.Results[0].Around.Before), []string{"5", "word 4"})
	matrixtest.Equal(t, "after 6", bodiesOf(r.Results[0].Around.After), []string{"7"})
	matrixtest.Equal(t, "before 4", bodiesOf(r.Results[1].Around.Before), []string{"3", "2"})
	matrixtest.Equal(t, "after 4", bodiesOf(r.Results[1].Around.After), []string{"5"})
	around := r.Results[1].Around
	page, err := h.Rooms.Timeline.For(bob).Messages(t.Context(), room, timeline.Page{Backward: true, From: &around.Start, Limit: 1})
	h.OK(err)
	matrixtest.Equal(t, "history goes on before", bodiesOf(page.Events), []string{"1"})
	page, err = h.Rooms.Timeline.For(bob).Messages(t.Context(), room, timeline.Page{From: &around.End, Limit: 1})
	h.OK(err)
	matrixtest.Equal(t, "history goes on after", bodiesOf(page.Events), []string{"word 6"})

	r = h.search(bob, search.Criteria{Term: "word", Context: &search.Context{Before: &none, After: &none, WithProfiles: true}})
	for _, result := range r.Results {
		a := result.Around
		if len(a.Before)+len(a.After) != 0 || a.Start != result.Event.Place-1 || a.End != result.Event.Place || len(a.Profiles) != 1 {
			t.Errorf("nothing around: %+v", a)
		}
	}
	r = h.search(bob, search.Criteria{Term: "word", Order: search.OrderRecent, Context: &search.Context{}})
	matrixtest.Equal(t, "by default before", bodiesOf(r.Results[0].Around.Before), []string{"5", "word 4", "3", "2", "1"})
	if r = h.search(bob, search.Criteria{Term: "word"}); r.Results[0].Around != nil {
		t.Error("what is around was not asked for")
	}
}

// Clients put what comes before a result into its place as they do for /context.
func TestContextOfAResultIsInTheOrderOfThatOfAnEvent(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	for _, body := range []string{"1", "2", "word", "3", "4"} {
		h.Send(alice, room, body)
	}
	two := 2
	around := h.search(alice, search.Criteria{Term: "word", Context: &search.Context{Before: &two, After: &two}}).Results[0].Around
	c, err := h.Rooms.Timeline.For(alice).Context(t.Context(), room, h.search(alice, search.Criteria{Term: "word"}).Results[0].Event.ID, 4, nil)
	h.OK(err)
	matrixtest.Equal(t, "before", bodiesOf(around.Before), []string{"2", "1"})
	matrixtest.Equal(t, "before, in /context", bodiesOf(c.Before.Events), bodiesOf(around.Before))
	matrixtest.Equal(t, "after, in /context", bodiesOf(c.After.Events), bodiesOf(around.After))
}

func TestContextShowsOnlyWhatMayBeRead(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.set(room, "m.room.history_visibility", "", `{"history_visibility":"joined"}`)
	h.Send(alice, room, "before")
	h.Join(bob, room)
	h.Send(alice, room, "word")
	h.Leave(bob, room)
	h.Send(alice, room, "after")
	h.Join(bob, room)
	two := 2
	r := h.search(bob, search.Criteria{Term: "word", Context: &search.Context{Before: &two}})
	matrixtest.Equal(t, "before", bodiesOf(r.Results[0].Around.Before), []string{"m.room.member", "m.room.history_visibility"})
	matrixtest.Equal(t, "after", bodiesOf(r.Results[0].Around.After), []string{"m.room.member", "m.room.member"})
}

func TestProfilesAreThoseOfTheTime(t *testing.T) {
	h := newEnv(t)
	ctx := t.Context()
	_, err := h.Users.CreateAccount(ctx, auth.NewAccount{Username: "bob"})
	h.OK(err)
	call := func(name string) {
		t.Helper()
		h.OK(h.Profiles.Set(ctx, matrix.Session{UserID: bob}, bob, profileName, []byte(`"`+name+`"`)))
	}
	call("Young Bob")
	room := h.Public(bob)
	h.Send(bob, room, "word one")
	call("Old Bob")
	h.Send(bob, room, "word two")
	h.Send(alice, room, "word three")
	none := 0
	r := h.search(alice, search.Criteria{Term: "word", Order: search.OrderRecent, Context: &search.Context{Before: &none, After: &none, WithProfiles: true}})
	for i, want := range []string{"", "Old Bob", "Young Bob"} {
		profiles := r.Results[i].Around.Profiles
		if len(profiles) != 1 {
			t.Fatalf("%d profiles", len(profiles))
		}
		name, _ := event.StringField(profiles[0].Content(), profileName)
		if name != want {
			t.Errorf("result %d: %q, want %q", i, name, want)
		}
	}
	one := 1
	r = h.search(alice, search.Criteria{Term: `"word one"`, Context: &search.Context{After: &one, WithProfiles: true}})
	if n := len(r.Results[0].Around.Profiles); n != 2 { // bob and, before him, alice
		t.Errorf("%d profiles", n)
	}
}

const profileName = "displayname"

func TestStateIsWhatTheUserMayKnow(t *testing.T) {
	h := newEnv(t)
	room, other := h.Public(bob), h.Public(bob)
	h.Send(alice, room, "word one")
	h.Send(alice, room, "word two")
	h.Send(alice, other, "nothing")
	h.set(room, "m.room.name", "", `{"name":"then"}`)
	h.Leave(bob, room)
	h.set(room, "m.room.name", "", `{"name":"now"}`)
	name := func(user string) string {
		t.Helper()
		r := h.search(user, search.Criteria{Term: "word", WithState: true})
		if len(r.State) != 1 {
			t.Errorf("state of %d rooms", len(r.State))
		}
		for _, e := range r.State[room].Events {
			if e.IsState("m.room.name", "") {
				return textOf(e)
			}
		}
		return ""
	}
	if got := name(alice); got != "now" {
		t.Errorf("a member: %q", got)
	}
	if got := name(bob); got != "then" {
		t.Errorf("who has left: %q", got)
	}
	if r := h.search(alice, search.Criteria{Term: "word"}); r.State != nil {
		t.Error("the state was not asked for")
	}
}
