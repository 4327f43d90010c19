package rooms_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// hostile are texts that a client may send as any value.
var hostile = []string{
	"", "\x00", "a\x00b", "\xff", "\xed\xa0\x80", "%", "_", `\`, "'", `"`, "\u2028", "🙂", "*", "$", "!", "@", "#", "$1",
	"@a:b", "#a:b", "!a:b", "@a\x00:localhost", "#\x00:localhost", strings.Repeat("x", 256), "@" + strings.Repeat("ä", 200) + ":localhost",
	"!" + strings.Repeat("x", 5000), "../../etc/passwd", "'; DROP TABLE events; --",
}

func TestNoTextEndsInAnInternalError(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	id := h.Send(alice, room, "hi")
	for _, x := range hostile {
		for _, answers := range []map[string]error{h.sendHostile(room, id, x), h.changeHostile(room, x), h.readHostile(room, id, x)} {
			for what, err := range answers {
				forClient(t, fmt.Sprintf("%s %.40q", what, x), err)
			}
		}
	}
	checkChain(t, h, room)
}

func errorsOf(calls map[string]func() error) map[string]error {
	answers := map[string]error{}
	for what, call := range calls {
		answers[what] = call()
	}
	return answers
}

// sendHostile uses a text in all requests that send events.
func (h *env) sendHostile(room, id, x string) map[string]error {
	ctx := h.T.Context()
	return errorsOf(map[string]func() error{
		"send to": func() error { return h.trySend(alice, x) },
		"send type": func() error {
			_, err := h.Rooms.Send(ctx, roomstest.As(alice, room), x, json.RawMessage(`{}`))
			return err
		},
		"content": func() error {
			_, err := h.Rooms.Send(ctx, roomstest.As(alice, room), "m", json.RawMessage(x))
			return err
		},
		"state type":    func() error { return h.TrySetState(alice, room, x, "", `{}`) },
		"state key":     func() error { return h.TrySetState(alice, room, "org.example", x, `{}`) },
		"state content": func() error { return h.TrySetState(alice, room, "org.example", "", x) },
		"member":        func() error { return h.TrySetState(alice, room, event.TypeMember, x, `{"membership":"invite"}`) },
		"membership": func() error {
			return h.TrySetState(bob, room, event.TypeMember, bob, string(roomstest.Raw(map[string]string{"membership": x})))
		},
		"visibility": func() error {
			return h.TrySetState(alice, room, "m.room.history_visibility", "", `{"history_visibility":`+string(roomstest.Raw(x))+`}`)
		},
		"join rule": func() error {
			return h.TrySetState(alice, room, event.TypeJoinRules, "", `{"join_rule":`+string(roomstest.Raw(x))+`}`)
		},
		"alias state": func() error {
			return h.TrySetState(alice, room, event.TypeCanonicalAlias, "", `{"alias":`+string(roomstest.Raw(x))+`}`)
		},
		"redact":    func() error { return h.tryRedact(alice, room, x) },
		"redact in": func() error { return h.tryRedact(alice, x, id) },
		"reason": func() error {
			_, err := h.Rooms.Redact(ctx, roomstest.As(alice, room), id, x)
			return err
		},
		"transaction": func() error {
			_, err := h.Rooms.Send(ctx, rooms.Request{UserID: alice, DeviceID: "A", RoomID: room, TxnID: x}, "m", json.RawMessage(`{}`))
			return err
		},
		"device": func() error {
			_, err := h.Rooms.Send(ctx, rooms.Request{UserID: alice, DeviceID: x, RoomID: room, TxnID: "1"}, "m", json.RawMessage(`{}`))
			return err
		},
	})
}

// changeHostile uses a text in all requests that change memberships and aliases.
func (h *env) changeHostile(room, x string) map[string]error {
	ctx := h.T.Context()
	return errorsOf(map[string]func() error{
		"join":         func() error { return h.Rooms.Join(ctx, carol, x, "") },
		"join reason":  func() error { return h.Rooms.Join(ctx, carol, room, x) },
		"leave":        func() error { return h.Rooms.Leave(ctx, carol, x, "") },
		"leave reason": func() error { return h.Rooms.Leave(ctx, carol, room, x) },
		"invite":       func() error { return h.Rooms.Invite(ctx, alice, room, x, "") },
		"invite to":    func() error { return h.Rooms.Invite(ctx, alice, x, dave, "") },
		"kick":         func() error { return h.Rooms.Kick(ctx, alice, room, x, x) },
		"ban":          func() error { return h.Rooms.Ban(ctx, alice, room, x, x) },
		"unban":        func() error { return h.Rooms.Unban(ctx, alice, room, x, x) },
		"knock":        func() error { return h.Rooms.Knock(ctx, dave, x, "") },
		"forget":       func() error { return h.Rooms.Forget(ctx, dave, x) },
		"resolve":      func() error { _, err := h.Rooms.Directory.Resolve(ctx, x); return err },
		"make alias":   func() error { return h.Rooms.CreateAlias(ctx, alice, x, room) },
		"alias for":    func() error { return h.Rooms.CreateAlias(ctx, alice, "#for:localhost", x) },
		"delete alias": func() error { return h.Rooms.DeleteAlias(ctx, alice, x, false) },
		"aliases":      func() error { _, err := h.Rooms.Aliases(ctx, alice, x); return err },
	})
}

// readHostile uses a text in all requests that read rooms.
func (h *env) readHostile(room, id, x string) map[string]error {
	ctx := h.T.Context()
	return errorsOf(map[string]func() error{
		"state":         func() error { _, _, err := h.Rooms.Timeline.For(alice).State(ctx, x); return err },
		"entry of type": func() error { return second(h.Rooms.Timeline.For(alice).StateEvent(ctx, room, x, "")) },
		"entry of key":  func() error { return second(h.Rooms.Timeline.For(alice).StateEvent(ctx, room, event.TypeMember, x)) },
		"members": func() error {
			_, _, err := h.Rooms.Timeline.For(alice).Members(ctx, x, timeline.MemberFilter{})
			return err
		},
		"joined": func() error { _, err := h.Rooms.Timeline.For(alice).JoinedMembers(ctx, x); return err },
		"messages": func() error {
			_, err := h.Rooms.Timeline.For(alice).Messages(ctx, x, timeline.Page{Limit: 1})
			return err
		},
		"event":    func() error { return second(h.Rooms.Timeline.For(alice).Event(ctx, room, x)) },
		"event in": func() error { return second(h.Rooms.Timeline.For(alice).Event(ctx, x, id)) },
		"context":  func() error { _, err := h.Rooms.Timeline.For(alice).Context(ctx, room, x, 3, nil); return err },
	})
}

func TestNoTextInANewRoomEndsInAnInternalError(t *testing.T) {
	h := newEnv(t)
	for _, x := range hostile {
		for what, q := range map[string]rooms.CreateRequest{
			"alias":       {AliasName: x},
			"name":        {Name: x, Topic: x},
			"visibility":  {Visibility: x},
			"preset":      {Preset: x},
			"version":     {RoomVersion: x},
			"invite":      {Invite: []string{x}},
			"trusted":     {Invite: []string{x}, Preset: "trusted_private_chat", RoomVersion: "12"},
			"state type":  {InitialState: []rooms.InitialState{{Type: x, Content: json.RawMessage(`{}`)}}},
			"state key":   {InitialState: []rooms.InitialState{{Type: "a", StateKey: x, Content: json.RawMessage(`{}`)}}},
			"visible":     {InitialState: []rooms.InitialState{{Type: "m.room.history_visibility", Content: roomstest.Raw(map[string]string{"history_visibility": x})}}},
			"content key": {CreationContent: roomstest.Object{x: roomstest.Raw(x)}},
			"type":        {CreationContent: roomstest.Object{"type": roomstest.Raw(x)}},
			"level":       {PowerLevels: roomstest.Object{x: roomstest.Raw(1)}},
			"user level":  {PowerLevels: roomstest.Object{"users": roomstest.Raw(map[string]int{alice: 100, x: 1})}},
		} {
			_, err := h.Rooms.Create(t.Context(), alice, q)
			forClient(t, fmt.Sprintf("%s %.40q", what, x), err)
		}
	}
}

func TestLimitsOfWhatIsSent(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	max := strings.Repeat("x", 255)
	for name, c := range map[string]struct {
		q            rooms.Request
		evType       string
		key, content string
		code         matrix.Code
	}{
		"longest type":        {rooms.Request{}, max, "", `{}`, ""},
		"type too long":       {rooms.Request{}, max + "x", "", `{}`, matrix.TooLarge},
		"no type":             {rooms.Request{}, "", "", `{}`, matrix.InvalidParam},
		"longest state key":   {rooms.Request{}, "a", max, `{}`, ""},
		"state key too long":  {rooms.Request{}, "a", max + "x", `{}`, matrix.TooLarge},
		"state key counted":   {rooms.Request{}, "a", strings.Repeat("ä", 128), `{}`, matrix.TooLarge},
		"largest content":     {rooms.Request{}, "a", "", `{"x":"` + strings.Repeat("y", 64000) + `"}`, ""},
		"content too large":   {rooms.Request{}, "a", "", `{"x":"` + strings.Repeat("y", 65536) + `"}`, matrix.TooLarge},
		"deep content":        {rooms.Request{}, "a", "", `{"x":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`, matrix.BadJSON},
		"duplicate key":       {rooms.Request{}, "a", "", `{"x":1,"x":2}`, matrix.BadJSON},
		"half a character":    {rooms.Request{}, "a", "", `{"x":"\ud800"}`, matrix.BadJSON},
		"longest transaction": {rooms.Request{DeviceID: "A", TxnID: max}, "a", "", `{}`, ""},
		"transaction id":      {rooms.Request{DeviceID: "A", TxnID: max + "x"}, "a", "", `{}`, matrix.InvalidParam},
		"NUL in content":      {rooms.Request{}, "a", "nul", `{"x":"\u0000"}`, ""},
	} {
		c.q.UserID, c.q.RoomID = alice, room
		_, err := h.Rooms.SetState(t.Context(), c.q, c.evType, c.key, json.RawMessage(c.content))
		matrixtest.WantCode(t, err, c.code, name)
	}
	h.WantContent(alice, room, "a", "nul", `{"x":"\u0000"}`)
	checkChain(t, h, room)
}

func TestFloatsAreForOldRoomsOnly(t *testing.T) {
	h := newEnv(t)
	h.EachVersion(rooms.CreateRequest{}, func(version int, room string) {
		_, err := h.Rooms.Send(t.Context(), roomstest.As(alice, room), "org.example", json.RawMessage(`{"n":1.5,"m":1e300}`))
		code := matrix.Code("")
		if version >= 6 {
			code = matrix.BadJSON
		}
		matrixtest.WantCode(t, err, code, fmt.Sprintf("version %d", version))
	})
}
