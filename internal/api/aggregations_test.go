package api

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

// relationsOf returns what is bundled with an event, by the type of relation: the edit, the
// references, and the thread with its latest event and the latest edit of that.
func relationsOf(e matrixtest.Event) map[string]any {
	all, _ := e.Unsigned["m.relations"].(map[string]any)
	short := map[string]any{}
	for relType, v := range all {
		of, _ := v.(map[string]any)
		switch relType {
		case "m.thread":
			latest, _ := of["latest_event"].(map[string]any)
			text, _ := json.Marshal(latest)
			var event matrixtest.Event
			_ = json.Unmarshal(text, &event)
			short[relType] = fmt.Sprint(of["count"], " ", of["current_user_participated"], " ", event.ID, " ", relationsOf(event))
		case "m.reference":
			short[relType] = fmt.Sprint(of["chunk"])
		default:
			short[relType] = fmt.Sprint(of["event_id"])
		}
	}
	return short
}

// findEvent returns the event of an ID among others.
func findEvent(t *testing.T, events []matrixtest.Event, id string) matrixtest.Event {
	t.Helper()
	for _, e := range events {
		if e.ID == id {
			return e
		}
	}
	t.Errorf("%s is not among %q", id, idsOf(events))
	return matrixtest.Event{}
}

// latestEdit returns the latest of two edits, which may be of the same millisecond.
func latestEdit(c *matrixtest.Client, room, one, two string) string {
	c.T.Helper()
	at := func(id string) int64 {
		return c.Do("GET", matrixtest.Path("rooms", room, "event", id), nil).OK().Event().OriginServerTS
	}
	if a, b := at(one), at(two); a > b || a == b && one > two {
		return one
	}
	return two
}

// withWindows runs a test with events that are in the live window, and with events that are
// not.
func withWindows(t *testing.T, test func(t *testing.T, anyone *matrixtest.Client)) {
	for name, window := range map[string]int{"in the window": 0, "by SQL": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, matrixtest.New(t, newAPI(t, servicesWithWindow(t, postgrestest.New(t), window)).Handler()))
		})
	}
}

// readings are the places where a reader gets events, with what is bundled.
var readings = map[string]func(c *matrixtest.Client, room, id string) matrixtest.Event{
	"/event": func(c *matrixtest.Client, room, id string) matrixtest.Event {
		return c.Do("GET", matrixtest.Path("rooms", room, "event", id), nil).OK().Event()
	},
	"/messages": func(c *matrixtest.Client, room, id string) matrixtest.Event {
		events, _ := pagesOf(c, room, "", "dir=b&limit=100")
		return findEvent(c.T.(*testing.T), events, id)
	},
	"/messages in r0": func(c *matrixtest.Client, room, id string) matrixtest.Event {
		answer := c.Do("GET", "/_matrix/client/r0"+matrixtest.Path("rooms", room, "messages")+"?dir=f&limit=100", nil).OK()
		return findEvent(c.T.(*testing.T), answer.Events("chunk"), id)
	},
	"/context": func(c *matrixtest.Client, room, id string) matrixtest.Event {
		return c.Do("GET", matrixtest.Path("rooms", room, "context", id)+"?limit=100", nil).OK().Event("event")
	},
	"/context, around": func(c *matrixtest.Client, room, id string) matrixtest.Event {
		later := c.SendText(room, "later")
		answer := c.Do("GET", matrixtest.Path("rooms", room, "context", later)+"?limit=100", nil).OK()
		return findEvent(c.T.(*testing.T), answer.Events("events_before"), id)
	},
	"/sync": func(c *matrixtest.Client, room, id string) matrixtest.Event {
		return limitedSync(c, room, id, "", 12)
	},
	"/search": func(c *matrixtest.Client, _, id string) matrixtest.Event {
		answer := searchFor(c, "", map[string]any{"search_term": "findable"}).OK()
		var events []matrixtest.Event
		for i := range answer.At("search_categories", "room_events", "results").([]any) {
			events = append(events, answer.Event("search_categories", "room_events", "results", i, "result"))
		}
		return findEvent(c.T.(*testing.T), events, id)
	},
}

// limitedSync returns an event out of a timeline that is limited.
func limitedSync(c *matrixtest.Client, room, id, since string, limit int) matrixtest.Event {
	c.T.Helper()
	answer := c.Sync(since, "filter", fmt.Sprintf(`{"room":{"timeline":{"limit":%d}}}`, limit))
	if answer.At("rooms", "join", room, "timeline", "limited") != true {
		c.T.Errorf("not limited: %s", answer.Body)
	}
	return findEvent(c.T.(*testing.T), answer.Timeline(room), id)
}

func TestAggregationsEverywhere(t *testing.T) {
	t.Parallel()
	withWindows(t, func(t *testing.T, anyone *matrixtest.Client) {
		alice, bob, carol := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass"), anyone.Register("carol", "wordpass")
		room := alice.CreateRoom(openRoom)
		bob.Join(room)
		carol.Join(room)
		root := alice.SendText(room, "findable")
		reference := sendRelated(bob, room, "m.reference", root, "reference")
		sendRelated(bob, room, "m.thread", root, "reply 1")
		edit := latestEdit(alice, room, sendRelated(alice, room, "m.replace", root, "edit 1"), sendRelated(alice, room, "m.replace", root, "edit 2"))
		reply := sendRelated(bob, room, "m.thread", root, "reply 2")
		react(bob, room, root, "👍")
		ofReply := sendRelated(bob, room, "m.replace", reply, "edit of the reply")
		for name, read := range readings {
			for _, c := range []*matrixtest.Client{alice, bob, carol} {
				want := map[string]any{
					"m.replace": edit, "m.reference": "[map[event_id:" + reference + "]]",
					"m.thread": fmt.Sprint("2 ", c != carol, " ", reply, " ", map[string]any{"m.replace": ofReply}),
				}
				if diff := cmp.Diff(want, relationsOf(read(c, room, root))); diff != "" {
					t.Errorf("%s for %s: %s", name, c.UserID, diff)
				}
			}
		}
		children := alice.Do("GET", relationsPath(room, root, "m.thread"), nil).OK().Events("chunk")
		if diff := cmp.Diff(map[string]any{"m.replace": ofReply}, relationsOf(findEvent(t, children, reply))); diff != "" {
			t.Errorf("/relations: %s", diff)
		}
	})
}

func TestBundledEventsAreWrittenLikeOthers(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	root := alice.SendText(room, "root")
	edit := sendRelated(alice, room, "m.replace", root, "edited")
	sendRelated(bob, room, "m.thread", root, "reply")
	answer := bob.Do("GET", matrixtest.Path("rooms", room, "event", root), nil).OK()
	bundled := answer.Event("unsigned", "m.relations", "m.replace")
	if bundled.ID != edit || bundled.RoomID != room || bundled.Sender != alice.UserID || bundled.Body() != "edited" || bundled.Unsigned["membership"] != "join" {
		t.Errorf("edit: %+v", bundled)
	}
	if latest := answer.Event("unsigned", "m.relations", "m.thread", "latest_event"); latest.Body() != "reply" || latest.RoomID != room {
		t.Errorf("latest event: %+v", latest)
	}
	if answer.Event().Body() != "root" {
		t.Errorf("the content of the event is that of its edit")
	}
	old := bob.Do("GET", "/_matrix/client/api/v1"+matrixtest.Path("rooms", room, "messages")+"?dir=b", nil).OK()
	if strings.Contains(string(old.Body), "m.relations") {
		t.Errorf("api/v1: %s", old.Body)
	}
	filter := url.QueryEscape(`{"event_format":"federation","room":{"timeline":{"limit":4}}}`)
	if federated := bob.Do("GET", "/sync?filter="+filter, nil).OK(); strings.Contains(string(federated.Body), "m.relations") {
		t.Errorf("as it is federated: %s", federated.Body)
	}
}

func TestSyncBundlesOnlyWhereTheTimelineIsLimited(t *testing.T) {
	t.Parallel()
	withWindows(t, func(t *testing.T, anyone *matrixtest.Client) {
		alice := anyone.Register("alice", "wordpass")
		room := alice.CreateRoom(nil)
		since := alice.Sync("").NextBatch()
		alice.SendText(room, "before")
		root := alice.SendText(room, "root")
		edit := sendRelated(alice, room, "m.replace", root, "edited")
		if got := relationsOf(findEvent(t, alice.Sync(since).Timeline(room), root)); len(got) > 0 {
			t.Errorf("in a timeline that has all: %v", got)
		}
		if got := relationsOf(limitedSync(alice, room, root, since, 2)); got["m.replace"] != edit {
			t.Errorf("in one that is limited: %v", got)
		}
		// What comes later is not in it.
		next := alice.Sync(since, "filter", `{"room":{"timeline":{"limit":1}}}`)
		if got := relationsOf(next.Timeline(room)[0]); len(got) != 0 {
			t.Errorf("bundled with an edit: %v", got)
		}
	})
}

// Edits that the section "Validity of replacement events" excludes.
func TestInvalidEditsAreNotBundled(t *testing.T) {
	t.Parallel()
	withWindows(t, func(t *testing.T, anyone *matrixtest.Client) {
		alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
		room, other := alice.CreateRoom(openRoom), alice.CreateRoom(openRoom)
		bob.Join(room)
		bundled := func(id string) any {
			return relationsOf(alice.Do("GET", matrixtest.Path("rooms", room, "event", id), nil).OK().Event())["m.replace"]
		}
		root := alice.SendText(room, "root")
		state := alice.SetState(room, "m.room.topic", "", map[string]any{"topic": "root"})
		sealed := alice.SendEvent(room, "m.room.encrypted", map[string]any{"ciphertext": "…"})
		edit := sendRelated(alice, room, "m.replace", root, "good")
		sendRelated(bob, room, "m.replace", root, "by another user")
		alice.SendEvent(room, "m.sticker", related("m.replace", root, "of another type"))
		alice.SetState(room, "m.room.message", "", related("m.replace", root, "state"))
		sendRelated(alice, other, "m.replace", root, "in another room")
		sendRelated(alice, room, "m.replace", edit, "of an edit")
		sendRelated(alice, room, "m.replace", state, "of state")
		alice.SetState(room, "m.room.topic", "", related("m.replace", state, "state of state"))
		without := related("m.replace", root, "without new content")
		delete(without, "m.new_content")
		alice.SendEvent(room, "m.room.message", without)
		without["m.new_content"] = "no object"
		alice.SendEvent(room, "m.room.message", without)
		sendRelated(alice, room, "m.replace", sealed, "in the clear")
		for id, want := range map[string]any{root: edit, edit: nil, state: nil, sealed: nil} {
			if got := bundled(id); got != want {
				t.Errorf("edit of %s: %v, want %v", id, got, want)
			}
		}
		content := related("m.replace", sealed, "")
		delete(content, "m.new_content")
		if edit := alice.SendEvent(room, "m.room.encrypted", content); bundled(sealed) != edit {
			t.Errorf("encrypted edit: %v", bundled(sealed))
		}
	})
}

func TestRedactionsTakePartInAggregations(t *testing.T) {
	t.Parallel()
	withWindows(t, func(t *testing.T, anyone *matrixtest.Client) {
		alice := anyone.Register("alice", "wordpass")
		room := alice.CreateRoom(nil)
		redact := func(id string) {
			alice.Do("POST", matrixtest.Path("rooms", room, "redact", id), `{}`).OK()
		}
		root := alice.SendText(room, "root")
		want := func(when string, want map[string]any) {
			t.Helper()
			if diff := cmp.Diff(want, relationsOf(alice.Do("GET", matrixtest.Path("rooms", room, "event", root), nil).OK().Event())); diff != "" {
				t.Errorf("%s: %s", when, diff)
			}
		}
		one, two := sendRelated(alice, room, "m.replace", root, "one"), sendRelated(alice, room, "m.replace", root, "two")
		first, last := sendRelated(alice, room, "m.thread", root, "first"), sendRelated(alice, room, "m.thread", root, "last")
		reference := sendRelated(alice, room, "m.reference", root, "reference")
		redact(two)
		redact(last)
		redact(reference)
		want("after the newest of each", map[string]any{"m.replace": one, "m.thread": "1 true " + first + " map[]"})
		redact(root)
		want("of a redacted event", map[string]any{"m.thread": "1 true " + first + " map[]"})
		redact(first)
		want("after all", map[string]any{})
	})
}

func TestAggregationsOfWhatTheReaderMaySee(t *testing.T) {
	t.Parallel()
	withWindows(t, func(t *testing.T, anyone *matrixtest.Client) {
		alice, bob, carol := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass"), anyone.Register("carol", "wordpass")
		room := alice.CreateRoom(openRoom)
		alice.SetState(room, "m.room.history_visibility", "", map[string]any{"history_visibility": "joined"})
		bob.Join(room)
		carol.Join(room)
		root := alice.SendText(room, "root")
		seen := sendRelated(alice, room, "m.thread", root, "seen")
		reference := sendRelated(carol, room, "m.reference", root, "reference")
		edit := sendRelated(alice, room, "m.replace", root, "seen")
		bob.Do("POST", matrixtest.Path("rooms", room, "leave"), nil).OK()
		missed := sendRelated(alice, room, "m.thread", root, "missed")
		hidden := sendRelated(alice, room, "m.replace", root, "missed")
		bob.Join(room)
		answer := sendRelated(carol, room, "m.thread", root, "answer")
		want := func(c *matrixtest.Client, when string, want map[string]any) {
			t.Helper()
			if diff := cmp.Diff(want, relationsOf(c.Do("GET", matrixtest.Path("rooms", room, "event", root), nil).OK().Event())); diff != "" {
				t.Errorf("%s: %s", when, diff)
			}
		}
		refers := "[map[event_id:" + reference + "]]"
		want(bob, "who was away", map[string]any{"m.replace": edit, "m.reference": refers, "m.thread": "2 false " + answer + " map[]"})
		hidden = latestEdit(alice, room, edit, hidden)
		want(alice, "who was there", map[string]any{"m.replace": hidden, "m.reference": refers, "m.thread": "3 true " + answer + " map[]"})
		ignore := func(c, other *matrixtest.Client) {
			c.Do("PUT", matrixtest.Path("user", c.UserID, "account_data", "m.ignored_user_list"), map[string]any{
				"ignored_users": map[string]any{other.UserID: map[string]any{}},
			}).OK()
		}
		ignore(bob, carol)
		want(bob, "who ignores another", map[string]any{"m.replace": edit, "m.thread": "1 false " + seen + " map[]"})
		ignore(alice, carol)
		want(alice, "who ignores another and sees all", map[string]any{"m.replace": hidden, "m.thread": "2 true " + missed + " map[]"})
	})
}

func TestThreadsOfRelatedEventsAreNotBundled(t *testing.T) {
	t.Parallel()
	withWindows(t, func(t *testing.T, anyone *matrixtest.Client) {
		alice := anyone.Register("alice", "wordpass")
		room := alice.CreateRoom(nil)
		root := alice.SendText(room, "root")
		reference := sendRelated(alice, room, "m.reference", root, "reference")
		alice.SetState(room, "org.example.state", "", related("m.thread", reference, "as the thread of a reference"))
		if got := relationsOf(alice.Do("GET", matrixtest.Path("rooms", room, "event", reference), nil).OK().Event()); len(got) > 0 {
			t.Errorf("bundled: %v", got)
		}
	})
}
