package api

import (
	"fmt"
	"net/url"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

// threadsPath is the path of the threads of a room, with parameters in pairs.
func threadsPath(room string, parameters ...string) string {
	query := url.Values{}
	for pair := range slices.Chunk(parameters, 2) {
		query.Set(pair[0], pair[1])
	}
	return "/_matrix/client/v1" + matrixtest.Path("rooms", room, "threads") + "?" + query.Encode()
}

// threadIDs lists the roots of the threads of a room that a user sees, page by page.
func threadIDs(c *matrixtest.Client, room string, parameters ...string) (ids []string) {
	c.T.Helper()
	for from := ""; len(ids) < 1000; {
		page := c.Do("GET", threadsPath(room, append([]string{"from", from}, parameters...)...), nil).OK()
		ids = append(ids, idsOf(page.Events("chunk"))...)
		if from = page.String("next_batch"); from == "" {
			return ids
		}
	}
	c.T.Fatal("the list of threads has no end")
	return nil
}

// threadsOf sends the roots of threads, and a reply in each.
func threadsOf(c *matrixtest.Client, room string, number int) []string {
	c.T.Helper()
	var roots []string
	for i := range number {
		roots = append(roots, c.SendText(room, fmt.Sprint("root ", i)))
	}
	for i, root := range roots {
		sendRelated(c, room, "m.thread", root, fmt.Sprint("reply ", i))
	}
	return roots
}

func TestThreadsByTheirLatestReplies(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	roots := threadsOf(alice, room, 4)
	alice.SendText(room, "no root")
	react(bob, room, roots[1], "a")
	sendRelated(bob, room, "m.reference", roots[1], "no reply")
	matrixtest.Equal(t, "threads", threadIDs(bob, room), []string{roots[3], roots[2], roots[1], roots[0]})
	sendRelated(bob, room, "m.thread", roots[1], "again")
	latest := sendRelated(bob, room, "m.thread", roots[0], "again")
	want := []string{roots[0], roots[1], roots[3], roots[2]}
	matrixtest.Equal(t, "threads with new replies", threadIDs(bob, room), want)
	for _, limit := range []string{"1", "2", "3", "4", "100000"} {
		matrixtest.Equal(t, "by pages of "+limit, threadIDs(bob, room, "limit", limit), want)
	}
	if answer := bob.Do("GET", threadsPath(room, "limit", "4"), nil).OK(); answer.At("next_batch") != nil {
		t.Errorf("there is no more: %s", answer.Body)
	}
	bob.Do("PUT", matrixtest.Path("rooms", room, "redact", latest, "t"), `{}`).OK()
	matrixtest.Equal(t, "without the latest reply", threadIDs(bob, room), []string{roots[1], roots[3], roots[2], roots[0]})
}

func TestThreadsThatTheReaderTakesPartIn(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	hers := threadsOf(alice, room, 3)
	his := bob.SendText(room, "his root")
	sendRelated(alice, room, "m.thread", his, "her reply")
	reply := sendRelated(bob, room, "m.thread", hers[1], "his reply")
	react(bob, room, hers[0], "a")
	for _, limit := range []string{"1", "10"} {
		matrixtest.Equal(t, "bob's", threadIDs(bob, room, "include", "participated", "limit", limit), []string{hers[1], his})
		matrixtest.Equal(t, "alice's", threadIDs(alice, room, "include", "participated", "limit", limit), []string{hers[1], his, hers[2], hers[0]})
	}
	matrixtest.Equal(t, "all", threadIDs(bob, room, "include", "all"), []string{hers[1], his, hers[2], hers[0]})
	bob.Do("PUT", matrixtest.Path("rooms", room, "redact", reply, "t"), `{}`).OK()
	matrixtest.Equal(t, "bob's, without his reply", threadIDs(bob, room, "include", "participated"), []string{his})
}

// Threads that get replies while a client pages neither come again nor get lost.
func TestThreadsDoNotMoveBetweenPages(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	roots := threadsOf(alice, room, 6)
	slices.Reverse(roots)
	first := bob.Do("GET", threadsPath(room, "limit", "2"), nil).OK()
	ids := idsOf(first.Events("chunk"))
	for _, moved := range []string{roots[0], roots[3], roots[5]} {
		sendRelated(bob, room, "m.thread", moved, "meanwhile")
	}
	latest := threadsOf(alice, room, 1)[0]
	for from := first.String("next_batch"); from != ""; {
		page := bob.Do("GET", threadsPath(room, "limit", "2", "from", from), nil).OK()
		ids = append(ids, idsOf(page.Events("chunk"))...)
		from = page.String("next_batch")
	}
	matrixtest.Equal(t, "all pages", ids, roots)
	matrixtest.Equal(t, "anew", threadIDs(bob, room), []string{latest, roots[5], roots[3], roots[0], roots[1], roots[2], roots[4]})
}

func TestThreadsRefusals(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	secret := alice.CreateRoom(nil)
	for _, query := range [][]string{
		{"include", "none"}, {"limit", "0"}, {"limit", "-1"}, {"limit", "x"}, {"limit", "1.5"}, {"from", "x"}, {"from", "s1"}, {"from", "t1"},
		{"from", "t1_"}, {"from", "t_1"}, {"from", "t-1_1"}, {"from", "t5_4"}, {"from", "t01_1"}, {"from", "t1_1_1"}, {"from", "t1_999999999999"},
		{"from", "t99999999999999999999_99999999999999999999"}, {"from", "\x00"},
	} {
		bob.Do("GET", threadsPath(room, query...), nil).Refused(400, "M_INVALID_PARAM")
	}
	for _, other := range []string{secret, "!nowhere:localhost"} {
		bob.Do("GET", threadsPath(other), nil).Refused(403, "M_FORBIDDEN")
	}
	bob.Do("GET", threadsPath("nonsense"), nil).Refused(400, "M_INVALID_PARAM")
	matrixtest.Equal(t, "no threads", idsOf(bob.Do("GET", threadsPath(room), nil).OK().Events("chunk")), []string{})
}

// The root of a user whom the reader ignores is redacted, and a thread of their replies
// alone is none. The others keep their order.
func TestThreadsOfIgnoredUsers(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	carol := alice.Register("carol", "wordpass")
	carol.Join(room)
	hers, his, only := carol.SendText(room, "carol's root"), alice.SendText(room, "alice's root"), alice.SendText(room, "another root")
	sendRelated(alice, room, "m.thread", hers, "a reply")
	sendRelated(alice, room, "m.thread", his, "a reply")
	sendRelated(carol, room, "m.thread", hers, "carol's reply")
	sendRelated(carol, room, "m.thread", only, "carol's reply")
	bob.Do("PUT", dataPath(bob.UserID, "", "m.ignored_user_list"), map[string]any{"ignored_users": map[string]any{carol.UserID: map[string]any{}}}).OK()
	page := bob.Do("GET", threadsPath(room), nil).OK()
	events := page.Events("chunk")
	matrixtest.Equal(t, "threads", idsOf(events), []string{hers, his})
	if len(events[0].Content) != 0 || events[0].Sender != carol.UserID || events[1].Body() != "alice's root" {
		t.Errorf("got %s", page.Body)
	}
	matrixtest.Equal(t, "for who ignores nobody", threadIDs(alice, room), []string{only, hers, his})
}

// What is bundled with the roots is what the reader may know of their threads.
func TestThreadsHaveTheirSummaries(t *testing.T) {
	t.Parallel()
	withWindows(t, func(t *testing.T, anyone *matrixtest.Client) {
		alice, bob, carol := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass"), anyone.Register("carol", "wordpass")
		room := alice.CreateRoom(openRoom)
		bob.Join(room)
		carol.Join(room)
		hers, gone, plain := carol.SendText(room, "carol's"), alice.SendText(room, "to be redacted"), alice.SendText(room, "alice's")
		latest := map[string]string{}
		for _, root := range []string{hers, gone, plain} {
			sendRelated(alice, room, "m.thread", root, "a reply")
			latest[root] = sendRelated(bob, room, "m.thread", root, "bob's reply")
			sendRelated(carol, room, "m.thread", root, "carol's reply")
		}
		edit := sendRelated(bob, room, "m.replace", latest[plain], "edited")
		alice.Do("PUT", matrixtest.Path("rooms", room, "redact", gone, "t"), `{}`).OK()
		bob.Do("PUT", dataPath(bob.UserID, "", "m.ignored_user_list"), map[string]any{"ignored_users": map[string]any{carol.UserID: map[string]any{}}}).OK()
		events := bob.Do("GET", threadsPath(room), nil).OK().Events("chunk")
		matrixtest.Equal(t, "threads", idsOf(events), []string{plain, gone, hers})
		for _, e := range events {
			bundled := map[string]any{}
			if e.ID == plain {
				bundled["m.replace"] = edit
			}
			want := map[string]any{"m.thread": fmt.Sprint("2 true ", latest[e.ID], " ", bundled)}
			if diff := cmp.Diff(want, relationsOf(e)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", e.ID, diff)
			}
		}
	})
}

func TestRedactedRootKeepsItsThread(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	root := threadsOf(alice, room, 1)[0]
	alice.Do("PUT", matrixtest.Path("rooms", room, "redact", root, "t"), `{}`).OK()
	events := bob.Do("GET", threadsPath(room), nil).OK().Events("chunk")
	if len(events) != 1 || events[0].ID != root || len(events[0].Content) != 0 || events[0].Unsigned["redacted_because"] == nil {
		t.Errorf("got %+v", events)
	}
}

// A thread has one root, and what is related to another event is none: "Validation of
// m.thread relationships".
func TestThreadOfWhatIsRelatedIsRefused(t *testing.T) {
	t.Parallel()
	withWindows(t, func(t *testing.T, anyone *matrixtest.Client) {
		alice := anyone.Register("alice", "wordpass")
		room := alice.CreateRoom(nil)
		root := alice.SendText(room, "root")
		reply := sendRelated(alice, room, "m.thread", root, "reply")
		answer := alice.SendEvent(room, "m.room.message", map[string]any{
			"msgtype": "m.text", "body": "a rich reply", "m.relates_to": map[string]any{"m.in_reply_to": map[string]any{"event_id": root}},
		})
		for _, related := range []string{reply, react(alice, room, root, "a"), sendRelated(alice, room, "m.replace", root, "edit")} {
			path := matrixtest.Path("rooms", room, "send", "m.room.message")
			for _, content := range []string{
				`{"m.relates_to":{"event_id":"` + related + `","rel_type":"m.thread"}}`,
				` { "m.relates_to" : { "rel_type" : "m.thread", "event_id" : "` + related + `", "is_falling_back": true } }`,
			} {
				alice.Do("POST", path, content).Refused(400, "M_UNKNOWN")
			}
			sendRelated(alice, room, "m.reference", related, "any other relation")
		}
		for _, good := range []string{root, answer, "$elsewhere"} {
			sendRelated(alice, room, "m.thread", good, "reply")
		}
		matrixtest.Equal(t, "threads", threadIDs(alice, room), []string{answer, root})
		alice.Register("bob", "wordpass").Do("PUT", matrixtest.Path("rooms", room, "send", "m.room.message", "t"),
			related("m.thread", reply, "of a stranger")).Refused(403, "M_FORBIDDEN")
	})
}
