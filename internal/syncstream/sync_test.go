package syncstream_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/syncstream"
)

func TestInitialSyncGivesEachRoom(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.say(alice, room, "one", "two")
	h.Public() // bob is not in it
	a := h.client(bob, "").sync()
	if len(a.Rooms.Join) != 1 || len(a.Rooms.Leave)+len(a.Rooms.Invite)+len(a.Rooms.Knock) != 0 {
		t.Fatalf("got %s, want one joined room", a.raw)
	}
	r := a.in(t, room)
	equal(t, "timeline", r.timeline(), "create", "alice join", "power_levels", "join_rules",
		"history_visibility", "guest_access", "bob join", "one", "two")
	equal(t, "state", r.state())
	if r.Timeline.Limited {
		t.Error("the timeline is limited, though it begins with the room")
	}
}

func TestAnswerHasTheFormOfTheSpecification(t *testing.T) {
	h := newEnv(t)
	joined := h.Public(bob)
	left := h.Public(bob)
	invited := h.Public()
	c := h.synced(bob, "")
	c.Since = ""
	h.invite(bob, invited)
	c.Filter = `{"room":{"include_leave":true}}`
	h.Leave(bob, left)
	keys := func(object json.RawMessage) []string {
		members := map[string]json.RawMessage{}
		if err := json.Unmarshal(object, &members); err != nil {
			t.Fatalf("no object: %s", object)
		}
		list := []string{}
		for key := range members {
			list = append(list, key)
		}
		return list
	}
	at := func(object json.RawMessage, path ...string) json.RawMessage {
		for _, key := range path {
			members := map[string]json.RawMessage{}
			if err := json.Unmarshal(object, &members); err != nil {
				t.Fatalf("no object: %s", object)
			}
			object = members[key]
		}
		return object
	}
	raw := json.RawMessage(c.sync().raw)
	same(t, "answer", keys(raw), "account_data", "device_one_time_keys_count", "device_unused_fallback_key_types", "next_batch",
		"org.matrix.msc2732.device_unused_fallback_key_types", "presence", "rooms", "to_device")
	same(t, "rooms", keys(at(raw, "rooms")), "invite", "join", "knock", "leave")
	same(t, "joined room", keys(at(raw, "rooms", "join", joined)),
		"account_data", "ephemeral", "state", "summary", "timeline", "unread_notifications")
	same(t, "left room", keys(at(raw, "rooms", "leave", left)), "account_data", "state", "timeline")
	same(t, "invited room", keys(at(raw, "rooms", "invite", invited)), "invite_state")
	same(t, "timeline", keys(at(raw, "rooms", "join", joined, "timeline")), "events", "limited", "prev_batch")
	if got := string(at(raw, "presence")); got != `{"events":[]}` {
		t.Errorf("presence is %s", got)
	}
	if got := string(at(raw, "rooms", "join", joined, "ephemeral")); got != `{"events":[]}` {
		t.Errorf("ephemeral is %s", got)
	}
}

func TestIncrementalSyncGivesWhatIsNew(t *testing.T) {
	h := newEnv(t)
	room, quiet := h.Public(bob), h.Public(bob)
	c := h.synced(bob, "")
	h.say(alice, room, "hello")
	h.topic(alice, room, "news")
	a := c.sync()
	if a.Rooms.Join[quiet] != nil {
		t.Error("a room in which nothing happened is in the answer")
	}
	r := a.in(t, room)
	equal(t, "timeline", r.timeline(), "hello", "topic news")
	equal(t, "state", r.state())
	if r.Timeline.Limited || r.Summary != nil {
		t.Errorf("limited %v, summary %v; want neither", r.Timeline.Limited, r.Summary)
	}
	wantEmpty(t, c.sync())
	h.say(bob, room, "mine")
	equal(t, "own message", c.sync().in(t, room).timeline(), "mine")
}

func TestRoomsStandInTheSameOrderEachTime(t *testing.T) {
	h := newEnv(t)
	for range 5 {
		h.Public(bob)
	}
	first := h.client(bob, "").sync().raw
	for range 5 {
		if again := h.client(bob, "").sync().raw; string(again) != string(first) {
			t.Fatalf("the same request is answered otherwise:\n%s\n%s", first, again)
		}
	}
}

func TestBadTokens(t *testing.T) {
	h := newEnv(t)
	h.Public()
	for _, since := range []string{"s", "x", "5", "s-1", "s+1", "s-0", "s01", "s1 ", " s1", "s1.0", "s9223372036854775808", "S1", "s1_0", "s\x001"} {
		_, err := h.Sync(t.Context(), syncstream.Query{UserID: alice, Since: since})
		matrixtest.WantCode(t, err, matrix.InvalidParam, since)
	}
	_, err := h.Sync(t.Context(), syncstream.Query{UserID: alice, Since: syncstream.FormatToken(h.Journal.Position() + 1)})
	matrixtest.WantCode(t, err, matrix.InvalidParam, "a token from the future")
}

func TestFirstPositionIsAToken(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	a := h.sync(syncstream.Query{UserID: alice, Since: syncstream.FormatToken(0)})
	if r := a.in(t, room); r.timeline()[0] != "create" {
		t.Errorf("got %v, want the room from its beginning", r.timeline())
	}
}

func TestEmptyAnswerComesAtOnceWithoutTimeout(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	for _, timeout := range []time.Duration{0, -time.Hour} {
		q := syncstream.Query{UserID: alice, Since: syncstream.FormatToken(h.Journal.Position()), Timeout: timeout}
		if a := h.sync(q); !a.empty() || !strings.HasPrefix(a.NextBatch, q.Since+"_") {
			t.Errorf("timeout %v: %s", timeout, a.raw)
		}
	}
	// Nor does an initial sync wait, or one of the full state.
	if a := h.sync(syncstream.Query{UserID: bob, Timeout: patience * 10}); !a.empty() {
		t.Errorf("bob has no rooms: %s", a.raw)
	}
	q := syncstream.Query{UserID: alice, Since: syncstream.FormatToken(h.Journal.Position()), Timeout: patience * 10, FullState: true}
	h.sync(q).in(t, room)
}

func TestTimeoutEndsWithWhatIsKnown(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	c := h.synced(bob, `{"room":{"timeline":{"not_types":["m.room.message"]}}}`)
	before := c.Since
	h.say(alice, room, "unheard")
	c.Timeout = time.Millisecond
	a := c.sync()
	wantEmpty(t, a)
	if a.NextBatch == before {
		t.Error("the token has not moved over what the filter keeps out")
	}
}

func TestFullStateGivesAllStateAtOnce(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	c := h.synced(bob, "")
	h.say(alice, room, "new")
	c.FullState = true
	r := c.sync().in(t, room)
	equal(t, "timeline", r.timeline(), "new")
	same(t, "state", r.state(), "create", "alice join", "power_levels", "join_rules", "history_visibility", "guest_access", "bob join")
	if r.Summary == nil {
		t.Error("there is no summary with the full state")
	}
	r = c.sync().in(t, room)
	equal(t, "timeline of a second one", r.timeline())
	if len(r.state()) != 7 {
		t.Errorf("state of a second one: %v", r.state())
	}
	wantEmpty(t, (&client{h: h, Query: syncstream.Query{UserID: bob, Since: c.Since}}).sync())
}

func TestFullStateOfLeftRoomsOnlyWhereAskedFor(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.Leave(bob, room)
	h.topic(alice, room, "later")
	c := h.synced(bob, "")
	c.FullState = true
	wantEmpty(t, c.sync())
	c.Filter = `{"room":{"include_leave":true}}`
	r := c.sync().out(t, room)
	equal(t, "timeline", r.timeline())
	same(t, "state", r.state(), "create", "alice join", "power_levels", "join_rules", "history_visibility", "guest_access", "bob leave")
}

func TestStateAfter(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	c := h.client(bob, `{"room":{"timeline":{"limit":1}}}`)
	c.UseStateAfter = true
	h.topic(alice, room, "old")
	r := c.sync().in(t, room)
	if r.State != nil || r.StateAfter == nil {
		t.Fatal("state_after must stand in the place of state")
	}
	equal(t, "timeline", r.timeline(), "topic old")
	if got := words(r.StateAfter.Events); len(got) != 8 || !slices.Contains(got, "topic old") {
		t.Errorf("the state after the timeline is %v", got)
	}
	h.topic(alice, room, "new")
	h.say(alice, room, "last")
	r = c.sync().in(t, room)
	equal(t, "timeline", r.timeline(), "last")
	equal(t, "state after", words(r.StateAfter.Events), "topic new")
	h.topic(alice, room, "shown")
	r = c.sync().in(t, room)
	equal(t, "timeline", r.timeline(), "topic shown")
	equal(t, "state after", words(r.StateAfter.Events), "topic shown")
	h.say(alice, room, "no state")
	r = c.sync().in(t, room)
	if r.StateAfter == nil || len(r.StateAfter.Events) != 0 || r.State != nil {
		t.Errorf("state_after must be there even if it is empty: %v", r)
	}
	h.kick(bob, room)
	h.topic(alice, room, "secret")
	r = c.sync().out(t, room)
	if r.State != nil || r.StateAfter == nil {
		t.Fatal("a left room has state, not state_after")
	}
	equal(t, "state after leaving", words(r.StateAfter.Events), "bob leave")
}

func TestTransactionIDComesBackToTheSendingDevice(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	phone, desktop, other := h.synced(alice, ""), h.synced(alice, ""), h.synced(bob, "")
	desktop.DeviceID = "DESKTOP"
	h.sendAs(rooms.Request{UserID: alice, DeviceID: "PHONE", RoomID: room, TxnID: "t1"}, "m.room.message", `{"body":"x"}`)
	for c, want := range map[*client]any{phone: "t1", desktop: nil, other: nil} {
		if got := c.sync().in(t, room).Timeline.Events[0].Unsigned["transaction_id"]; got != want {
			t.Errorf("%s on %s gets the transaction ID %v, want %v", c.UserID, c.DeviceID, got, want)
		}
	}
}

func TestUnsignedTellsAgeAndMembership(t *testing.T) {
	h := newEnv(t)
	room := h.create(rooms.CreateRequest{Preset: "public_chat"})
	h.say(alice, room, "before")
	h.invite(bob, room)
	h.say(alice, room, "invited")
	h.Join(bob, room)
	h.say(alice, room, "joined")
	got := map[string]any{}
	for _, e := range h.client(bob, "").sync().in(t, room).Timeline.Events {
		got[e.String()] = e.Unsigned["membership"]
		if age, sent := e.Unsigned["age"].(float64), float64(started.UnixMilli()); sent+3_600_000 != float64(e.SentAt)+age {
			t.Errorf("%v was sent at %d and has age %v", e, e.SentAt, age)
		}
		if e.RoomID != "" {
			t.Errorf("%v has a room_id, which /sync leaves out", e)
		}
	}
	for word, want := range map[string]string{
		"before": "leave", "bob invite": "invite", "invited": "invite", "bob join": "join", "joined": "join",
	} {
		if got[word] != want {
			t.Errorf("at %q bob's membership was %v, want %s", word, got[word], want)
		}
	}
}

func TestEventFormatFederation(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.say(alice, room, "x")
	a := h.client(alice, `{"event_format":"federation","room":{"timeline":{"limit":1}}}`).sync()
	for _, part := range []string{`"auth_events":`, `"prev_events":`, `"signatures":`, `"hashes":`, `"room_id":`} {
		if !strings.Contains(string(a.raw), part) {
			t.Errorf("an event as it is federated lacks %s: %s", part, a.raw)
		}
	}
	if strings.Contains(string(a.raw), `"unsigned"`) || strings.Contains(string(a.raw), `"event_id"`) {
		t.Errorf("there is more than what is federated: %s", a.raw)
	}
}

func TestRedactedEventsAreShownSo(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	c := h.synced(bob, "")
	id := h.send(alice, room, "regret")
	_, err := h.Rooms.Redact(t.Context(), rooms.Request{UserID: alice, RoomID: room}, id, "typo")
	h.OK(err)
	r := c.sync().in(t, room)
	equal(t, "timeline", r.timeline(), "<nil>", "redaction")
	if r.Timeline.Events[0].Unsigned["redacted_because"] == nil {
		t.Errorf("the redacted event has no redacted_because: %v", r.Timeline.Events[0])
	}
}
