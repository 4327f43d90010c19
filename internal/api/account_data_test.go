package api

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

// pair returns two users in a public room of the first.
func pair(t *testing.T) (alice, bob *matrixtest.Client, room string) {
	t.Helper()
	anyone := newServer(t)
	alice, bob = anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	room = alice.CreateRoom(map[string]any{"preset": "public_chat"})
	bob.Join(room)
	return alice, bob, room
}

// dataPath returns the path of a piece of account data; with room "", of account data of the account.
func dataPath(userID, room, typ string) string {
	if room == "" {
		return matrixtest.Path("user", userID, "account_data", typ)
	}
	return matrixtest.Path("user", userID, "rooms", room, "account_data", typ)
}

func tagPath(userID, room, tag string) string {
	return matrixtest.Path("user", userID, "rooms", room, "tags", tag)
}

func TestAccountData(t *testing.T) {
	t.Parallel()
	alice, bob, room := pair(t)
	for _, in := range []string{"", room} {
		path := dataPath(alice.UserID, in, "org.example.custom.config")
		alice.Do("GET", path, nil).Refused(404, "M_NOT_FOUND")
		answer := alice.Do("PUT", path, `{"custom_account_data_key": "custom_config_value", "π": [1, 2.5, null]}`).OK()
		if diff := cmp.Diff(map[string]any{}, answer.At()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		want := map[string]any{"custom_account_data_key": "custom_config_value", "π": []any{1.0, 2.5, nil}}
		if diff := cmp.Diff(want, alice.Do("GET", path, nil).OK().At()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for _, method := range []string{"GET", "PUT"} {
			bob.Do(method, path, `{}`).Refused(403, "M_FORBIDDEN")
		}
		bob.Do("GET", dataPath(bob.UserID, in, "org.example.custom.config"), nil).Refused(404, "M_NOT_FOUND")

		alice.Do("PUT", path, `[]`).Refused(400, "M_BAD_JSON")
		alice.Do("PUT", path, `{`).Refused(400, "M_NOT_JSON")
		alice.Do("PUT", path, nil).Refused(400, "M_NOT_JSON")
		for _, typ := range []string{"m.fully_read", "m.push_rules"} {
			alice.Do("PUT", dataPath(alice.UserID, in, typ), `{}`).Refused(405, "M_BAD_JSON")
		}
	}
	for _, method := range []string{"GET", "PUT"} {
		alice.Do(method, dataPath(alice.UserID, "nonsense", "a"), `{}`).Refused(400, "M_INVALID_PARAM")
		alice.Do(method, dataPath(alice.UserID, "!unknown:localhost", "a"), `{}`).Refused(404, "M_NOT_FOUND")
	}
}

func TestPushRulesAreAccountData(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	got := alice.Do("GET", dataPath(alice.UserID, "", "m.push_rules"), nil).OK()
	if diff := cmp.Diff(alice.Do("GET", "/pushrules/", nil).OK().At(), got.At()); diff != "" {
		t.Errorf("(-pushrules +account data):\n%s", diff)
	}
}

func TestAccountDataInSync(t *testing.T) {
	t.Parallel()
	alice, bob, room := pair(t)
	since := alice.Sync("").NextBatch()
	alice.Do("PUT", dataPath(alice.UserID, "", "org.example"), `{"n":1}`).OK()
	alice.Do("PUT", tagPath(alice.UserID, room, "m.favourite"), `{"order":0.1}`).OK()
	answer := alice.Sync(since)
	if got := answer.At("account_data", "events"); fmt.Sprint(got) != `[map[content:map[n:1] type:org.example]]` {
		t.Errorf("account data: %v", got)
	}
	want := []any{map[string]any{"type": "m.tag", "content": map[string]any{"tags": map[string]any{"m.favourite": map[string]any{"order": 0.1}}}}}
	if diff := cmp.Diff(want, answer.At("rooms", "join", room, "account_data", "events")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := bob.Sync("").At("rooms", "join", room, "account_data", "events"); fmt.Sprint(got) != "[]" {
		t.Errorf("bob sees %v", got)
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	alice, bob, room := pair(t)
	list := matrixtest.Path("user", alice.UserID, "rooms", room, "tags")
	if diff := cmp.Diff(map[string]any{"tags": map[string]any{}}, alice.Do("GET", list, nil).OK().At()); diff != "" {
		t.Errorf("at first (-want +got):\n%s", diff)
	}
	alice.Do("PUT", tagPath(alice.UserID, room, "m.favourite"), `{"order":0.25}`).OK()
	alice.Do("PUT", tagPath(alice.UserID, room, "u.Ä/b"), nil).OK() // old clients send no body
	alice.Do("PUT", tagPath(alice.UserID, room, "u.gone"), `{}`).OK()
	alice.Do("DELETE", tagPath(alice.UserID, room, "u.gone"), nil).OK()
	alice.Do("DELETE", tagPath(alice.UserID, room, "u.never"), nil).OK()
	want := map[string]any{"tags": map[string]any{"m.favourite": map[string]any{"order": 0.25}, "u.Ä/b": map[string]any{}}}
	if diff := cmp.Diff(want, alice.Do("GET", list, nil).OK().At()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	bob.Do("GET", list, nil).Refused(403, "M_FORBIDDEN")
	bob.Do("PUT", tagPath(alice.UserID, room, "u.x"), `{}`).Refused(403, "M_FORBIDDEN")
	bob.Do("DELETE", tagPath(alice.UserID, room, "m.favourite"), nil).Refused(403, "M_FORBIDDEN")
	alice.Do("PUT", tagPath(alice.UserID, room, "u.x"), `{"order":"high"}`).Refused(400, "M_BAD_JSON")
	alice.Do("PUT", tagPath(alice.UserID, room, strings.Repeat("x", 256)), `{}`).Refused(400, "M_INVALID_PARAM")
	alice.Do("GET", matrixtest.Path("user", alice.UserID, "rooms", "!unknown:localhost", "tags"), nil).Refused(404, "M_NOT_FOUND")
}

func TestTagsSetAtOnceAreAllKept(t *testing.T) {
	t.Parallel()
	alice, _, room := pair(t)
	const n = 20
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { alice.Do("PUT", tagPath(alice.UserID, room, fmt.Sprint("u.", i)), `{}`).OK() })
	}
	all.Wait()
	tags, _ := alice.Do("GET", matrixtest.Path("user", alice.UserID, "rooms", room, "tags"), nil).OK().At("tags").(map[string]any)
	if len(tags) != n {
		t.Errorf("%d tags are left", len(tags))
	}
}

func TestIgnoredUsersAreNotSeen(t *testing.T) {
	t.Parallel()
	alice, bob, room := pair(t)
	since := alice.Sync("").NextBatch()
	alice.Do("PUT", dataPath(alice.UserID, "", "m.ignored_user_list"), map[string]any{"ignored_users": map[string]any{bob.UserID: map[string]any{}}}).OK()
	bob.SendText(room, "hidden")
	shown := alice.SendText(room, "shown")
	bob.SendText(room, "hidden, too")
	for what, answer := range map[string][]matrixtest.Event{
		"/sync":     alice.Sync(since).Timeline(room),
		"/messages": alice.Do("GET", matrixtest.Path("rooms", room, "messages")+"?dir=b&limit=1", nil).OK().Events("chunk"),
	} {
		if got := matrixtest.Bodies(answer); len(got) != 1 || got[0] != "shown" {
			t.Errorf("%s: %q", what, got)
		}
	}
	around := alice.Do("GET", matrixtest.Path("rooms", room, "context", shown)+"?limit=2", nil).OK()
	for _, place := range []string{"events_before", "events_after"} {
		for _, e := range around.Events(place) {
			if e.Sender == bob.UserID && e.Type == "m.room.message" {
				t.Errorf("/context shows %v", e.Content)
			}
		}
	}
	private := bob.CreateRoom(nil)
	bob.Do("POST", matrixtest.Path("rooms", private, "invite"), map[string]any{"user_id": alice.UserID}).OK()
	if got := alice.Sync("").At("rooms", "invite", private); got != nil {
		t.Errorf("the invite is shown: %v", got)
	}
	alice.Do("PUT", dataPath(alice.UserID, "", "m.ignored_user_list"), `{"ignored_users":{}}`).OK()
	if got := alice.Sync("").At("rooms", "invite", private); got == nil {
		t.Error("the invite is still hidden")
	}
	if got := matrixtest.Bodies(alice.Sync("").Timeline(room)); !strings.Contains(fmt.Sprint(got), "hidden, too") {
		t.Errorf("in a fresh sync: %q", got)
	}
}
