package httppusher

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/rooms"
)

func TestMessagesReachTheGateway(t *testing.T) {
	h := newEnv(t)
	g := newGateway(t)
	room := h.Create(alice, rooms.CreateRequest{Preset: "public_chat", Name: "Kitchen", AliasName: "kitchen"})
	h.Join(bob, room)
	h.pusher(bob, "key", g, map[string]any{"data": map[string]any{"url": g.url, "default_payload": map[string]any{"aps": 1}}})
	id := h.Send(alice, room, "hello")
	got := g.want(id, 1)
	device := got.Devices[0]
	if device.PushkeyTS == 0 {
		t.Error("there is no time of the pushkey")
	}
	got.raw["devices"].([]any)[0].(map[string]any)["pushkey_ts"] = nil
	want := map[string]any{
		"event_id": id, "room_id": room, "type": "m.room.message", "sender": alice, "room_name": "Kitchen", "room_alias": "#kitchen:localhost",
		"prio": "high", "content": map[string]any{"msgtype": "m.text", "body": "hello"}, "counts": map[string]any{"unread": 1.0},
		"devices": []any{map[string]any{
			"app_id": "org.example.app", "pushkey": "key", "pushkey_ts": nil, "data": map[string]any{"default_payload": map[string]any{"aps": 1.0}},
			"tweaks": map[string]any{"sound": "default"},
		}},
	}
	if diff := cmp.Diff(want, got.raw); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
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
