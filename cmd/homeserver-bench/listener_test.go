package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// synced is an answer of /sync with events of a room.
func synced(next string, limited bool, ids ...string) string {
	events := make([]string, len(ids))
	for i, id := range ids {
		events[i] = fmt.Sprintf(`{"event_id":%q}`, id)
	}
	return fmt.Sprintf(`{"next_batch":%q,"rooms":{"join":{
		"!room":{"timeline":{"limited":%t,"events":[%s]}},
		"!other":{"timeline":{"events":[{"event_id":"$other"}]}}}}}`, next, limited, strings.Join(events, ","))
}

func TestListenerNotesTheEventsOfItsRoom(t *testing.T) {
	t.Parallel()
	l := &listener{room: "!room", since: "s1"}
	for _, answer := range []string{synced("s2", false, "$a", "$b"), `{"next_batch":"s3"}`, synced("s4", false, "$c")} {
		if err := l.note([]byte(answer)); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(l.seen, []string{"$a", "$b", "$c"}) || l.since != "s4" {
		t.Errorf("got %v up to %s", l.seen, l.since)
	}
}

func TestListenerRefusesATimelineWithAGap(t *testing.T) {
	t.Parallel()
	answer := []byte(synced("s2", true, "$a"))
	if err := (&listener{room: "!room", since: "s1"}).note(answer); err == nil {
		t.Error("later: no error")
	}
	if err := (&listener{room: "!room"}).note(answer); err != nil {
		t.Errorf("at first: %v", err)
	}
	if err := (&listener{room: "!room"}).note([]byte("nonsense")); err == nil {
		t.Error("nonsense: no error")
	}
}

func TestListenerFollowsToTheEnd(t *testing.T) {
	t.Parallel()
	answers := []string{synced("s1", true, "$old"), synced("s2", false, "$a"), synced("s3", false, "$b"), synced("s4", false, "$late")}
	var asked []string
	c := serving(t, "", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, answers[len(asked)])
		asked = append(asked, r.FormValue("since")+" "+r.FormValue("timeout")+" "+r.FormValue("set_presence"))
	})
	l := &listener{client: c, room: "!room"}
	if err := l.catchUp(); err != nil || len(l.seen) > 0 {
		t.Fatalf("saw %v: %v", l.seen, err)
	}
	if err := l.follow(2); err != nil {
		t.Fatal(err)
	}
	if want := []string{"$a", "$b", "$late"}; !slices.Equal(l.seen, want) {
		t.Errorf("saw %v, want %v", l.seen, want)
	}
	if want := []string{" 0 offline", "s1 120000 offline", "s2 120000 offline", "s3 0 offline"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

func TestOnceInOrder(t *testing.T) {
	t.Parallel()
	sent := [][]string{{"a1", "a2"}, {"b1"}}
	for want, seen := range map[string][][]string{
		"":                        {{"a1", "b1", "a2"}, {"a1", "b1", "a2"}},
		"delivered twice":         {{"a1", "b1", "a1", "a2"}, {"a1", "b1", "a2"}},
		"never delivered":         {{"a1", "b1"}, {"a1", "b1"}},
		"before a message":        {{"a2", "a1", "b1"}, {"a2", "a1", "b1"}},
		"4 events were":           {{"a1", "b1", "a2", "c"}, {"a1", "b1", "a2", "c"}},
		"client 1 saw":            {{"a1", "b1", "a2"}, {"b1", "a1", "a2"}},
		"another order, than the": {{"a1", "b1", "a2"}, {"a1", "b1"}},
	} {
		var list []*listener
		for _, ids := range seen {
			list = append(list, &listener{seen: ids})
		}
		switch err := onceInOrder(sent, list); {
		case want == "" && err != nil:
			t.Errorf("%v: %v", seen, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%v: got %v, want %s", seen, err, want)
		}
	}
}
