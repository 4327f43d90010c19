package api

import (
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
