package api

import (
	"net/url"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

const delayedEvents = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events"

// schedule has a message sent later, in the form of the clients in use.
func schedule(c *matrixtest.Client, room, txn, body string, milliseconds int) *matrixtest.Response {
	path := matrixtest.Path("rooms", room, "send", "m.room.message", txn) + "?org.matrix.msc4140.delay=" + strconv.Itoa(milliseconds)
	return c.Do("PUT", path, map[string]any{"msgtype": "m.text", "body": body})
}

func TestDelayedEvents(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	since := bob.Sync("").NextBatch()
	soon := schedule(alice, room, "1", "soon", 50).OK().String("delay_id")
	bob.SyncUntil(since, func(r *matrixtest.Response) bool {
		events := r.Timeline(room)
		return len(events) == 1 && events[0].Body() == "soon" && events[0].Sender == alice.UserID
	})
	events := history(alice, room)
	if got := events[len(events)-1].Unsigned["org.matrix.msc4140.delay_id"]; got != soon {
		t.Errorf("unsigned has the delay ID %v", got)
	}

	later := schedule(alice, room, "2", "later", 60_000).OK().String("delay_id")
	if again := schedule(alice, room, "2", "later", 60_000).OK().String("delay_id"); again != later {
		t.Errorf("the same request got %s, and then %s", later, again)
	}
	state := matrixtest.Path("rooms", room, "state", "org.example.call", "")
	left := alice.Do("PUT", state+"?org.matrix.msc4140.delay=60000", `{"left":true}`).OK().String("delay_id")
	dedicated := "/_matrix/client/unstable/org.matrix.msc4140" + matrixtest.Path("rooms", room, "delayed_event", "org.example.call", "3")
	newer := alice.Do("PUT", dedicated, `{"delay_ms":60000,"state_key":"other","content":{"left":true}}`).OK().String("delay_id")

	list := alice.Do("GET", delayedEvents, nil).OK()
	for i, want := range []string{later, left, newer} {
		if got := list.String("delayed_events", i, "delay_id"); got != want || list.String("scheduled", i, "delay_id") != want {
			t.Errorf("%d of the list is %s, want %s: %s", i, got, want, list.Body)
		}
	}
	if list.String("finalised", 0, "delayed_event", "delay_id") != soon || list.String("finalised", 0, "scheduled_event", "delay_id") != soon {
		t.Errorf("finalised: %s", list.Body)
	}
	got := alice.Do("GET", delayedEvents+"/"+newer, nil).OK()
	since2, _ := got.At("running_since").(float64)
	want := map[string]any{
		"delay_id": newer, "room_id": room, "type": "org.example.call", "state_key": "other", "content": map[string]any{"left": true},
		"delay": 60000.0, "delay_ms": 60000.0, "running_since": since2, "scheduled_at": since2,
	}
	if diff := cmp.Diff(any(want), got.At()); diff != "" {
		t.Error(diff)
	}
	bob.Do("GET", delayedEvents+"/"+newer, nil).Refused(404, "M_NOT_FOUND")

	// Anybody who knows the ID may act, by each form of the calls.
	service := *alice
	service.Token = ""
	service.Do("POST", delayedEvents+"/"+left+"/restart", nil).OK()
	service.Do("POST", delayedEvents+"/"+left, `{"action":"send"}`).OK()
	alice.Do("POST", delayedEvents+"/"+later+"/cancel", `{}`).OK()
	alice.Do("POST", delayedEvents+"/"+newer, `{"action":"cancel"}`).OK()
	if got := bob.Do("GET", state, nil).OK().At("left"); got != true {
		t.Errorf("the state is %v", got)
	}
	for id, action := range map[string]string{later: "send", left: "cancel", newer: "restart", "none": "send"} {
		alice.Do("POST", delayedEvents+"/"+id+"/"+action, nil).Refused(404, "M_NOT_FOUND")
		service.Do("POST", delayedEvents+"/"+id, map[string]any{"action": action}).Refused(404, "M_NOT_FOUND")
	}
	if finalised, _ := alice.Do("GET", delayedEvents+"?status=finalised&delay_id="+later+"&delay_id="+left, nil).OK().At("finalised").([]any); len(finalised) != 2 {
		t.Errorf("finalised: %v", finalised)
	}
}

func TestDelayedEventRefusals(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	stranger := bob.Register("stranger", "wordpass")
	send := matrixtest.Path("rooms", room, "send", "m.room.message", "1") + "?"
	state := matrixtest.Path("rooms", room, "state", "m.room.topic", "") + "?"
	dedicated := "/_matrix/client/unstable/org.matrix.msc4140" + matrixtest.Path("rooms", room, "delayed_event", "m.room.message", "1")
	const delay = "org.matrix.msc4140.delay="
	for _, test := range []struct {
		who                *matrixtest.Client
		method, path, body string
		status             int
		code               string
	}{
		{alice, "PUT", send + delay, `{}`, 400, "M_INVALID_PARAM"},
		{alice, "PUT", send + delay + "0", `{}`, 400, "M_INVALID_PARAM"},
		{alice, "PUT", send + delay + "-5", `{}`, 400, "M_INVALID_PARAM"},
		{alice, "PUT", state + delay + "1.5", `{}`, 400, "M_INVALID_PARAM"},
		{alice, "PUT", state + delay + "soon", `{}`, 400, "M_INVALID_PARAM"},
		{alice, "PUT", send + delay + "9223372036854775808", `{}`, 400, "M_INVALID_PARAM"},
		{alice, "PUT", send + "org.matrix.msc4140.parent_delay_id=x", `{}`, 400, "M_INVALID_PARAM"},
		{alice, "PUT", send + delay + "2592000001", `{}`, 400, "M_UNKNOWN"},
		{alice, "PUT", send + delay + "5", `[]`, 400, "M_BAD_JSON"},
		{alice, "PUT", send + delay + "5", `{`, 400, "M_NOT_JSON"},
		{stranger, "PUT", send + delay + "5", `{}`, 403, "M_FORBIDDEN"},
		{alice, "PUT", dedicated, `{}`, 400, "M_MISSING_PARAM"},
		{alice, "PUT", dedicated, `{"delay_ms":5}`, 400, "M_MISSING_PARAM"},
		{alice, "PUT", dedicated, `{"delay_ms":"5","content":{}}`, 400, "M_BAD_JSON"},
		{alice, "PUT", dedicated, `{"delay":0,"content":{}}`, 400, "M_INVALID_PARAM"},
		{alice, "PUT", dedicated, `{"delay_ms":5,"content":[]}`, 400, "M_BAD_JSON"},
		{alice, "PUT", dedicated, `{"delay_ms":5,"content":{},"state_key":5}`, 400, "M_BAD_JSON"},
		{stranger, "PUT", dedicated, `{"delay_ms":5,"content":{}}`, 403, "M_FORBIDDEN"},
		{alice, "GET", delayedEvents + "?status=x", "", 400, "M_INVALID_PARAM"},
		{alice, "GET", delayedEvents + "?from=x", "", 400, "M_INVALID_PARAM"},
		{alice, "GET", delayedEvents + "/x", "", 404, "M_NOT_FOUND"},
		{alice, "GET", delayedEvents + "/%00", "", 400, "M_INVALID_PARAM"},
		{alice, "POST", delayedEvents + "/x", `{}`, 400, "M_MISSING_PARAM"},
		{alice, "POST", delayedEvents + "/x", `{"action":1}`, 400, "M_BAD_JSON"},
		{alice, "POST", delayedEvents + "/x", `{"action":"stop"}`, 400, "M_INVALID_PARAM"},
		{alice, "POST", delayedEvents + "/x/stop", `{}`, 400, "M_INVALID_PARAM"},
	} {
		if answer := test.who.Do(test.method, test.path, test.body); answer.Status != test.status || answer.Errcode() != test.code {
			t.Errorf("%s %s %s: got %d %s, want %d %s", test.method, test.path, test.body, answer.Status, answer.Body, test.status, test.code)
		}
	}
	long := alice.Do("PUT", send+delay+"2592000001", `{}`)
	if long.String("org.matrix.msc4140.errcode") != "M_MAX_DELAY_EXCEEDED" || long.At("org.matrix.msc4140.max_delay") != 2592000000.0 {
		t.Errorf("too long a delay: %s", long.Body)
	}
	none := alice.Do("GET", delayedEvents, nil).OK().At()
	if diff := cmp.Diff(any(map[string]any{"delayed_events": []any{}, "scheduled": []any{}, "finalised": []any{}}), none); diff != "" {
		t.Errorf("refused requests have scheduled something: %s", diff)
	}
}

func TestGuestsHaveDelayedEvents(t *testing.T) {
	t.Parallel()
	alice, _ := newPair(t)
	room := alice.CreateRoom(`{"preset":"public_chat","initial_state":[{"type":"m.room.guest_access","content":{"guest_access":"can_join"}}]}`)
	guest := newGuest(alice)
	guest.Join(room)
	id := schedule(guest, room, "1", "as a guest", 60_000).OK().String("delay_id")
	guest.Do("GET", delayedEvents+"/"+url.PathEscape(id), nil).OK()
	guest.Do("POST", delayedEvents+"/"+id+"/send", nil).OK()
	events := history(alice, room)
	if got := events[len(events)-1]; got.Body() != "as a guest" || got.Sender != guest.UserID {
		t.Errorf("the last event is %v", got)
	}
}
