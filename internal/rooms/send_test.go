package rooms_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

func TestMessagesAreReadBackInTheOrderOfSending(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	var want []string
	for i := range 20 {
		body := fmt.Sprintf("message %d", i)
		h.Send([]string{alice, bob}[i%2], room, body)
		want = append(want, body)
	}
	if got := h.Bodies(bob, room); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestStrangersMayNotSend(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	_, err := h.Rooms.Send(t.Context(), rooms.Request{UserID: bob, RoomID: room}, "m.room.message", roomstest.Message("hi"))
	matrixtest.WantCode(h.T, err, matrix.Forbidden)
	_, err = h.Rooms.Send(t.Context(), rooms.Request{UserID: bob, RoomID: "!unknown:localhost"}, "m.room.message", roomstest.Message("hi"))
	matrixtest.WantCode(h.T, err, matrix.Forbidden)
}

func TestTransactionMakesOneEvent(t *testing.T) {
	h := newEnv(t)
	room, other := h.Public(), h.Public()
	send := func(device, room, evType, txn string) string {
		t.Helper()
		id, err := h.Rooms.Send(t.Context(), rooms.Request{UserID: alice, DeviceID: device, RoomID: room, TxnID: txn}, evType, roomstest.Message(txn))
		h.OK(err)
		return id
	}
	first := send("A", room, "m.room.message", "1")
	if again := send("A", room, "m.room.message", "1"); again != first {
		t.Errorf("the same transaction made %s after %s", again, first)
	}
	for name, id := range map[string]string{
		"another transaction": send("A", room, "m.room.message", "2"),
		"another device":      send("B", room, "m.room.message", "1"),
		"another type":        send("A", room, "org.example", "1"),
		"another room":        send("A", other, "m.room.message", "1"),
	} {
		if id == first {
			t.Errorf("%s gave the same event", name)
		}
	}
	restarted := envOn(t, h.Pool)
	id, err := restarted.Rooms.Send(t.Context(), rooms.Request{UserID: alice, DeviceID: "A", RoomID: room, TxnID: "1"}, "m.room.message", roomstest.Message("1"))
	h.OK(err)
	if id != first {
		t.Errorf("after a restart the same transaction made %s after %s", id, first)
	}
}

func TestTransactionSentManyTimesAtOnceMakesOneEvent(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	ids := make([]string, 32)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			id, err := h.Rooms.Send(t.Context(), rooms.Request{UserID: alice, DeviceID: "A", RoomID: room, TxnID: "x"}, "m.room.message", roomstest.Message("once"))
			if err != nil {
				t.Error(err)
			}
			ids[i] = id
		})
	}
	wg.Wait()
	slices.Sort(ids)
	if ids = slices.Compact(ids); len(ids) != 1 {
		t.Errorf("one transaction made %d events", len(ids))
	}
	if got := h.Bodies(alice, room); len(got) != 1 {
		t.Errorf("the room has %d messages", len(got))
	}
}

func TestTwoProcessesWriteToOneRoom(t *testing.T) {
	a := newEnv(t)
	b := envOn(t, a.Pool)
	room := a.Public(bob)
	const each = 40
	var wg sync.WaitGroup
	for i, h := range []*env{a, b} {
		for n := range each {
			wg.Go(func() {
				q := rooms.Request{UserID: []string{alice, bob}[i], RoomID: room}
				for { // a process that loses the race for the head too often answers that the client may retry
					_, err := h.Rooms.Send(t.Context(), q, "m.room.message", roomstest.Message(fmt.Sprint(i, n)))
					if err == nil {
						return
					}
					if !matrix.IsCode(err, matrix.Unknown) {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	reader := envOn(t, a.Pool)
	if got := len(reader.Bodies(alice, room)); got != 2*each {
		t.Errorf("the room has %d messages, want %d", got, 2*each)
	}
	checkChain(t, reader, room)
}

// checkChain checks that each event of a room is built on the one before it.
func checkChain(t *testing.T, h *env, room string) {
	t.Helper()
	st, err := h.Rooms.Timeline.Stored().For(alice).Messages(t.Context(), room, timeline.Page{Limit: 1000})
	h.OK(err)
	for i, e := range st.Events {
		switch {
		case i == 0 && len(e.PrevEvents()) != 0:
			t.Errorf("the first event names %v before it", e.PrevEvents())
		case i > 0 && !slices.Equal(e.PrevEvents(), []string{st.Events[i-1].ID}):
			t.Errorf("event %d names %v before it, not %s", i, e.PrevEvents(), st.Events[i-1].ID)
		}
		if e.Depth != int64(i+1) {
			t.Errorf("event %d has depth %d", i, e.Depth)
		}
	}
}

func TestEventsAreSignedAndHashed(t *testing.T) {
	h := newEnv(t)
	for version := 1; version <= 12; version++ {
		room := h.Create(alice, rooms.CreateRequest{RoomVersion: fmt.Sprint(version), Name: "signed"})
		h.Send(alice, room, "hello")
		st, err := h.Rooms.Timeline.For(alice).Messages(t.Context(), room, timeline.Page{Limit: 100})
		h.OK(err)
		for _, e := range st.Events {
			if err := e.VerifyHash(); err != nil {
				t.Errorf("version %d, %s: %v", version, e.Type, err)
			}
		}
		checkChain(t, h, room)
	}
}

func TestContentThatNoEventCanHoldIsRefused(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	big, err := json.Marshal(map[string]string{"body": string(make([]byte, 70000))})
	h.OK(err)
	for name, c := range map[string]struct {
		content string
		code    matrix.Code
	}{
		"float":     {`{"n":1.5}`, matrix.BadJSON},
		"too great": {`{"n":9007199254740992}`, matrix.BadJSON},
		"no object": {`[]`, matrix.BadJSON},
		"too large": {string(big), matrix.TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := h.Rooms.Send(t.Context(), rooms.Request{UserID: alice, RoomID: room}, "m.room.message", json.RawMessage(c.content))
			if !matrix.IsCode(err, c.code) {
				t.Errorf("got %v, want %s", err, c.code)
			}
		})
	}
}
