package api

import (
	"fmt"
	"net/url"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

// numbered sends messages with the numbers 1 to n as text.
func numbered(c *matrixtest.Client, room string, n int) []string {
	c.T.Helper()
	texts := make([]string, n)
	for i := range n {
		texts[i] = fmt.Sprint(i + 1)
		c.SendText(room, texts[i])
	}
	return texts
}

// pagesOf reads history from a token, which may be empty, page by page to its end.
func pagesOf(c *matrixtest.Client, room, from, query string) (events []matrixtest.Event, count int) {
	c.T.Helper()
	path := matrixtest.Path("rooms", room, "messages") + "?" + query
	for count < 100 {
		answer := c.Do("GET", path+"&from="+from, nil).OK()
		count++
		events = append(events, answer.Events("chunk")...)
		if from = answer.String("end"); from == "" {
			return events, count
		}
	}
	c.T.Fatal("history has no end")
	return nil, 0
}

func TestMessagesPageByPage(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	numbered(alice, room, 10)
	all := idsOf(history(bob, room))
	if len(all) != 17 {
		t.Fatalf("%d events, want 17", len(all))
	}
	for limit, want := range map[string]int{"1": 17, "2": 9, "3": 6, "16": 2, "17": 1, "1000": 1, "99999999999999999999": 1} {
		forward, count := pagesOf(bob, room, "", "dir=f&limit="+limit)
		if diff := cmp.Diff(all, idsOf(forward)); diff != "" || count != want {
			t.Errorf("forward by %s: %d pages, want %d: %s", limit, count, want, diff)
		}
		backward, count := pagesOf(bob, room, "", "dir=b&limit="+limit)
		slices.Reverse(backward)
		if diff := cmp.Diff(all, idsOf(backward)); diff != "" || count != want {
			t.Errorf("backward by %s: %d pages, want %d: %s", limit, count, want, diff)
		}
	}
	if answer := bob.Do("GET", matrixtest.Path("rooms", room, "messages")+"?dir=b", nil).OK(); len(answer.Events("chunk")) != 10 {
		t.Errorf("the default limit: %d events", len(answer.Events("chunk")))
	}
	// Pages of nothing would never end.
	if answer := bob.Do("GET", matrixtest.Path("rooms", room, "messages")+"?dir=b&limit=0", nil).OK(); len(answer.Events("chunk")) != 1 {
		t.Errorf("limit=0: %s", answer.Body)
	}
}

func TestMessagesContinueSync(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	texts := numbered(alice, room, 8)
	answer := bob.Sync("", "filter", `{"room":{"timeline":{"limit":3}}}`)
	newer := matrixtest.Bodies(answer.Timeline(room))
	older, _ := pagesOf(bob, room, answer.String("rooms", "join", room, "timeline", "prev_batch"), "dir=b&limit=2")
	slices.Reverse(older)
	if diff := cmp.Diff(texts, append(matrixtest.Bodies(older), newer...)); diff != "" || len(newer) != 3 {
		t.Error(diff)
	}
	// From next_batch forward there are only later events.
	alice.SendText(room, "later")
	later, _ := pagesOf(bob, room, answer.NextBatch(), "dir=f")
	if diff := cmp.Diff([]string{"later"}, matrixtest.Bodies(later)); diff != "" || len(later) != 1 {
		t.Errorf("forward: %s", diff)
	}
	// And backward to it.
	back, _ := pagesOf(bob, room, "", "dir=b&limit=1&to="+answer.NextBatch())
	if diff := cmp.Diff([]string{"later"}, matrixtest.Bodies(back)); diff != "" || len(back) != 1 {
		t.Errorf("backward to a token: %s", diff)
	}
	start := bob.Do("GET", matrixtest.Path("rooms", room, "messages")+"?dir=f&from="+answer.NextBatch(), nil).OK()
	if got := start.String("start"); got != answer.NextBatch() {
		t.Errorf("start %q, want the token given: %q", got, answer.NextBatch())
	}
}

// Old clients and scripts send no dir, and go on from the end of each answer until
// one has nothing in it.
func TestOldClientsReadMessagesWithoutDirToAnEndThatIsNotThere(t *testing.T) {
	t.Parallel()
	alice, _, room := shared(t)
	numbered(alice, room, 3)
	all := idsOf(history(alice, room))
	for _, prefix := range []string{"/_matrix/client/r0", "/_matrix/client/api/v1"} {
		alice.Prefix = prefix
		for _, dir := range []string{"", "&dir=f", "&dir=b"} {
			var got []string
			from, path := "", matrixtest.Path("rooms", room, "messages")+"?limit=4"+dir
			for page := 0; ; page++ {
				answer := alice.Do("GET", path+"&from="+from, nil).OK()
				events := answer.Events("chunk")
				got = append(got, idsOf(events)...)
				if from = answer.String("end"); from == "" || page > 10 {
					t.Fatalf("%s%s: page %d has no end: %s", prefix, dir, page, answer.Body)
				}
				if len(events) == 0 {
					break
				}
			}
			if dir == "&dir=b" {
				slices.Reverse(got)
			}
			if diff := cmp.Diff(all, got); diff != "" {
				t.Errorf("%s%s: %s", prefix, dir, diff)
			}
		}
		alice.Do("GET", matrixtest.Path("rooms", room, "messages")+"?dir=x", nil).Refused(400, "M_INVALID_PARAM")
	}
}

func TestMessagesFilter(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	alice.SendText(room, "hers")
	bob.SendText(room, "his")
	alice.SendEvent(room, "m.room.message", map[string]any{"msgtype": "m.image", "body": "picture", "url": "mxc://localhost/cat"})
	alice.SendEvent(room, "org.example.a_b", map[string]any{})
	read := func(filter string) *matrixtest.Response {
		return alice.Do("GET", matrixtest.Path("rooms", room, "messages")+"?dir=f&limit=100&filter="+url.QueryEscape(filter), nil)
	}
	for filter, want := range map[string][]string{
		`{"types":["m.room.message"]}`:                             {"hers", "his", "picture"},
		`{"types":["m.room.mess*"],"senders":["@bob:localhost"]}`:  {"his"},
		`{"not_senders":["@alice:localhost"]}`:                     {"his"},
		`{"contains_url":true}`:                                    {"picture"},
		`{"contains_url":false,"not_types":["m.room.[a-z]*"]}`:     {"hers", "his"},
		`{"not_types":["*"]}`:                                      {},
		`{"rooms":[]}`:                                             {},
		`{"not_rooms":["` + room + `"]}`:                           {},
		`{"rooms":["` + room + `"],"types":["m.room.message"]}`:    {"hers", "his", "picture"},
		`{"types":[]}`:                                             {},
		`{"unknown":1,"types":["m.room.message"],"senders":[]}`:    {},
		`{"types":["m%room%message","m_room_message","m.r\\oom"]}`: {},
	} {
		answer := read(filter).OK()
		if diff := cmp.Diff(want, matrixtest.Bodies(answer.Events("chunk"))); diff != "" {
			t.Errorf("%s: %s", filter, diff)
		}
	}
	if got := read(`{"types":["org.example.a_b"]}`).OK().Events("chunk"); len(got) != 1 {
		t.Errorf("_ in a type: %v", got)
	}
	if got := read(`{"types":["org.example.axb"],"limit":5}`).OK().Events("chunk"); len(got) != 0 {
		t.Errorf("_ is no wildcard: %v", got)
	}
	members := read(`{"lazy_load_members":true,"types":["m.room.message"]}`).OK().Events("state")
	if diff := cmp.Diff([]string{"alice", "bob"}, namesIn(members)); diff != "" {
		t.Errorf("lazily loaded members: %s", diff)
	}
	for filter, code := range map[string]string{
		`{`: "M_NOT_JSON", `x`: "M_NOT_JSON", `0`: "M_BAD_JSON", `[]`: "M_BAD_JSON", `{"types":"m.room.message"}`: "M_BAD_JSON", `{"limit":"1"}`: "M_BAD_JSON",
		`{"limit":-1}`: "M_INVALID_PARAM", `{"types":["\u0000"]}`: "M_INVALID_PARAM", `{"senders":["\u0000"]}`: "M_INVALID_PARAM", `{"types":["a"],"types":["b"]}`: "M_BAD_JSON",
	} {
		read(filter).Refused(400, code)
	}
}

func TestMessagesRefusals(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	stranger := alice.Register("stranger", "wordpass")
	path := matrixtest.Path("rooms", room, "messages")
	alice.Do("GET", path, nil).Refused(400, "M_MISSING_PARAM")
	for _, query := range []string{
		"dir=x", "dir=F", "dir=b&limit=abc", "dir=b&limit=-1", "dir=b&limit=1.5", "dir=b&from=x", "dir=b&from=s999999", "dir=b&to=t1", "dir=b&from=%00", "dir=b&x=%zz",
	} {
		alice.Do("GET", path+"?"+query, nil).Refused(400, "M_INVALID_PARAM")
	}
	stranger.Do("GET", path+"?dir=b", nil).Refused(403, "M_FORBIDDEN")
	alice.Do("GET", matrixtest.Path("rooms", "!none:localhost", "messages")+"?dir=b", nil).Refused(403, "M_FORBIDDEN")
	alice.Do("GET", matrixtest.Path("rooms", "none", "messages")+"?dir=b", nil).Refused(400, "M_INVALID_PARAM")

	bob.Do("POST", matrixtest.Path("rooms", room, "leave"), nil).OK()
	alice.SendText(room, "without him")
	if events := history(bob, room); len(events) != 8 || events[7].Content["membership"] != "leave" {
		t.Errorf("who has left reads %q", typesOf(events))
	}
	bob.Do("POST", matrixtest.Path("rooms", room, "forget"), nil).OK()
	bob.Do("GET", path+"?dir=b", nil).Refused(403, "M_FORBIDDEN")
}

func TestMessagesOfAWorldReadableRoom(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	room := alice.CreateRoom(nil)
	alice.SendText(room, "secret")
	alice.SetState(room, "m.room.history_visibility", "", map[string]any{"history_visibility": "world_readable"})
	id := alice.SendText(room, "for all")
	if diff := cmp.Diff([]string{"for all"}, matrixtest.Bodies(history(bob, room))); diff != "" {
		t.Error(diff)
	}
	bob.Do("GET", matrixtest.Path("rooms", room, "event", id), nil).OK()
	bob.Do("GET", matrixtest.Path("rooms", room, "context", id), nil).OK()
	bob.Do("PUT", matrixtest.Path("rooms", room, "send", "m.room.message", "1"), hello).Refused(403, "M_FORBIDDEN")
}
