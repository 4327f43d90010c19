package api

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

func receiptPath(room, typ, id string) string {
	return matrixtest.Path("rooms", room, "receipt", typ, id)
}

// receiptsOf lists the users who have a receipt of a type at an event, and its thread, by an
// answer of /sync.
func receiptsOf(t *testing.T, answer *matrixtest.Response, room, typ, id string) map[string]string {
	t.Helper()
	found := map[string]string{}
	list, _ := answer.At("rooms", "join", room, "ephemeral", "events").([]any)
	for i, e := range list {
		if e.(map[string]any)["type"] != "m.receipt" {
			continue
		}
		users, _ := answer.At("rooms", "join", room, "ephemeral", "events", i, "content", id, typ).(map[string]any)
		for user, receipt := range users {
			if ts, _ := receipt.(map[string]any)["ts"].(float64); ts < 1_500_000_000_000 {
				t.Errorf("the time is %v", ts)
			}
			found[user], _ = receipt.(map[string]any)["thread_id"].(string)
		}
	}
	return found
}

func TestReceipts(t *testing.T) {
	t.Parallel()
	alice, bob, room := pair(t)
	id := alice.SendText(room, "hi")
	sinceAlice, sinceBob := alice.Sync("").NextBatch(), bob.Sync("").NextBatch()
	answer := bob.Do("POST", receiptPath(room, "m.read", id), `{}`).OK()
	if diff := cmp.Diff(map[string]any{}, answer.At()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	bob.Do("POST", receiptPath(room, "m.read", id), nil).OK() // old clients send no body
	bob.Do("POST", receiptPath(room, "m.read.private", id), `{"thread_id":"main"}`).OK()
	toAlice, toBob := alice.Sync(sinceAlice), bob.Sync(sinceBob)
	if diff := cmp.Diff(map[string]string{bob.UserID: ""}, receiptsOf(t, toAlice, room, "m.read", id)); diff != "" {
		t.Errorf("alice sees (-want +got):\n%s", diff)
	}
	if got := receiptsOf(t, toAlice, room, "m.read.private", id); len(got) != 0 {
		t.Errorf("alice sees what is private: %v", got)
	}
	if diff := cmp.Diff(map[string]string{bob.UserID: "main"}, receiptsOf(t, toBob, room, "m.read.private", id)); diff != "" {
		t.Errorf("bob sees (-want +got):\n%s", diff)
	}
}

func TestReceiptsThatAreRefused(t *testing.T) {
	t.Parallel()
	alice, bob, room := pair(t)
	carol := alice.Register("carol", "wordpass")
	id := alice.SendText(room, "hi")
	for _, typ := range []string{"m.read", "m.read.private", "m.fully_read"} {
		bob.Do("POST", receiptPath(room, typ, "$unknown"), `{}`).Refused(404, "M_NOT_FOUND")
		carol.Do("POST", receiptPath(room, typ, id), `{}`).Refused(403, "M_FORBIDDEN")
		carol.Do("POST", receiptPath("!unknown:localhost", typ, id), `{}`).Refused(403, "M_FORBIDDEN")
	}
	bob.Do("POST", receiptPath(room, "m.seen", id), `{}`).Refused(400, "M_INVALID_PARAM")
	for _, thread := range []string{`""`, `5`, `["main"]`, `{}`, `"$other"`} {
		bob.Do("POST", receiptPath(room, "m.read", id), `{"thread_id":`+thread+`}`).Refused(400, "M_INVALID_PARAM")
	}
	bob.Do("POST", receiptPath(room, "m.fully_read", id), `{"thread_id":"main"}`).Refused(400, "M_INVALID_PARAM")
	bob.Do("POST", receiptPath(room, "m.read", id), `[]`).Refused(400, "M_BAD_JSON")
	bob.Do("POST", receiptPath(room, "m.read", id), `{"thread_id":null}`).OK()
}

func TestReceiptsClearUnreadCounts(t *testing.T) {
	t.Parallel()
	alice, bob, room := pair(t)
	alice.SendText(room, "one")
	root := alice.SendText(room, "two")
	inThread := alice.SendEvent(room, "m.room.message", map[string]any{
		"body": "three", "m.relates_to": map[string]any{"rel_type": "m.thread", "event_id": root},
	})
	counts := func(what string, want, wantThread any) {
		t.Helper()
		answer := bob.Sync("", "filter", `{"room":{"timeline":{"unread_thread_notifications":true}}}`)
		if got := answer.At("rooms", "join", room, "unread_notifications", "notification_count"); got != want {
			t.Errorf("%s: %v are unread, want %v", what, got, want)
		}
		if got := answer.At("rooms", "join", room, "unread_thread_notifications", root, "notification_count"); got != wantThread {
			t.Errorf("%s: %v are unread in the thread, want %v", what, got, wantThread)
		}
	}
	counts("at first", 2.0, 1.0)
	bob.Do("POST", receiptPath(room, "m.read", root), `{"thread_id":"main"}`).OK()
	counts("the main timeline is read", 0.0, 1.0)
	bob.Do("POST", receiptPath(room, "m.read.private", inThread), `{}`).OK()
	counts("all is read", 0.0, nil)
}

func TestReadMarkers(t *testing.T) {
	t.Parallel()
	alice, bob, room := pair(t)
	first, second, third := alice.SendText(room, "one"), alice.SendText(room, "two"), alice.SendText(room, "three")
	path := matrixtest.Path("rooms", room, "read_markers")
	since := bob.Sync("").NextBatch()
	bob.Do("POST", path, map[string]any{"m.fully_read": first, "m.read": second, "m.read.private": third}).OK()
	answer := bob.Sync(since)
	for typ, id := range map[string]string{"m.read": second, "m.read.private": third} {
		if diff := cmp.Diff(map[string]string{bob.UserID: ""}, receiptsOf(t, answer, room, typ, id)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", typ, diff)
		}
	}
	if got := answer.String("rooms", "join", room, "account_data", "events", 0, "content", "event_id"); got != first {
		t.Errorf("the marker is at %s, want %s", got, first)
	}
	bob.Do("POST", receiptPath(room, "m.fully_read", second), nil).OK()
	if got := bob.Do("GET", dataPath(bob.UserID, room, "m.fully_read"), nil).OK().String("event_id"); got != second {
		t.Errorf("the marker is at %s, want %s", got, second)
	}
	bob.Do("POST", path, `{}`).OK()
	bob.Do("POST", path, map[string]any{"m.read": "$unknown"}).Refused(404, "M_NOT_FOUND")
	bob.Do("POST", path, `{"m.read":5}`).Refused(400, "M_BAD_JSON")
	carol := alice.Register("carol", "wordpass")
	carol.Do("POST", path, map[string]any{"m.fully_read": first}).Refused(403, "M_FORBIDDEN")
}
