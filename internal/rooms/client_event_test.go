package rooms_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/timeline"
)

// unsignedOf is unsigned of an event as a user reads it.
func (h *house) unsignedOf(user, room, id string) object {
	h.t.Helper()
	e, access, err := h.Timeline.Event(h.t.Context(), user, room, id)
	h.ok(err)
	_, unsigned := shown(h.t, &timeline.Format{UserID: user, Access: access}, e)
	return unsigned
}

func TestEventAsClientsGetIt(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	id := h.send(alice, room, "hello")
	e := h.event(alice, room, id)
	whole, unsigned := shown(t, &timeline.Format{WithRoomID: true}, e)
	want := object{
		"content": raw(map[string]string{"msgtype": "m.text", "body": "hello"}), "event_id": raw(id), "room_id": raw(room),
		"origin_server_ts": raw(e.OriginServerTS), "sender": raw(alice), "type": raw("m.room.message"), "unsigned": whole["unsigned"],
	}
	if !sameJSON(string(raw(whole)), string(raw(want))) {
		t.Errorf("got %s, want %s", raw(whole), raw(want))
	}
	if string(raw(unsigned)) != `{"age":1}` {
		t.Errorf("unsigned is %s", raw(unsigned))
	}
	whole, _ = shown(t, &timeline.Format{}, e)
	if _, has := whole["room_id"]; has {
		t.Error("room_id is there, not asked for")
	}
	state, _, err := h.Timeline.StateEvent(t.Context(), alice, room, event.TypeJoinRules, "")
	h.ok(err)
	if whole, _ = shown(t, &timeline.Format{}, state); string(whole["state_key"]) != `""` {
		t.Errorf("state_key is %s", whole["state_key"])
	}
}

func TestAgeIsNeverNegative(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	e := h.event(alice, room, h.send(alice, room, "hello"))
	for now, want := range map[int64]string{-1000: `"age":0`, 0: `"age":0`, 7: `"age":7`} {
		f := timeline.Format{Now: time.UnixMilli(e.OriginServerTS + now)}
		if text := string(f.AppendJSON(nil, e)); !strings.Contains(text, want) {
			t.Errorf("%d ms after: %s", now, text)
		}
	}
}

func TestTransactionIDIsForTheSendingDevice(t *testing.T) {
	h := newHouse(t)
	room := h.public(bob)
	id, err := h.Send(t.Context(), rooms.Request{UserID: alice, DeviceID: "PHONE", RoomID: room, TxnID: "t\"1"}, "m.room.message", message("x"))
	h.ok(err)
	plain := h.send(alice, room, "without")
	for _, c := range []struct{ user, device, want string }{
		{alice, "PHONE", `"t\"1"`}, {alice, "LAPTOP", ""}, {bob, "PHONE", ""}, {bob, "LAPTOP", ""}, {"", "", ""},
	} {
		_, unsigned := shown(t, &timeline.Format{UserID: c.user, DeviceID: c.device}, h.event(alice, room, id))
		if got := string(unsigned["transaction_id"]); got != c.want {
			t.Errorf("%s on %s gets %s, want %s", c.user, c.device, got, c.want)
		}
		_, unsigned = shown(t, &timeline.Format{UserID: c.user, DeviceID: c.device}, h.event(alice, room, plain))
		if got, has := unsigned["transaction_id"]; has {
			t.Errorf("%s on %s gets %s for an event without", c.user, c.device, got)
		}
	}
}

func TestMembershipOfTheReaderAtEachEvent(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	want := map[string]string{h.send(alice, room, "1"): "leave"}
	h.invite(alice, room, bob)
	want[h.send(alice, room, "2")] = "invite"
	h.join(bob, room)
	joined, _, err := h.Timeline.StateEvent(t.Context(), alice, room, event.TypeMember, bob)
	h.ok(err)
	want[joined.ID] = "join"
	want[h.send(alice, room, "3")] = "join"
	h.leave(bob, room)
	left, _, err := h.Timeline.StateEvent(t.Context(), alice, room, event.TypeMember, bob)
	h.ok(err)
	want[left.ID] = "leave"
	for id, membership := range want {
		if got := string(h.unsignedOf(bob, room, id)["membership"]); got != `"`+membership+`"` {
			t.Errorf("membership is %s, want %s", got, membership)
		}
		if got := string(h.unsignedOf(alice, room, id)["membership"]); got != `"join"` {
			t.Errorf("alice's membership is %s", got)
		}
	}
}

func TestPrevContentIsForWhoMaySeeIt(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	h.set(alice, room, "m.room.history_visibility", "", `{"history_visibility":"joined"}`)
	first := h.set(alice, room, "m.room.topic", "", `{"topic":"for alice"}`)
	h.join(bob, room)
	second := h.set(alice, room, "m.room.topic", "", `{"topic":"for both"}`)
	third := h.set(alice, room, "m.room.topic", "", `{"topic":"now"}`)
	for _, c := range []struct{ user, id, prevContent, replaces string }{
		{alice, first, "", ""},
		{alice, second, `{"topic":"for alice"}`, first},
		{bob, second, "", first},
		{bob, third, `{"topic":"for both"}`, second},
	} {
		unsigned := h.unsignedOf(c.user, room, c.id)
		if got := string(unsigned["prev_content"]); got != c.prevContent {
			t.Errorf("%s: prev_content is %s, want %s", c.user, got, c.prevContent)
		}
		if got := strings.Trim(string(unsigned["replaces_state"]), `"`); got != c.replaces {
			t.Errorf("%s: replaces_state is %s, want %s", c.user, got, c.replaces)
		}
	}
}

func TestMembershipChangesSayWhatWasBefore(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	h.invite(alice, room, bob)
	h.join(bob, room)
	e, _, err := h.Timeline.StateEvent(t.Context(), bob, room, event.TypeMember, bob)
	h.ok(err)
	if got := string(h.unsignedOf(bob, room, e.ID)["prev_content"]); got != `{"membership":"invite"}` {
		t.Errorf("prev_content is %s", got)
	}
}

func TestStrippedState(t *testing.T) {
	h := newHouse(t)
	room := h.create(alice, rooms.CreateRequest{Name: "n"})
	e, _, err := h.Timeline.StateEvent(t.Context(), alice, room, "m.room.name", "")
	h.ok(err)
	want := `{"content":{"name":"n"},"sender":"` + alice + `","state_key":"","type":"m.room.name"}`
	if got := string(timeline.AppendStripped(nil, e)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFederationFormatGivesTheBytesThatAreSigned(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	e := h.event(alice, room, h.send(alice, room, "x"))
	if got := (&timeline.Format{Federation: true, WithRoomID: true}).AppendJSON(nil, e); string(got) != string(e.JSON) {
		t.Errorf("got %s", got)
	}
}

func TestListsOfEvents(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	for _, n := range []int{0, 1, 3} {
		events := h.history(alice, room)[:n]
		var list []object
		h.ok(unmarshal((&timeline.Format{}).AppendEvents(nil, events), &list))
		if len(list) != n || list == nil {
			t.Errorf("%d events became %d", n, len(list))
		}
	}
}

// busy makes a room in which everything happens that an event can show.
func (h *house) busy(random *rand.Rand, version int) string {
	h.t.Helper()
	room := h.create(alice, rooms.CreateRequest{Preset: "public_chat", RoomVersion: fmt.Sprint(version)})
	h.join(bob, room)
	sent := []string{h.send(alice, room, "first")}
	for i := range 60 {
		switch random.IntN(6) {
		case 0:
			sent = append(sent, h.set(alice, room, "m.room.topic", fmt.Sprint(random.IntN(2)), fmt.Sprintf(`{"topic":"%d"}`, i)))
		case 1:
			h.redact(alice, room, sent[random.IntN(len(sent))], "")
		case 2:
			sent = append(sent, h.set(bob, room, event.TypeMember, bob, fmt.Sprintf(`{"membership":"join","displayname":"%d"}`, i)))
		case 3:
			redaction, err := h.Redact(h.t.Context(), rooms.Request{UserID: alice, DeviceID: "A", RoomID: room, TxnID: fmt.Sprint(i)}, sent[0], "why")
			h.ok(err)
			sent = append(sent, redaction)
		default:
			id, err := h.Send(h.t.Context(), rooms.Request{UserID: alice, DeviceID: "A", RoomID: room, TxnID: fmt.Sprint(i)}, "m.room.message", raw(map[string]string{"body": "<é\u0001\">"}))
			h.ok(err)
			sent = append(sent, id)
		}
	}
	return room
}

func TestEventsInMemoryLookLikeThoseInTheDatabase(t *testing.T) {
	h := newHouse(t)
	random := rand.New(rand.NewPCG(11, 13))
	for version := 1; version <= 12; version++ {
		room := h.busy(random, version)
		st, err := h.Timeline.Messages(t.Context(), alice, room, timeline.Page{Limit: timeline.MaxLimit})
		h.ok(err)
		inMemory := h.roomWindow(st.Events[0].Room)
		equal(t, "the events", ids(inMemory), ids(st.Events))
		f := timeline.Format{WithRoomID: true, UserID: alice, DeviceID: "A", Access: st.Access, Now: time.Now()}
		for i, e := range st.Events {
			if inMemory, stored := f.AppendJSON(nil, inMemory[i]), f.AppendJSON(nil, e); string(inMemory) != string(stored) {
				t.Fatalf("version %d: in memory:\n%s\nin the database:\n%s", version, inMemory, stored)
			}
		}
	}
}

// roomWindow is what stands in memory of a room, oldest first.
func (h *house) roomWindow(room journal.RoomNID) (events []*timeline.Event) {
	h.t.Helper()
	var entries []*journal.Entry
	h.journal.Read(func(v journal.View) { entries = slices.Clone(v.About(journal.Topic{Room: room}, 0)) })
	for _, entry := range entries {
		events = append(events, timeline.EventOf(entry))
	}
	return events
}
