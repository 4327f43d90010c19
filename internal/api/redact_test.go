package api

import (
	"testing"

	"homeserver/internal/matrixtest"
)

// isRedacted fails the test unless the event is shown stripped, with the redaction
// that did it.
func isRedacted(t *testing.T, where string, e matrixtest.Event, by, reason string) {
	t.Helper()
	because, _ := e.Unsigned["redacted_because"].(map[string]any)
	content, _ := because["content"].(map[string]any)
	if len(e.Content) != 0 || because["event_id"] != by || because["redacts"] != e.ID || content["redacts"] != e.ID || content["reason"] != reason {
		t.Errorf("%s: %+v, want it redacted by %s for %q", where, e, by, reason)
	}
}

func TestRedactByEachEndpoint(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	for _, version := range []string{"1", "10", "11", "12"} {
		room := alice.CreateRoom(map[string]any{"room_version": version, "preset": "public_chat"})
		bob.Join(room)
		since := bob.Sync("").NextBatch()
		for name, redact := range map[string]func(id string) *matrixtest.Response{
			"PUT redact": func(id string) *matrixtest.Response {
				return alice.Do("PUT", matrixtest.Path("rooms", room, "redact", id, "1"), `{"reason":"why <not>"}`)
			},
			"POST redact": func(id string) *matrixtest.Response {
				return alice.Do("POST", matrixtest.Path("rooms", room, "redact", id), `{"reason":"why <not>"}`)
			},
			"PUT send": func(id string) *matrixtest.Response {
				return alice.Do("PUT", matrixtest.Path("rooms", room, "send", "m.room.redaction", "1"), map[string]any{"redacts": id, "reason": "why <not>"})
			},
		} {
			what := "version " + version + ", " + name
			id := bob.SendText(room, "regrettable")
			by := redact(id).OK().String("event_id")
			isRedacted(t, what+", event", alice.Do("GET", matrixtest.Path("rooms", room, "event", id), nil).OK().Event(), by, "why <not>")
			answer := bob.Sync(since)
			timeline := answer.Timeline(room)
			if len(timeline) < 2 {
				t.Fatalf("%s: sync has %+v", what, timeline)
			}
			isRedacted(t, what+", sync", timeline[0], by, "why <not>")
			if r := timeline[1]; r.ID != by || r.Redacts != id || r.Content["redacts"] != id {
				t.Errorf("%s: the redaction is %+v", what, r)
			}
			since = answer.NextBatch()
		}
		events := history(bob, room)
		for _, body := range matrixtest.Bodies(events) {
			if body != "" {
				t.Errorf("version %s: %q is still there", version, body)
			}
		}
	}
}

func TestRedactRules(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	stranger := alice.Register("stranger", "wordpass")
	other := alice.CreateRoom(nil)
	hers, his := alice.SendText(room, "hers"), bob.SendText(room, "his")
	elsewhere := alice.SendText(other, "elsewhere")
	path := func(room, id, txn string) string { return matrixtest.Path("rooms", room, "redact", id, txn) }

	bob.Do("PUT", path(room, hers, "1"), `{}`).Refused(403, "M_FORBIDDEN")
	stranger.Do("PUT", path(room, his, "1"), `{}`).Refused(404, "M_NOT_FOUND")
	alice.Do("PUT", path(room, "$none", "1"), `{}`).Refused(404, "M_NOT_FOUND")
	alice.Do("PUT", path(room, "none", "1"), `{}`).Refused(404, "M_NOT_FOUND")
	alice.Do("PUT", path(room, elsewhere, "1"), `{}`).Refused(404, "M_NOT_FOUND")
	alice.Do("PUT", path("!none:localhost", his, "1"), `{}`).Refused(403, "M_FORBIDDEN")
	alice.Do("PUT", path(room, his, "1"), `{"reason":1}`).Refused(400, "M_BAD_JSON")
	alice.Do("PUT", path(room, his, "1"), `{"reason":"\u0000"}`).Refused(400, "M_BAD_JSON")
	bob.Do("PUT", path(room, his, "1"), nil).OK()
	alice.Do("PUT", path(room, hers, "1"), `{}`).OK()
	if got := matrixtest.Bodies(history(alice, room)); len(got) != 2 || got[0] != "" || got[1] != "" {
		t.Errorf("both are redacted, but: %q", got)
	}
	if got := matrixtest.Bodies(history(alice, other)); len(got) != 1 || got[0] != "elsewhere" {
		t.Errorf("the other room: %q", got)
	}
}

func TestRedactTransactionID(t *testing.T) {
	t.Parallel()
	alice, _, room := shared(t)
	one, two := alice.SendText(room, "one"), alice.SendText(room, "two")
	redact := func(id string) string {
		return alice.Do("PUT", matrixtest.Path("rooms", room, "redact", id, "same"), `{}`).OK().String("event_id")
	}
	first := redact(one)
	if again := redact(one); again != first {
		t.Errorf("again: %s, want %s", again, first)
	}
	if other := redact(two); other == first {
		t.Error("the same transaction ID under another path is another transaction")
	}
	timeline := alice.Sync("").Timeline(room)
	if got := timeline[len(timeline)-1].Unsigned["transaction_id"]; got != "same" {
		t.Errorf("transaction_id %v", got)
	}
}

func TestRedactStateEvent(t *testing.T) {
	t.Parallel()
	alice, _, room := shared(t)
	id := alice.SetState(room, "m.room.name", "", map[string]any{"name": "Regrettable"})
	alice.Do("POST", matrixtest.Path("rooms", room, "redact", id), `{}`).OK()
	if got := alice.Do("GET", matrixtest.Path("rooms", room, "state", "m.room.name"), nil).OK().At(); len(got.(map[string]any)) != 0 {
		t.Errorf("the name is still %v", got)
	}
	// The event that has replaced it does not show it either.
	alice.SetState(room, "m.room.name", "", map[string]any{"name": "Better"})
	e := alice.Do("GET", matrixtest.Path("rooms", room, "state", "m.room.name")+"?format=event", nil).OK().Event()
	if previous, _ := e.Unsigned["prev_content"].(map[string]any); len(previous) != 0 || e.Content["name"] != "Better" {
		t.Errorf("got %+v", e)
	}
}
