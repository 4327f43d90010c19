package api

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrixtest"
)

// nastyPatterns take for ever in an implementation that backtracks.
var nastyPatterns = []string{
	strings.Repeat("*a", 250) + "b", strings.Repeat("*?", 250) + "b", strings.Repeat("a*", 250) + "b", strings.Repeat("?", 500) + "b",
	strings.Repeat("*", 500) + "b", "(a+)+$", "(a|a)*b", strings.Repeat("[a-", 150), strings.Repeat(`\`, 500), strings.Repeat("%_", 250) + "b",
}

// A pattern of a push rule is tried at every message.
func TestNastyPatternsInPushRules(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	alice, bob := server.Register("alice", "wordpass"), server.Register("bob", "wordpass")
	room := alice.CreateRoom(map[string]any{"preset": "public_chat"})
	bob.Join(room)
	for i, pattern := range nastyPatterns {
		id := strconv.Itoa(i)
		bob.Do("PUT", "/pushrules/global/content/c"+id, map[string]any{"pattern": pattern, "actions": []string{"notify"}}).OK()
		bob.Do("PUT", "/pushrules/global/override/o"+id, map[string]any{"actions": []string{"notify"}, "conditions": []any{
			map[string]string{"kind": "event_match", "key": "content.body", "pattern": pattern},
			map[string]string{"kind": "event_match", "key": strings.Repeat(`a\.`, 100) + ".b", "pattern": pattern},
		}}).OK()
	}
	long := strings.Repeat("*a", 40_000)
	bob.Do("PUT", "/pushrules/global/content/long", map[string]any{"pattern": long, "actions": []string{}}).Refused(400, "M_INVALID_PARAM")
	alice.Do("PUT", "/profile/"+alice.UserID+"/displayname", map[string]string{"displayname": strings.Repeat("a", 200)}).OK()
	for _, body := range []string{strings.Repeat("a", 60_000), strings.Repeat("a ", 30_000), strings.Repeat(nastyPatterns[0], 100)} {
		alice.SendText(room, body)
	}
	counts := bob.Sync("").At("rooms", "join", room, "unread_notifications", "notification_count")
	if n, _ := counts.(float64); n == 0 {
		t.Errorf("nothing was counted: %v", counts)
	}
	bob.Do("GET", "/notifications", nil).OK()
}

// A filter is tried at every event, in memory and in the database.
func TestNastyPatternsInFilters(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	room := alice.CreateRoom(nil)
	since := alice.Sync("").NextBatch()
	for i := range 50 {
		alice.SendEvent(room, strings.Repeat("a", 200)+strconv.Itoa(i), map[string]string{})
	}
	many, long := slices.Repeat([]string{"*b*"}, 200), slices.Repeat([]string{strings.Repeat("*a", 100) + "b"}, 140)
	for _, field := range []string{"types", "not_types"} {
		filter := map[string]any{"room": map[string]any{"timeline": map[string]any{field: append(many, "*")}}}
		alice.Do("POST", matrixtest.Path("user", alice.UserID, "filter"), filter).Refused(400, "M_INVALID_PARAM")
	}
	for name, types := range map[string][]string{"nasty": nastyPatterns, "many": many, "long": long} {
		for _, field := range []string{"senders", "not_senders", "rooms", "not_rooms"} { // which have no patterns
			filter := map[string]any{"room": map[string]any{"timeline": map[string]any{field: types}}}
			alice.Do("POST", matrixtest.Path("user", alice.UserID, "filter"), filter).Refused(400, "M_INVALID_PARAM")
		}
		for _, field := range []string{"types", "not_types"} {
			filter, err := json.Marshal(map[string]any{"room": map[string]any{"timeline": map[string]any{field: types, "limit": 100}, "state": map[string]any{field: nastyPatterns}}})
			if err != nil {
				t.Fatal(err)
			}
			stored := alice.Do("POST", matrixtest.Path("user", alice.UserID, "filter"), filter)
			id := stored.OK().String("filter_id")
			for _, path := range []string{"/sync?filter=" + id, "/sync?timeout=0&filter=" + id + "&since=" + since} {
				if answer := alice.Do("GET", path, nil); answer.Status != 200 {
					t.Errorf("%s %s: %d %s", name, field, answer.Status, answer.Body)
				}
			}
		}
		filter, err := json.Marshal(map[string]any{"types": types[:min(len(types), 100)], "not_types": nastyPatterns})
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"messages?dir=b&limit=100&filter=", "context/$none?filter="} {
			answer := alice.Do("GET", matrixtest.Path("rooms", room)+"/"+path+escaped(string(filter)), nil)
			if answer.Status >= 500 {
				t.Errorf("%s %s: %d %s", name, path, answer.Status, answer.Body)
			}
		}
	}
}

// escaped returns a value for a query string.
func escaped(s string) string {
	return strings.NewReplacer("%", "%25", `"`, "%22", "&", "%26", "#", "%23", "+", "%2B", `\`, "%5C", "?", "%3F", " ", "%20").Replace(s)
}

// Searches read patterns as plain text.
func TestNastyPatternsInSearches(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	room := alice.CreateRoom(map[string]any{"preset": "public_chat", "visibility": "public", "name": strings.Repeat("a", 200)})
	alice.SendText(room, strings.Repeat("a ", 10_000))
	terms := append([]string{
		strings.Repeat("a ", 10_000), strings.Repeat("(", 1000), strings.Repeat("a:* & ", 1000), strings.Repeat("\u0301", 5000),
		strings.Repeat("'", 1000), strings.Repeat("ﷺ", 3000), strings.Repeat("İ", 3000),
	}, nastyPatterns...)
	for _, term := range terms {
		for path, body := range map[string]any{
			"/user_directory/search": map[string]any{"search_term": term},
			"/publicRooms":           map[string]any{"filter": map[string]any{"generic_search_term": term}},
			"/search":                map[string]any{"search_categories": map[string]any{"room_events": map[string]any{"search_term": term}}},
		} {
			answer := alice.Do("POST", path, body)
			if answer.Status >= 500 || answer.Status != 200 && answer.Errcode() == "" {
				t.Errorf("%s %s: %d %s", path, httpapi.Clip(term, 40), answer.Status, answer.Body)
			}
		}
		answer := alice.Do("GET", "/directory/room/%23"+escaped(strings.ReplaceAll(term, "/", "%2F"))+":localhost", nil)
		if answer.Status >= 500 {
			t.Errorf("alias %s: %d %s", httpapi.Clip(term, 40), answer.Status, answer.Body)
		}
	}
}

// The patterns of servers are matched with the name of this one.
func TestNastyServerLists(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	room := alice.CreateRoom(nil)
	alice.SetState(room, "m.room.server_acl", "", map[string]any{"allow": append([]string{"*"}, nastyPatterns...), "deny": nastyPatterns, "allow_ip_literals": false})
	alice.SendText(room, "hello")
	alice.Do("POST", matrixtest.Path("rooms", room, "invite"), `{"user_id":"@`+strings.Repeat("a", 200)+`:localhost"}`)
	alice.SendText(room, "still here")
}
