package api

import (
	"testing"

	"homeserver/internal/matrixtest"
)

func TestNotifications(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	alice, bob := c.Register("alice", "wordpass"), c.Register("bob", "wordpass")
	empty := bob.Do("GET", "/notifications", nil).OK()
	if list, ok := empty.At("notifications").([]any); !ok || len(list) > 0 || empty.At("next_token") != nil {
		t.Errorf("at first: %s", empty.Body)
	}
	room := alice.CreateRoom(map[string]any{"preset": "public_chat"})
	bob.Join(room)
	first := alice.SendText(room, "one")
	second := alice.SendEvent(room, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": "two", "m.mentions": map[string]any{"user_ids": []string{bob.UserID}},
	})
	answer := bob.Do("GET", "/notifications?limit=1", nil).OK()
	one := answer.Event("notifications", 0, "event")
	if one.ID != second || one.RoomID != "" || one.Body() != "two" || one.Sender != alice.UserID {
		t.Errorf("event %+v", one)
	}
	if answer.String("notifications", 0, "room_id") != room || answer.At("notifications", 0, "read") != false {
		t.Errorf("got %s", answer.Body)
	}
	if ts, _ := answer.At("notifications", 0, "ts").(float64); int64(ts) != one.OriginServerTS {
		t.Errorf("ts %v", ts)
	}
	if got := answer.String("notifications", 0, "actions", 0); got != "notify" {
		t.Errorf("actions begin with %q", got)
	}
	answer = bob.Do("GET", "/notifications?limit=1&from="+answer.String("next_token"), nil).OK()
	if got := answer.Event("notifications", 0, "event").ID; got != first {
		t.Errorf("the second page has %s", got)
	}
	bob.SendText(room, "three")
	answer = bob.Do("GET", "/notifications?only=highlight", nil).OK()
	if list, _ := answer.At("notifications").([]any); len(list) != 1 || answer.At("notifications", 0, "read") != true {
		t.Errorf("highlights: %s", answer.Body)
	}
	if answer.At("next_token") != nil {
		t.Errorf("there is more: %s", answer.Body)
	}
	bob.Do("GET", "/notifications?from=nonsense", nil).Refused(400, "M_INVALID_PARAM")
	bob.Do("GET", "/notifications?from=s999999", nil).Refused(400, "M_INVALID_PARAM")
	bob.Do("GET", "/notifications?limit=many", nil).Refused(400, "M_INVALID_PARAM")
}

// TestMentionsInTheTextOfOldClients: a name or @room in a body highlights, unless the
// sender's client says by m.mentions who is meant.
func TestMentionsInTheTextOfOldClients(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	alice, bob := c.Register("alice", "wordpass"), c.Register("bob", "wordpass")
	bob.Do("PUT", "/profile/"+bob.UserID+"/displayname", `{"displayname":"Robert the Bruce"}`).OK()
	room := alice.CreateRoom(map[string]any{"preset": "public_chat"})
	bob.Join(room)
	want := 0.0
	for _, test := range []struct {
		body       string
		highlights bool
	}{
		{"hey BOB: look", true}, {"robert the bruce?", true}, {"@room, all of you", true}, {"bobsleigh", false}, {"robert", false},
	} {
		alice.SendText(room, test.body)
		alice.SendEvent(room, "m.room.message", map[string]any{"msgtype": "m.text", "body": test.body, "m.mentions": map[string]any{}})
		if test.highlights {
			want++
		}
		if got := bob.Sync("").At("rooms", "join", room, "unread_notifications", "highlight_count"); got != want {
			t.Errorf("after %q %v are highlighted, want %v", test.body, got, want)
		}
	}
}

// TestNotificationsHideWhatTheReaderMayNotKnow: what a state event has replaced may
// be from before the reader's time.
func TestNotificationsHideWhatTheReaderMayNotKnow(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	alice, bob := c.Register("alice", "wordpass"), c.Register("bob", "wordpass")
	bob.Do("PUT", rulePath("override", "topics"), `{"actions":["notify"],"conditions":[{"kind":"event_match","key":"type","pattern":"m.room.topic"}]}`).OK()
	room := alice.CreateRoom(map[string]any{"preset": "public_chat"})
	alice.SetState(room, "m.room.history_visibility", "", map[string]any{"history_visibility": "joined"})
	alice.SetState(room, "m.room.topic", "", map[string]any{"topic": "secret"})
	bob.Join(room)
	topics := func() []matrixtest.Event {
		var events []matrixtest.Event
		answer := bob.Do("GET", "/notifications", nil).OK()
		list, _ := answer.At("notifications").([]any)
		for i := range list {
			events = append(events, answer.Event("notifications", i, "event"))
		}
		return events
	}
	if got := topics(); len(got) > 0 {
		t.Errorf("told of what was before: %v", got)
	}
	alice.SetState(room, "m.room.topic", "", map[string]any{"topic": "public"})
	alice.SetState(room, "m.room.topic", "", map[string]any{"topic": "also public"})
	got := topics()
	if len(got) != 2 {
		t.Fatalf("got %v", got)
	}
	if before, _ := got[0].Unsigned["prev_content"].(map[string]any); before["topic"] != "public" {
		t.Errorf("what is known is not told: %v", got[0].Unsigned)
	}
	if before, ok := got[1].Unsigned["prev_content"]; ok {
		t.Errorf("what is secret is told: %v", before)
	}
	if got[1].Unsigned["membership"] != "join" {
		t.Errorf("unsigned: %v", got[1].Unsigned)
	}
}
