package api

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

// lazyFilter is the filter of clients that load members lazily.
const lazyFilter = `{"room":{"state":{"lazy_load_members":true},"timeline":{"limit":2}}}`

// The state of a limited answer has all members who joined, left or took another name in the
// gap, whether or not the client knows the member, and whether or not the member has sent
// anything that is shown: client-server API, GET /sync.
func TestLimitedLazySyncHasTheMembersOfTheGap(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	users := map[string]*matrixtest.Client{}
	for _, name := range []string{"carol", "dan", "eve", "frank", "grace"} {
		users[name] = alice.Register(name, "wordpass")
		if name != "eve" {
			users[name].Join(room)
		}
	}
	users["carol"].SendText(room, "known")
	since := bob.Sync("", "filter", lazyFilter).NextBatch()

	rename(users["carol"], "Caroline")
	rename(users["dan"], "Daniel")
	users["eve"].Join(room)
	change(users["frank"], room, "leave", nil).OK()
	change(alice, room, "ban", whom(users["grace"])).OK()
	numbered(alice, room, 3)

	answer := bob.Sync(since, "filter", lazyFilter)
	if answer.At("rooms", "join", room, "timeline", "limited") != true {
		t.Fatalf("there is no gap: %s", answer.Body)
	}
	got := map[string]string{}
	for _, e := range answer.Events("rooms", "join", room, "state", "events") {
		if e.Type == "m.room.member" {
			got[*e.StateKey] = fmt.Sprint(e.Content["membership"], " ", e.Content["displayname"])
		}
	}
	delete(got, alice.UserID) // there as the sender of the message
	want := map[string]string{
		"@carol:localhost": "join Caroline", "@dan:localhost": "join Daniel", "@eve:localhost": "join <nil>",
		"@frank:localhost": "leave <nil>", "@grace:localhost": "ban <nil>",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("members of the gap (-want +got):\n%s", diff)
	}
	if again := bob.Sync(answer.NextBatch(), "filter", lazyFilter); slices.Contains(keysAt(again, "rooms", "join"), room) {
		t.Errorf("they come again: %s", again.Body)
	}
}

// rename changes the display name of a user.
func rename(c *matrixtest.Client, name string) {
	c.T.Helper()
	c.Do("PUT", matrixtest.Path("profile", c.UserID, "displayname"), map[string]string{"displayname": name}).OK()
}
