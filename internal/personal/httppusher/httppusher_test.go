package httppusher

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/push"
	"homeserver/internal/rooms"
)

func TestMessagesReachTheGateway(t *testing.T) {
	h := newEnv(t)
	g := newGateway(t)
	h.SetProfile(h.Account("alice"), "displayname", "Alice")
	room := h.Create(alice, rooms.CreateRequest{Preset: "public_chat", Name: "Kitchen", AliasName: "kitchen"})
	h.Join(bob, room)
	h.pusher(bob, "key", g, map[string]any{"data": map[string]any{"url": g.url, "default_payload": map[string]any{"aps": 1}}})
	id := h.Send(alice, room, "hello <b>")
	got := g.want(id, 1)
	if got.Devices[0].PushkeyTS < time.Now().Add(-time.Hour).Unix() {
		t.Errorf("the time of the pushkey is %d", got.Devices[0].PushkeyTS)
	}
	delete(got.raw["devices"].([]any)[0].(map[string]any), "pushkey_ts")
	want := map[string]any{
		"event_id": id, "room_id": room, "type": "m.room.message", "sender": alice, "sender_display_name": "Alice",
		"room_name": "Kitchen", "room_alias": "#kitchen:localhost",
		"prio": "high", "content": map[string]any{"msgtype": "m.text", "body": "hello <b>"}, "counts": map[string]any{"unread": 1.0},
		"devices": []any{map[string]any{
			"app_id": "org.example.app", "pushkey": "key", "data": map[string]any{"default_payload": map[string]any{"aps": 1.0}},
			"tweaks": map[string]any{"sound": "default"},
		}},
	}
	if diff := cmp.Diff(want, got.raw); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	h.SetState(alice, room, "m.room.name", "", `{"name":"Garden"}`)
	h.SetState(alice, room, "m.room.canonical_alias", "", `{}`)
	if got := g.want(h.Send(alice, room, "outside"), 2); got.RoomName != "Garden" || got.RoomAlias != "" {
		t.Errorf("of the renamed room: %v", got.raw)
	}
}

func TestEventIDOnlyHasNothingOfTheEvent(t *testing.T) {
	h := newEnv(t)
	g := newGateway(t)
	room := h.Public(bob)
	h.pusher(bob, "key", g, map[string]any{"data": map[string]any{"url": g.url, "format": "event_id_only", "client_name": "x"}})
	id := h.Send(alice, room, "hello")
	got := g.want(id, 1)
	delete(got.raw["devices"].([]any)[0].(map[string]any), "pushkey_ts")
	want := map[string]any{
		"event_id": id, "room_id": room, "prio": "high", "counts": map[string]any{"unread": 1.0},
		"devices": []any{map[string]any{
			"app_id": "org.example.app", "pushkey": "key", "data": map[string]any{"format": "event_id_only", "client_name": "x"},
		}},
	}
	if diff := cmp.Diff(want, got.raw); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPriorityAndTweaks(t *testing.T) {
	h := newEnv(t)
	g := newGateway(t)
	room := h.group()
	h.pusher(bob, "key", g, nil)
	h.OK(h.push.PutRule(t.Context(), bob, push.Content, "cake", push.NewRule{
		Pattern: new("cake"), Actions: []json.RawMessage{json.RawMessage(`"notify"`), json.RawMessage(`{"set_tweak":"flash"}`), json.RawMessage(`{"set_tweak":"sound","value":"yum"}`)},
	}, push.Place{}))
	for _, test := range []struct {
		evType, content, prio string
		tweaks                map[string]any
	}{
		{"m.room.message", `{"body":"hi"}`, low, nil},
		{"m.room.message", `{"body":"hi","m.mentions":{"user_ids":["@bob:localhost"]}}`, high, map[string]any{"sound": "default", "highlight": true}},
		{"m.room.message", `{"body":"all","m.mentions":{"room":true}}`, high, map[string]any{"highlight": true}},
		{"m.room.encrypted", `{"algorithm":"m.megolm.v1.aes-sha2","ciphertext":"x"}`, high, nil},
		{"m.room.message", `{"body":"there is cake"}`, high, map[string]any{"sound": "yum"}},
	} {
		id := h.SendEvent(alice, room, test.evType, test.content)
		got := g.next()
		if got.EventID != id || got.Prio != test.prio || !cmp.Equal(got.Devices[0].Tweaks, test.tweaks) {
			t.Errorf("%s: got %v", test.content, got.raw)
		}
	}
}

func TestInvitesArePushed(t *testing.T) {
	h := newEnv(t)
	g := newGateway(t)
	h.pusher(bob, "key", g, nil)
	room := h.Create(alice, rooms.CreateRequest{Name: "Attic"})
	h.Invite(alice, room, bob)
	got := g.next()
	if got.Type != "m.room.member" || !got.UserIsTarget || got.RoomName != "Attic" || got.Counts["unread"] != 1 ||
		got.Content["membership"] != "invite" || got.Prio != high {
		t.Errorf("got %v", got.raw)
	}
	h.Join(bob, room)
	g.wantBadge(0)

	other := h.Create(alice, rooms.CreateRequest{})
	h.Invite(alice, other, bob)
	if got := g.next(); got.RoomID != other || got.Counts["unread"] != 1 {
		t.Errorf("got %v", got.raw)
	}
	h.Leave(bob, other)
	g.wantBadge(0)
}

func TestNothingIsPushedToWhomItDoesNotConcern(t *testing.T) {
	h := newEnv(t)
	g := newGateway(t)
	room, other := h.group(), h.group()
	h.pusher(bob, "key", g, nil)
	gc := newGateway(t)
	h.pusher(carol, "carol", gc, nil)
	h.OK(h.data.Set(t.Context(), bob, "", accountdata.TypeIgnoredUsers, json.RawMessage(`{"ignored_users":{"@alice:localhost":{}}}`)))
	h.OK(h.push.SetActions(t.Context(), carol, push.Underride, ".m.rule.message", []json.RawMessage{}))

	h.Send(alice, room, "bob ignores me")
	h.Send(bob, room, "by myself")
	h.SendEvent(carol, room, "m.reaction", `{"m.relates_to":{"rel_type":"m.annotation","event_id":"$x","key":"y"}}`)
	h.SendEvent(carol, room, "m.room.message", `{"msgtype":"m.notice","body":"a bot"}`)
	h.SetState(alice, room, "m.room.topic", "", `{"topic":"x"}`)
	h.Leave(bob, other)
	h.Send(carol, other, "bob is gone")
	// What was sent first would have come first.
	id := h.Send(carol, room, "for bob")
	if got := g.nextEvent(); got.EventID != id || got.Counts["unread"] != 1 {
		t.Errorf("bob got %v", got.raw)
	}
	mention := h.SendEvent(alice, room, "m.room.message", `{"body":"x","m.mentions":{"user_ids":["@carol:localhost"]}}`)
	if got := gc.nextEvent(); got.EventID != mention || got.Counts["unread"] != 1 {
		t.Errorf("carol got %v", got.raw)
	}
}

func TestNumberIsThatOfAllRooms(t *testing.T) {
	h := newEnv(t)
	g := newGateway(t)
	kitchen, garden := h.group(), h.group()
	h.Send(alice, kitchen, "before there is a pusher")
	h.pusher(bob, "key", g, nil)
	g.want(h.Send(alice, garden, "one more"), 2)
	g.want(h.Send(alice, kitchen, "and one"), 3)
}

func TestNumberAloneIsSentWhenItFalls(t *testing.T) {
	h := newEnv(t)
	g := newGateway(t)
	room, other := h.group(), h.group()
	h.pusher(bob, "key", g, nil)
	send := func(in string, n int) (eventID string) {
		t.Helper()
		eventID = h.Send(alice, in, "hello")
		g.want(eventID, n)
		return eventID
	}
	first := send(room, 1)
	second := send(room, 2)
	h.read(bob, room, first)
	g.wantBadge(1)
	h.Redact(alice, room, second, "")
	g.wantBadge(0)
	send(room, 1)
	h.Send(bob, room, "I have read it") // by another client
	g.wantBadge(0)
	send(other, 1)
	h.Leave(bob, other)
	g.wantBadge(0)
	send(room, 1)
	h.OK(h.data.Set(t.Context(), bob, "", accountdata.TypeIgnoredUsers, json.RawMessage(`{"ignored_users":{"@alice:localhost":{}}}`)))
	g.wantBadge(0)
	g.want(h.Send(carol, room, "nothing was between"), 1)
}

// After a restart nobody knows what the pusher was told last.
func TestNumberIsClearedAfterARestart(t *testing.T) {
	h := newEnv(t)
	g := newGateway(t)
	room := h.group()
	h.pusher(bob, "key", g, nil)
	id := h.Send(alice, room, "hello")
	g.want(id, 1)
	h.pushers.Stop()
	again := envOn(t, h.Pool)
	again.read(bob, room, id)
	g.wantBadge(0)
	again.Send(bob, room, "that changes nothing")
	g.want(again.Send(alice, room, "hello again"), 1)
}

func TestWhatIsReadOrRedactedMeanwhileIsNotPushed(t *testing.T) {
	h := newEnv(t)
	g := newGateway(t)
	room := h.group()
	h.pusher(bob, "key", g, nil)
	goOn := make(chan struct{})
	g.answers <- answer{status: 200, body: `{}`, until: goOn}
	first := h.Send(alice, room, "slow")
	<-g.asked
	redacted := h.Send(alice, room, "redacted")
	h.Redact(alice, room, redacted, "")
	read := h.Send(alice, room, "read")
	h.read(bob, room, read)
	last := h.Send(alice, room, "news")
	close(goOn)
	g.want(first, 1)
	g.want(last, 1)
}

func TestDisabledPushersGetNothing(t *testing.T) {
	h := newEnv(t)
	g := newGateway(t)
	room := h.group()
	const enabled = "org.matrix.msc3881.enabled"
	phone := h.pusher(bob, "key", g, map[string]any{enabled: false})
	h.pusher(bob, "other", g, nil)
	g.want(h.Send(alice, room, "for the other"), 1)
	h.OK(h.trySet(phone, "key", g, map[string]any{enabled: true}))
	id := h.Send(alice, room, "for both")
	keys := map[string]bool{}
	for range 2 {
		keys[g.want(id, 2).Devices[0].Pushkey] = true
	}
	if !keys["key"] || !keys["other"] {
		t.Errorf("pushed to %v", keys)
	}
}

func TestLoggingOutEndsNotifications(t *testing.T) {
	h := newEnv(t)
	g := newGateway(t)
	room := h.group()
	phone := h.pusher(bob, "phone", g, nil)
	h.pusher(bob, "other", g, nil)
	h.OK(h.Users.Sessions.Logout(t.Context(), phone))
	for n := range 3 {
		if got := g.want(h.Send(alice, room, "hello"), n+1); got.Devices[0].Pushkey != "other" {
			t.Errorf("got %v", got.raw)
		}
	}
}

func TestRejectedPushersAreDeleted(t *testing.T) {
	h := newEnv(t)
	g, elsewhere := newGateway(t), newGateway(t)
	room := h.group()
	h.pusher(bob, "key", g, nil)
	h.pusher(bob, "second", elsewhere, nil)
	h.OK(h.trySet(h.login("carol", "C"), "key", g, nil))
	h.OK(h.trySet(h.login("dave", "D"), "key", elsewhere, nil))
	left := func(user string) []string {
		list, err := h.push.Pushers(t.Context(), user)
		h.OK(err)
		keys := []string{}
		for _, p := range list {
			keys = append(keys, p.Pushkey)
		}
		return keys
	}
	g.answers <- answer{status: 200, body: `{"rejected":["key","second"]}`}
	elsewhere.want(h.SendEvent(alice, room, "m.room.message", `{"body":"x","m.mentions":{"user_ids":["@bob:localhost"]}}`), 1)
	g.next()
	elsewhere.want(h.Send(alice, room, "again"), 2)
	want := map[string][]string{bob: {"second"}, carol: {}, "@dave:localhost": {"key"}}
	matrixtest.Until(t, "the rejected are gone", func() bool {
		return cmp.Equal(want, map[string][]string{bob: left(bob), carol: left(carol), "@dave:localhost": left("@dave:localhost")})
	})
}

func TestAnswerThatIsNoJSONIsGoodEnough(t *testing.T) {
	h := newEnv(t)
	g := newGateway(t)
	room := h.group()
	h.pusher(bob, "key", g, nil)
	g.answers <- answer{status: 200, body: `fine`}
	g.answers <- answer{status: 204}
	g.want(h.Send(alice, room, "one"), 1)
	h.Send(alice, room, "two")
	g.want(h.Send(alice, room, "three"), 3)
}

func TestManyArriveInOrder(t *testing.T) {
	h := newEnv(t, func(s *Service) { s.maxInMemory = 2 })
	room := h.group()
	gateways := []*gateway{newGateway(t), newGateway(t), newGateway(t), newGateway(t)}
	for i, g := range gateways {
		h.pusher([]string{bob, carol}[i%2], strconv.Itoa(i), g, nil)
	}
	var ids []string
	for range 60 {
		ids = append(ids, h.Send(alice, room, "hello"))
	}
	for _, g := range gateways {
		for _, id := range ids {
			if got := g.next(); got.EventID != id {
				t.Fatalf("got %v, want %s", got.raw, id)
			}
		}
	}
}

// A server that finds nothing to send when it starts is woken by the first message.
func TestMessagesAfterAStartWithNothingToSend(t *testing.T) {
	h := newEnv(t)
	g := newGateway(t)
	room := h.Create(alice, rooms.CreateRequest{Preset: "public_chat"})
	h.Join(bob, room)
	h.pusher(bob, "key", g, nil)
	g.want(h.Send(alice, room, "first"), 1)
	h.handled()
	h.pushers.Stop()
	again := envOn(t, h.Pool)
	again.handled()
	g.want(again.Send(alice, room, "second"), 2)
	again.handled()
}
