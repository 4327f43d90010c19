package matrixtest

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
)

// fakeSync answers with one message for each position, and with none at position 2.
func fakeSync(w http.ResponseWriter, r *http.Request) {
	since := 0
	_, _ = fmt.Sscanf(r.URL.Query().Get("since"), "s%d", &since) // none is 0
	events := fmt.Sprintf(`{"event_id":"$%d","type":"m.room.message","content":{"body":"text %[1]d"}}`, since)
	if since == 2 {
		events = ""
	}
	_, _ = fmt.Fprintf(w, `{"next_batch":"s%d","rooms":{"join":{"!r:x":{"timeline":{"events":[%s]}}}},"query":%q}`,
		since+1, events, r.URL.RawQuery)
}

func TestSyncUntilContinuesWhereItWas(t *testing.T) {
	t.Parallel()
	c := New(t, http.HandlerFunc(fakeSync))
	var seen []string
	answer := c.SyncUntil("s1", func(r *Response) bool {
		seen = append(seen, Bodies(r.Timeline("!r:x"))...)
		return Shows("!r:x", "$4")(r)
	})
	if want := []string{"text 1", "text 3", "text 4"}; !slices.Equal(seen, want) || answer.NextBatch() != "s5" {
		t.Errorf("saw %q up to %s, want %q up to s5", seen, answer.NextBatch(), want)
	}
	if events := answer.Timeline("!none:x"); len(events) != 0 {
		t.Errorf("a room that is not there: %v", events)
	}
}

func TestSyncPath(t *testing.T) {
	t.Parallel()
	c := New(t, http.HandlerFunc(fakeSync))
	if got, want := c.Sync("", "filter", `{"a":1}`, "timeout", "0").String("query"), "filter=%7B%22a%22%3A1%7D&timeout=0"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := c.Sync("").String("query"); got != "" {
		t.Errorf("nothing asked for: %s", got)
	}
}

func TestEventAtAPlace(t *testing.T) {
	t.Parallel()
	answer := New(t, http.HandlerFunc(fakeSync)).Sync("s7")
	e := answer.Event("rooms", "join", "!r:x", "timeline", "events", 0)
	if e.ID != "$7" || e.Body() != "text 7" || e.StateKey != nil {
		t.Errorf("got %+v", e)
	}
}
