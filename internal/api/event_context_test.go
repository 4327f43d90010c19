package api

import (
	"fmt"
	"net/url"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

func TestContext(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	var ids []string
	for _, text := range []string{"1", "2", "3", "4", "5", "6", "7"} {
		ids = append(ids, alice.SendText(room, text))
	}
	path := matrixtest.Path("rooms", room, "context", ids[3])
	answer := bob.Do("GET", path+"?limit=4", nil).OK()
	if got := answer.Event("event"); got.ID != ids[3] || got.RoomID != room {
		t.Errorf("event: %+v", got)
	}
	if diff := cmp.Diff([]string{"3", "2"}, matrixtest.Bodies(answer.Events("events_before"))); diff != "" {
		t.Errorf("events_before, the newest first: %s", diff)
	}
	if diff := cmp.Diff([]string{"5", "6"}, matrixtest.Bodies(answer.Events("events_after"))); diff != "" {
		t.Errorf("events_after: %s", diff)
	}
	if got := typesOf(answer.Events("state")); !slices.Contains(got, "m.room.create") || !slices.Contains(got, "m.room.member @bob:localhost") {
		t.Errorf("state: %q", got)
	}
	older, _ := pagesOf(bob, room, answer.String("start"), "dir=b")
	newer, _ := pagesOf(bob, room, answer.String("end"), "dir=f")
	if diff := cmp.Diff([]string{"1"}, matrixtest.Bodies(older)); diff != "" {
		t.Errorf("from start backward: %s", diff)
	}
	if diff := cmp.Diff([]string{"7"}, matrixtest.Bodies(newer)); diff != "" {
		t.Errorf("from end forward: %s", diff)
	}
}

func TestContextLimitsAndFilters(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	bob.SendText(room, "his")
	id := alice.SendText(room, "hers")
	bob.SendText(room, "his too")
	path := matrixtest.Path("rooms", room, "context", id)
	get := func(query string) *matrixtest.Response { return alice.Do("GET", path+"?"+query, nil) }

	none := get("limit=0").OK()
	if len(none.Events("events_before"))+len(none.Events("events_after")) != 0 || none.Event("event").ID != id {
		t.Errorf("limit=0: %s", none.Body)
	}
	if all := get("limit=99999999999999999999").OK(); len(all.Events("events_before")) != 8 || len(all.Events("events_after")) != 1 {
		t.Errorf("a huge limit: %d before, %d after", len(all.Events("events_before")), len(all.Events("events_after")))
	}
	filtered := get("filter=" + url.QueryEscape(`{"senders":["@alice:localhost"],"types":["m.room.m*"],"lazy_load_members":true}`)).OK()
	if diff := cmp.Diff([]string{"m.room.member @alice:localhost"}, typesOf(filtered.Events("events_before"))); diff != "" {
		t.Errorf("filtered before: %s", diff)
	}
	if got := filtered.Events("events_after"); len(got) != 0 {
		t.Errorf("filtered after: %v", got)
	}
	if diff := cmp.Diff([]string{"m.room.member @alice:localhost"}, typesOf(filtered.Events("state"))); diff != "" {
		t.Errorf("lazily loaded state: %s", diff)
	}
	for _, query := range []string{"limit=-1", "limit=abc", "limit=1.5", "filter=" + url.QueryEscape(`{"limit":-1}`)} {
		get(query).Refused(400, "M_INVALID_PARAM")
	}
	get("filter=garbage").Refused(400, "M_NOT_JSON")
}

// The events next to the ends of the room have fewer around them, and the tokens lead on
// from there.
func TestContextAtTheEndsOfARoom(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	numbered(alice, room, 3)
	all := idsOf(history(bob, room))
	for i, id := range all {
		for limit := range 5 {
			answer := bob.Do("GET", matrixtest.Path("rooms", room, "context", id)+fmt.Sprint("?limit=", limit), nil).OK()
			before := min(limit/2, i)
			after := min(limit-limit/2, len(all)-1-i)
			around := answer.Events("events_before")
			slices.Reverse(around)
			got := idsOf(slices.Concat(around, []matrixtest.Event{answer.Event("event")}, answer.Events("events_after")))
			if diff := cmp.Diff(all[i-before:i+after+1], got); diff != "" {
				t.Errorf("event %d, limit %d (-want +got): %s", i, limit, diff)
			}
			older, _ := pagesOf(bob, room, answer.String("start"), "dir=b&limit=100")
			slices.Reverse(older)
			newer, _ := pagesOf(bob, room, answer.String("end"), "dir=f&limit=100")
			if diff := cmp.Diff(all, slices.Concat(idsOf(older), got, idsOf(newer))); diff != "" {
				t.Errorf("event %d, limit %d, with the pages before and after: %s", i, limit, diff)
			}
		}
	}
}

// The state is that after the last event, with the members who have sent what is shown.
func TestContextLoadsMembersLazily(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	carol := bob.Register("carol", "wordpass")
	carol.Join(room)
	dave := bob.Register("dave", "wordpass")
	dave.Join(room)
	bob.SendText(room, "before")
	id := alice.SendText(room, "the event")
	carol.SendText(room, "after")
	alice.SetState(room, "m.room.topic", "", map[string]any{"topic": "later"})
	dave.SendText(room, "later")
	carol.Do("PUT", matrixtest.Path("profile", carol.UserID, "displayname"), `{"displayname":"Later"}`).OK()
	path := matrixtest.Path("rooms", room, "context", id) + "?filter=" + url.QueryEscape(`{"lazy_load_members":true}`)
	members := func(limit int) (list []string) {
		for _, e := range bob.Do("GET", path+fmt.Sprint("&limit=", limit), nil).OK().Events("state") {
			switch {
			case e.Type == "m.room.member":
				list = append(list, *e.StateKey)
			case e.Type == "m.room.topic":
				list = append(list, "topic")
			}
		}
		slices.Sort(list)
		return list
	}
	for limit, want := range map[int][]string{
		0: {alice.UserID}, 1: {alice.UserID, carol.UserID}, 2: {alice.UserID, bob.UserID, carol.UserID},
		6: {alice.UserID, bob.UserID, carol.UserID, dave.UserID, "topic"},
	} {
		if diff := cmp.Diff(want, members(limit)); diff != "" {
			t.Errorf("limit %d (-want +got): %s", limit, diff)
		}
	}
	for _, e := range bob.Do("GET", path+"&limit=2", nil).OK().Events("state") {
		if e.Type == "m.room.member" && *e.StateKey == carol.UserID && e.Content["displayname"] == "Later" {
			t.Errorf("carol as of later: %v", e.Content)
		}
	}
}
