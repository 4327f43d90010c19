package api

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrixtest"
)

func statusPath(userID string) string { return matrixtest.Path("presence", userID, "status") }

// presenceOf returns the presence of a user in an answer of /sync; "" if it has none.
func presenceOf(answer *matrixtest.Response, userID string) string {
	list, _ := answer.At("presence", "events").([]any)
	for _, e := range list {
		if e := e.(map[string]any); e["type"] == "m.presence" && e["sender"] == userID {
			content := e["content"].(map[string]any)
			return strings.TrimSpace(fmt.Sprint(content["presence"], " ", cmp.Or(content["status_msg"], "")))
		}
	}
	return ""
}

func TestPresence(t *testing.T) {
	t.Parallel()
	alice, bob, _ := pair(t)
	if got := alice.Do("GET", statusPath(bob.UserID), nil).OK().String("presence"); got != "offline" {
		t.Errorf("at first bob is %s", got)
	}
	since := alice.Sync("", "set_presence", "offline").NextBatch()
	bob.Do("PUT", statusPath(bob.UserID), `{"presence":"online","status_msg":"I am here."}`).OK()
	answer := alice.Do("GET", statusPath(bob.UserID), nil).OK()
	if answer.String("presence") != "online" || answer.String("status_msg") != "I am here." || answer.At("currently_active") != true {
		t.Errorf("got %s", answer.Body)
	}
	if ago, ok := answer.At("last_active_ago").(float64); !ok || ago < 0 || ago > 60_000 {
		t.Errorf("got %s", answer.Body)
	}
	if got := presenceOf(alice.Sync(since), bob.UserID); got != "online I am here." {
		t.Errorf("alice is told %q", got)
	}
	bob.Do("PUT", statusPath(bob.UserID), `{"presence":"unavailable","status_msg":null}`).OK()
	answer = bob.Do("GET", statusPath(bob.UserID), nil).OK()
	if answer.String("presence") != "unavailable" || answer.At("status_msg") != nil || answer.At("currently_active") != nil {
		t.Errorf("got %s", answer.Body)
	}
}

func TestSyncSetsPresence(t *testing.T) {
	t.Parallel()
	alice, bob, _ := pair(t)
	for _, test := range []struct{ shown, want string }{
		{"offline", "offline"}, {"online", "online"}, {"unavailable", "unavailable"}, {"", "online"}, {"offline", "online"},
	} {
		query := []string{"set_presence", test.shown}
		if test.shown == "" {
			query = nil
		}
		bob.Sync("", query...)
		if got := alice.Do("GET", statusPath(bob.UserID), nil).OK().String("presence"); got != test.want {
			t.Errorf("after a sync as %q bob is %s, want %s", test.shown, got, test.want)
		}
	}
	bob.Do("GET", "/sync?set_presence=busy", nil).Refused(400, "M_INVALID_PARAM")
}

func TestPresenceThatIsRefused(t *testing.T) {
	t.Parallel()
	alice, bob, _ := pair(t)
	carol := alice.Register("carol", "wordpass")
	carol.Do("GET", statusPath(alice.UserID), nil).Refused(403, "M_FORBIDDEN")
	alice.Do("GET", statusPath("@nobody:localhost"), nil).Refused(404, "M_NOT_FOUND")
	alice.Do("GET", statusPath("nonsense"), nil).Refused(400, "M_INVALID_PARAM")
	alice.Do("PUT", statusPath(bob.UserID), `{"presence":"online"}`).Refused(403, "M_FORBIDDEN")
	for body, code := range map[string]string{
		`{}`: "M_MISSING_PARAM", `{"presence":"busy"}`: "M_INVALID_PARAM", `{"presence":1}`: "M_BAD_JSON", `[]`: "M_BAD_JSON", `{`: "M_NOT_JSON",
		`{"presence":"online","status_msg":"` + strings.Repeat("x", 1001) + `"}`: "M_INVALID_PARAM",
	} {
		alice.Do("PUT", statusPath(alice.UserID), body).Refused(400, code)
	}
}

func TestProfileReachesPresence(t *testing.T) {
	t.Parallel()
	alice, bob, _ := pair(t)
	bob.Do("PUT", statusPath(bob.UserID), `{"presence":"online"}`).OK()
	since := alice.Sync("").NextBatch()
	bob.Do("PUT", matrixtest.Path("profile", bob.UserID, "displayname"), `{"displayname":"Bobby"}`).OK()
	answer := alice.Sync(since)
	for i, e := range answer.Events("presence", "events") {
		if e.Sender == bob.UserID && answer.String("presence", "events", i, "content", "displayname") == "Bobby" {
			return
		}
	}
	t.Errorf("the new name is not told: %s", answer.Body)
}

func TestPresenceList(t *testing.T) {
	t.Parallel()
	alice, bob, _ := pair(t)
	bob.Do("PUT", statusPath(bob.UserID), `{"presence":"online"}`).OK()
	for _, prefix := range httpapi.UntilR0 {
		old := alice.As(t)
		old.Prefix = prefix.Path
		path := matrixtest.Path("presence", "list", alice.UserID)
		if got := strings.TrimSpace(string(old.Do("GET", path, nil).OK().Body)); got != "[]" {
			t.Errorf("at first: %s", got)
		}
		old.Do("POST", path, map[string]any{"invite": []string{bob.UserID, "@carol:localhost"}}).OK()
		answer := old.Do("GET", path, nil).OK()
		for i, want := range []string{bob.UserID + " online", "@carol:localhost offline"} {
			got := answer.String(i, "content", "user_id") + " " + answer.String(i, "content", "presence")
			if got != want || answer.String(i, "type") != "m.presence" {
				t.Errorf("%d: %s, want %s", i, answer.Body, want)
			}
		}
		old.Do("POST", path, map[string]any{"drop": []string{bob.UserID, "@carol:localhost"}}).OK()
		old.Do("POST", path, `{"invite":["nonsense"]}`).Refused(400, "M_INVALID_PARAM")
		old.Do("POST", path, `{"invite":"bob"}`).Refused(400, "M_BAD_JSON")
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			old.Do(method, matrixtest.Path("presence", "list", bob.UserID), `{}`).Refused(403, "M_FORBIDDEN")
		}
	}
}
