package api

import (
	"fmt"
	"testing"

	"homeserver/internal/matrixtest"
)

func typingPath(room, userID string) string { return matrixtest.Path("rooms", room, "typing", userID) }

// typists returns the users who are typing by an answer of /sync; "": it has no such event.
func typists(answer *matrixtest.Response, room string) string {
	list, _ := answer.At("rooms", "join", room, "ephemeral", "events").([]any)
	for _, e := range list {
		if e := e.(map[string]any); e["type"] == "m.typing" {
			return fmt.Sprint(e["content"].(map[string]any)["user_ids"])
		}
	}
	return ""
}

func TestTyping(t *testing.T) {
	t.Parallel()
	alice, bob, room := pair(t)
	since := alice.Sync("").NextBatch()
	bob.Do("PUT", typingPath(room, bob.UserID), `{"typing":true,"timeout":30000}`).OK()
	answer := alice.SyncUntil(since, func(r *matrixtest.Response) bool { return typists(r, room) != "" })
	if got := typists(answer, room); got != "["+bob.UserID+"]" {
		t.Errorf("typing are %s", got)
	}
	bob.Do("PUT", typingPath(room, bob.UserID), `{"typing":false}`).OK()
	answer = alice.SyncUntil(answer.NextBatch(), func(r *matrixtest.Response) bool { return typists(r, room) != "" })
	if got := typists(answer, room); got != "[]" {
		t.Errorf("typing are %s", got)
	}
	// It ends by itself.
	bob.Do("PUT", typingPath(room, bob.UserID), `{"typing":true,"timeout":1}`).OK()
	alice.SyncUntil(answer.NextBatch(), func(r *matrixtest.Response) bool { return typists(r, room) == "[]" })
}

func TestTypingThatIsRefused(t *testing.T) {
	t.Parallel()
	alice, bob, room := pair(t)
	carol := alice.Register("carol", "wordpass")
	bob.Do("PUT", typingPath(room, alice.UserID), `{"typing":true}`).Refused(403, "M_FORBIDDEN")
	carol.Do("PUT", typingPath(room, carol.UserID), `{"typing":true}`).Refused(403, "M_FORBIDDEN")
	bob.Do("PUT", typingPath("!unknown:localhost", bob.UserID), `{"typing":true}`).Refused(403, "M_FORBIDDEN")
	bob.Do("PUT", typingPath(room, bob.UserID), `{}`).Refused(400, "M_MISSING_PARAM")
	bob.Do("PUT", typingPath(room, bob.UserID), `{"typing":"yes"}`).Refused(400, "M_BAD_JSON")
	bob.Do("PUT", typingPath(room, bob.UserID), `{"typing":true,"timeout":-1}`).Refused(400, "M_INVALID_PARAM")
	bob.Do("PUT", typingPath(room, bob.UserID), `{"typing":true,"timeout":9007199254740991}`).OK()
}
