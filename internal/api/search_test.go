package api

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

// searchFor searches with the criteria of room events.
func searchFor(c *matrixtest.Client, query string, criteria any) *matrixtest.Response {
	c.T.Helper()
	return c.Do("POST", "/search"+query, map[string]any{"search_categories": map[string]any{"room_events": criteria}})
}

func TestSearch(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	alice.SetState(room, "m.room.name", "", map[string]any{"name": "The café"})
	alice.SendText(room, "before")
	id := bob.SendText(room, "Tomatoes <in> the Café")
	alice.SendText(room, "after")
	answer := searchFor(alice, "", map[string]any{
		"search_term": "cafe tomatoes", "keys": []string{"content.body"}, "order_by": "recent", "include_state": true,
		"event_context": map[string]any{"before_limit": 1, "after_limit": 1, "include_profile": true},
		"groupings":     map[string]any{"group_by": []any{map[string]any{"key": "room_id"}, map[string]any{"key": "sender"}}},
	}).OK()
	events := []any{"search_categories", "room_events"}
	at := func(place ...any) any { return answer.At(append(events[:2:2], place...)...) }
	if at("count") != 1.0 || at("next_batch") != nil || len(at("results").([]any)) != 1 {
		t.Fatalf("got %s", answer.Body)
	}
	result := answer.Event("search_categories", "room_events", "results", 0, "result")
	if result.ID != id || result.RoomID != room || result.Body() != "Tomatoes <in> the Café" || result.Sender != bob.UserID {
		t.Errorf("result %+v", result)
	}
	if rank, _ := at("results", 0, "rank").(float64); rank <= 0 {
		t.Errorf("rank %v", at("results", 0, "rank"))
	}
	around := func(what string) string {
		return matrixtest.Bodies(answer.Events("search_categories", "room_events", "results", 0, "context", what))[0]
	}
	if around("events_before") != "before" || around("events_after") != "after" {
		t.Errorf("context: %s", answer.Body)
	}
	nameless := map[string]any{"displayname": nil, "avatar_url": nil}
	if diff := cmp.Diff(any(nameless), at("results", 0, "context", "profile_info", bob.UserID)); diff != "" {
		t.Error(diff)
	}
	for _, token := range []string{"start", "end"} {
		from, _ := at("results", 0, "context", token).(string)
		alice.Do("GET", matrixtest.Path("rooms", room, "messages")+"?dir=b&limit=3&from="+from, nil).OK()
	}
	if at("groups", "room_id", room, "results", 0) != id || at("groups", "sender", bob.UserID, "order") != 1.0 {
		t.Errorf("groups: %v", at("groups"))
	}
	if states, _ := at("state", room).([]any); len(states) < 5 {
		t.Errorf("state: %v", at("state"))
	}
	highlights, _ := at("highlights").([]any)
	if len(highlights) != 2 || highlights[0] != "tomatoes" || highlights[1] != "café" {
		t.Errorf("highlights %v", highlights)
	}
}

func TestSearchIsPaged(t *testing.T) {
	t.Parallel()
	alice, _, room := shared(t)
	for _, text := range []string{"number one", "number two", "number three"} {
		alice.SendText(room, text)
	}
	criteria := map[string]any{"search_term": "number", "order_by": "recent", "filter": map[string]any{"limit": 2, "rooms": []string{room}}}
	first := searchFor(alice, "", criteria).OK()
	next := first.String("search_categories", "room_events", "next_batch")
	if next == "" {
		t.Fatalf("there is no second page: %s", first.Body)
	}
	second := searchFor(alice, "?next_batch="+next, criteria).OK()
	if got := second.Event("search_categories", "room_events", "results", 0, "result").Body(); got != "number one" {
		t.Errorf("second page: %s", second.Body)
	}
	if got := second.String("search_categories", "room_events", "next_batch"); got != "" {
		t.Errorf("a third page: %q", got)
	}
}

func TestSearchFindsNothing(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	alice.SendText(alice.CreateRoom(nil), "secret")
	answer := searchFor(bob, "", map[string]any{"search_term": "secret"}).OK()
	events := answer.At("search_categories", "room_events").(map[string]any)
	if events["count"] != 0.0 || len(events["results"].([]any)) != 0 || len(events["highlights"].([]any)) != 0 || len(events) != 3 {
		t.Errorf("got %s", answer.Body)
	}
	if got := bob.Do("POST", "/search", `{"search_categories":{"other":{}}}`).OK().At("search_categories").(map[string]any); len(got) != 0 {
		t.Errorf("another category: %v", got)
	}
}

func TestSearchRefusals(t *testing.T) {
	t.Parallel()
	alice, _ := newPair(t)
	alice.Do("POST", "/search", `{}`).Refused(400, "M_MISSING_PARAM")
	alice.Do("POST", "/search", nil).Refused(400, "M_MISSING_PARAM")
	for body, code := range map[string]string{
		`{}`:                                        "M_MISSING_PARAM",
		`{"search_term":""}`:                        "M_MISSING_PARAM",
		`{"search_term":7}`:                         "M_BAD_JSON",
		`{"search_term":"a","order_by":"x"}`:        "M_INVALID_PARAM",
		`{"search_term":"a","keys":["x"]}`:          "M_INVALID_PARAM",
		`{"search_term":"a","keys":"x"}`:            "M_BAD_JSON",
		`{"search_term":"a","filter":{"limit":-1}}`: "M_INVALID_PARAM",
		`{"search_term":"a","groupings":{"group_by":[{"key":"x"}]}}`: "M_INVALID_PARAM",
	} {
		if answer := alice.Do("POST", "/search", `{"search_categories":{"room_events":`+body+`}}`); answer.Status != 400 || answer.Errcode() != code {
			t.Errorf("%s: got %d %s, want %s", body, answer.Status, answer.Body, code)
		}
	}
	searchFor(alice, "?next_batch=x", map[string]any{"search_term": "a"}).Refused(400, "M_INVALID_PARAM")
	searchFor(matrixtest.At(t, alice.BaseURL, alice.HTTP), "", map[string]any{"search_term": "a"}).Refused(401, "M_MISSING_TOKEN")
}

func TestSearchFindsPartsOfChineseTexts(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	id := alice.SendText(room, "明天去东京看樱花 together")
	alice.SendText(room, "东西都在南京")
	edit := alice.SendEvent(room, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": "* fallback", "m.new_content": map[string]any{"msgtype": "m.text", "body": "后天去东京"},
		"m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": id},
	})
	answer := searchFor(bob, "", map[string]any{"search_term": "东京", "order_by": "recent"}).OK()
	for i, want := range []string{edit, id} {
		if got := answer.String("search_categories", "room_events", "results", i, "result", "event_id"); got != want {
			t.Errorf("result %d is %s, want %s: %s", i, got, want, answer.Body)
		}
	}
	if diff := cmp.Diff(any([]any{"东京"}), answer.At("search_categories", "room_events", "highlights")); diff != "" {
		t.Error(diff)
	}
	if n := searchFor(bob, "", map[string]any{"search_term": "京东"}).OK().At("search_categories", "room_events", "count"); n != 0.0 {
		t.Errorf("%v results for what stands nowhere", n)
	}
}

func TestSearchOfAnUpgradedRoomGoesAcross(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	old := bob.SendText(room, "a word of before")
	next := alice.Do("POST", matrixtest.Path("rooms", room, "upgrade"), map[string]any{"new_version": "11"}).OK().String("replacement_room")
	bob.Join(next)
	recent := bob.SendText(next, "a word of now")
	find := func(filter map[string]any) (ids []string) {
		answer := searchFor(bob, "", map[string]any{"search_term": "word", "order_by": "recent", "filter": filter}).OK()
		results, _ := answer.At("search_categories", "room_events", "results").([]any)
		for i := range results {
			ids = append(ids, answer.String("search_categories", "room_events", "results", i, "result", "event_id"))
		}
		return ids
	}
	for _, test := range []struct {
		filter map[string]any
		want   []string
	}{
		{map[string]any{"rooms": []string{next}}, []string{recent, old}},
		{map[string]any{"rooms": []string{room}}, []string{old}},
		{map[string]any{"rooms": []string{next}, "not_rooms": []string{room}}, []string{recent}},
	} {
		if diff := cmp.Diff(test.want, find(test.filter)); diff != "" {
			t.Errorf("%v (-want +got): %s", test.filter, diff)
		}
	}
}
