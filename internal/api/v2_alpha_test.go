package api

import (
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrixtest"
)

const prefixV2Alpha = "/_matrix/client/v2_alpha"

// newV2Alpha returns two users with clients of v2_alpha. That generation had no endpoint
// to create rooms, so they use the one of api/v1.
func newV2Alpha(t *testing.T) (alice, bob, aliceV1, bobV1 *matrixtest.Client) {
	t.Helper()
	anyone := newServer(t)
	anyone.Prefix = prefixV2Alpha
	alice, bob = anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	one, two := *alice, *bob
	one.Prefix, two.Prefix = prefixV1, prefixV1
	return alice, bob, &one, &two
}

// idsAt lists the event IDs at a place.
func idsAt(r *matrixtest.Response, place ...any) []string {
	list, _ := r.At(place...).([]any)
	ids := []string{}
	for _, id := range list {
		text, _ := id.(string)
		ids = append(ids, text)
	}
	return ids
}

func TestV2AlphaSync(t *testing.T) {
	t.Parallel()
	alice, bob, aliceV1, bobV1 := newV2Alpha(t)
	room, left, private := aliceV1.CreateRoom(openRoom), aliceV1.CreateRoom(openRoom), aliceV1.CreateRoom(`{"name":"Cellar"}`)
	bobV1.Join(room)
	bobV1.Join(left)
	numbered(aliceV1, room, 10)
	said := aliceV1.SendText(room, "hello")
	change(aliceV1, private, "invite", whom(bob)).OK()
	alice.Do("POST", matrixtest.Path("rooms", room, "receipt", "m.read", said), `{}`).OK()
	bob.Do("PUT", matrixtest.Path("user", bob.UserID, "rooms", room, "tags", "u.work"), `{}`).OK()
	aliceV1.Do("PUT", matrixtest.Path("rooms", room, "typing", alice.UserID), `{"typing":true,"timeout":60000}`).OK()

	answer := bob.Sync("")
	for _, test := range []struct {
		place []any
		want  []string
	}{
		{nil, []string{
			"account_data", "device_one_time_keys_count", "device_unused_fallback_key_types", "next_batch",
			"org.matrix.msc2732.device_unused_fallback_key_types", "presence", "rooms", "to_device",
		}},
		{[]any{"rooms"}, []string{"archived", "invited", "joined"}},
		{[]any{"rooms", "invited", private}, []string{"invite_state"}},
		{[]any{"rooms", "joined", room}, []string{"account_data", "ephemeral", "event_map", "state", "timeline"}},
		{[]any{"rooms", "joined", room, "timeline"}, []string{"events", "limited", "prev_batch"}},
	} {
		if diff := cmp.Diff(test.want, keysAt(answer, test.place...)); diff != "" {
			t.Errorf("%v: %s", test.place, diff)
		}
	}
	in := func(place ...any) []any { return append([]any{"rooms", "joined", room}, place...) }
	timeline, state := idsAt(answer, in("timeline", "events")...), idsAt(answer, in("state", "events")...)
	if last := timeline[len(timeline)-1]; last != said || len(state) == 0 {
		t.Errorf("timeline %v, state %v", timeline, state)
	}
	for _, id := range slices.Concat(timeline, state) {
		if answer.String(in("event_map", id, "type")...) == "" || answer.At(in("event_map", id, "event_id")...) != nil {
			t.Errorf("%s in the map: %v", id, answer.At(in("event_map", id)...))
		}
	}
	if n := len(keysAt(answer, in("event_map")...)); n != len(timeline)+len(state) {
		t.Errorf("there are %d events in the map, for %d", n, len(timeline)+len(state))
	}
	for i, typ := range []string{"m.receipt", "m.typing"} {
		if answer.String(in("ephemeral", "events", i, "type")...) != typ || answer.String(in("ephemeral", "events", i, "room_id")...) != room {
			t.Errorf("ephemeral: %v", answer.At(in("ephemeral")...))
		}
	}

	change(bobV1, left, "leave", `{}`).OK()
	aliceV1.SendText(room, "again")
	next := bob.Sync(answer.NextBatch())
	if diff := cmp.Diff([]string{"account_data", "event_map", "state", "timeline"}, keysAt(next, "rooms", "archived", left)); diff != "" {
		t.Errorf("archived: %s", diff)
	}
	if ids := idsAt(next, in("timeline", "events")...); len(ids) != 1 || next.String(in("event_map", ids[0], "content", "body")...) != "again" {
		t.Errorf("what is new: %s", next.Body)
	}
	idle := bob.Do("GET", "/sync?timeout=0&set_presence=offline&since="+next.NextBatch(), nil).OK()
	if len(keysAt(idle, "rooms", "joined"))+len(keysAt(idle, "rooms", "archived")) != 0 {
		t.Errorf("nothing has happened: %s", idle.Body)
	}
}

func TestV2AlphaSyncTakesAFilterByID(t *testing.T) {
	t.Parallel()
	alice, _, aliceV1, _ := newV2Alpha(t)
	room := aliceV1.CreateRoom(nil)
	for _, text := range []string{"1", "2", "3"} {
		aliceV1.SendText(room, text)
	}
	filters := matrixtest.Path("user", alice.UserID, "filter")
	id := alice.Do("POST", filters, `{"room":{"timeline":{"limit":2}},"event_fields":["content.body"]}`).OK().String("filter_id")
	alice.Do("GET", filters+"/"+id, nil).OK()
	answer := alice.Sync("", "filter", id)
	ids := idsAt(answer, "rooms", "joined", room, "timeline", "events")
	if len(ids) != 2 || answer.At("rooms", "joined", room, "timeline", "limited") != true {
		t.Errorf("the timeline: %s", answer.Body)
	}
	if diff := cmp.Diff(map[string]any{"content": map[string]any{"body": "3"}}, answer.At("rooms", "joined", room, "event_map", ids[1])); diff != "" {
		t.Error(diff)
	}
	alice.Do("GET", "/sync?filter=999", nil).Refused(400, "M_INVALID_PARAM")
}

func TestV2AlphaIsServedUnderBothOfItsNames(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	for i, prefix := range httpapi.OnlyV2Alpha {
		anyone.Prefix = prefix.Path
		user := anyone.Register("user"+strconv.Itoa(i), "wordpass")
		user.Do("PUT", matrixtest.Path("user", user.UserID, "account_data", "org.example"), `{"a":1}`).OK()
		if user.Sync("").String("account_data", "events", 0, "type") == "" {
			t.Errorf("%s: no account data", prefix.Path)
		}
		user.Do("POST", "/tokenrefresh", `{}`).Refused(403, "M_UNKNOWN")
		user.Do("GET", "/stream", nil).Refused(403, "M_UNKNOWN")
	}
}
