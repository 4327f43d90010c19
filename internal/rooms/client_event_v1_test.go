package rooms_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/timeline"
)

// old gives an event in the format of api/v1.
func (h *house) old(f timeline.Format, e *timeline.Event) (whole object) {
	h.t.Helper()
	f.V1, f.WithRoomID, f.Now = true, true, time.UnixMilli(e.OriginServerTS+7)
	text := f.AppendJSON(nil, e)
	if err := json.Unmarshal(text, &whole); err != nil {
		h.t.Fatalf("the event is no JSON: %v\n%s", err, text)
	}
	return whole
}

func TestEventOfV1(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	e := h.event(alice, room, h.send(alice, room, "hello"))
	want := object{
		"age": raw(7), "content": raw(map[string]string{"msgtype": "m.text", "body": "hello"}), "event_id": raw(e.ID), "room_id": raw(room),
		"origin_server_ts": raw(e.OriginServerTS), "sender": raw(alice), "type": raw("m.room.message"), "user_id": raw(alice),
	}
	if got := h.old(timeline.Format{UserID: alice}, e); !sameJSON(string(raw(got)), string(raw(want))) {
		t.Errorf("got %s, want %s", raw(got), raw(want))
	}
}

func TestStateEventOfV1TellsWhatItReplaced(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	first := h.set(alice, room, "m.room.topic", "", `{"topic":"1"}`)
	second := h.event(alice, room, h.set(alice, room, "m.room.topic", "", `{"topic":"2"}`))
	got := h.old(timeline.Format{}, second)
	if string(got["replaces_state"]) != string(raw(first)) || string(got["prev_content"]) != `{"topic":"1"}` || string(got["state_key"]) != `""` {
		t.Errorf("got %s", raw(got))
	}
	redaction, err := h.Redact(t.Context(), as(alice, room), second.ID, "")
	h.ok(err)
	var because object
	h.ok(json.Unmarshal(h.old(timeline.Format{}, h.event(alice, room, second.ID))["redacted_because"], &because))
	if string(because["event_id"]) != string(raw(redaction)) || string(because["user_id"]) != string(raw(alice)) || because["unsigned"] != nil {
		t.Errorf("redacted because of %s", raw(because))
	}
}

func TestInviteOfV1ComesWithTheState(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	h.invite(alice, room, bob)
	state, _, err := h.Timeline.StateEvent(t.Context(), alice, room, event.TypeMember, bob)
	h.ok(err)
	rules, _, err := h.Timeline.StateEvent(t.Context(), alice, room, event.TypeJoinRules, "")
	h.ok(err)
	for user, has := range map[string]bool{bob: true, alice: false} {
		got := h.old(timeline.Format{UserID: user, InviteState: []*timeline.Event{rules}}, state)
		if string(got["membership"]) != `"invite"` || (got["invite_room_state"] != nil) != has {
			t.Errorf("to %s: %s", user, raw(got))
		}
	}
}

func TestEventWithoutItsID(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	whole, _ := shown(t, &timeline.Format{WithoutID: true}, h.event(alice, room, h.send(alice, room, "hello")))
	names := slices.Sorted(maps.Keys(whole))
	if want := []string{"content", "origin_server_ts", "sender", "type", "unsigned"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

func TestWhoMayWatchARoom(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	for _, step := range []struct {
		what string
		do   func()
		may  bool
	}{
		{"a stranger", func() {}, false},
		{"who is in", func() { h.join(bob, room) }, true},
		{"who has left", func() { h.leave(bob, room) }, false},
		{"anybody", func() { h.set(alice, room, "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`) }, true},
		{"nobody any more", func() { h.set(alice, room, "m.room.history_visibility", "", `{"history_visibility":"shared"}`) }, false},
	} {
		step.do()
		_, err := h.Timeline.Peek(t.Context(), bob, room)
		if may := err == nil; may != step.may || !may && !matrix.IsCode(err, matrix.Forbidden) {
			t.Errorf("%s: %v", step.what, err)
		}
	}
	for _, look := range []func() error{
		func() error { _, err := h.Timeline.Peek(t.Context(), bob, "!none:localhost"); return err },
		func() error { _, _, err := h.Timeline.Access(t.Context(), bob, "!none:localhost"); return err },
	} {
		if err := look(); !matrix.IsCode(err, matrix.Forbidden) {
			t.Errorf("no room: %v", err)
		}
	}
}

func TestOldestOfManyRooms(t *testing.T) {
	h := newHouse(t)
	one, first := h.described(5)
	two, second := h.described(6)
	end := h.journal.Position()
	all := slices.Concat(first, second)
	slices.SortFunc(all, func(a, b *timeline.Event) int { return int(a.Position - b.Position) })
	f := &timeline.EventFilter{Types: &[]string{"m.room.m*"}}
	windows := []timeline.Window{{Room: one, Range: timeline.Range{From: 1, To: end}}, {Room: two, Range: timeline.Range{From: 1, To: end}}}
	for _, limit := range []int{0, 1, 5, len(all)} {
		got, err := h.Timeline.Oldest(t.Context(), windows, limit, f)
		h.ok(err)
		var want []*timeline.Event
		for _, e := range all {
			if f.Match(e) && len(want) <= limit {
				want = append(want, e)
			}
		}
		if !slices.Equal(ids(got.Events), ids(want)) {
			t.Errorf("limit %d: got %v, want %v", limit, ids(got.Events), ids(want))
		}
	}
}

func TestListedAmong(t *testing.T) {
	h := newHouse(t)
	create := func(visibility string) string {
		made, err := h.Create(t.Context(), alice, rooms.CreateRequest{Visibility: visibility})
		h.ok(err)
		return made.RoomID
	}
	public, other, private := create("public"), create("public"), create("private")
	listed, err := h.ListedAmong(t.Context(), []string{public, private, "!none:localhost"})
	h.ok(err)
	if !listed[public] || listed[private] || listed[other] || len(listed) != 1 {
		t.Errorf("got %v", listed)
	}
}
