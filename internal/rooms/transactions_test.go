package rooms_test

import (
	"fmt"
	"sync"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
)

// by returns a request of alice's device A with a transaction ID.
func by(room, txn string) rooms.Request {
	return rooms.Request{UserID: alice, DeviceID: "A", RoomID: room, TxnID: txn}
}

func TestTransactionIsOneEventAcrossProcesses(t *testing.T) {
	a := newEnv(t)
	b := envOn(t, a.Pool)
	room := a.Public()
	for round := range 10 {
		var wg sync.WaitGroup
		got := make([]string, 8)
		for i := range got {
			wg.Go(func() {
				id, err := []*env{a, b}[i%2].Rooms.Send(t.Context(), by(room, fmt.Sprint(round)), "m.room.message", roomstest.Message("once"))
				matrixtest.WantCode(t, err, "", "send")
				got[i] = id
			})
		}
		wg.Wait()
		for _, id := range got[1:] {
			if id != got[0] {
				t.Errorf("round %d: %q", round, got)
				break
			}
		}
	}
	reader := envOn(t, a.Pool)
	if n := len(reader.Bodies(alice, room)); n != 10 {
		t.Errorf("the room has %d messages", n)
	}
	checkChain(t, reader, room)
}

func TestTransactionThatWasRefusedMayBeTriedAgain(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	q := rooms.Request{UserID: bob, DeviceID: "B", RoomID: room, TxnID: "1"}
	_, err := h.Rooms.Send(t.Context(), q, "m.room.message", roomstest.Raw(1.5))
	matrixtest.WantCode(t, err, matrix.BadJSON, "no object")
	h.Leave(bob, room)
	_, err = h.Rooms.Send(t.Context(), q, "m.room.message", roomstest.Message("x"))
	matrixtest.WantCode(t, err, matrix.Forbidden, "outside")
	h.Join(bob, room)
	_, err = h.Rooms.Send(t.Context(), q, "m.room.message", roomstest.Message("x"))
	matrixtest.WantCode(t, err, "", "inside")
	matrixtest.Equal(t, "messages", h.Bodies(bob, room), []string{"x"})
}

func TestRepeatedRequestIsAnsweredAsBeforeEvenAfterLeaving(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	q := rooms.Request{UserID: bob, DeviceID: "B", RoomID: room, TxnID: "1"}
	first, err := h.Rooms.Send(t.Context(), q, "m.room.message", roomstest.Message("x"))
	h.OK(err)
	redacted, err := h.Rooms.Redact(t.Context(), rooms.Request{UserID: bob, DeviceID: "B", RoomID: room, TxnID: "2"}, first, "")
	h.OK(err)
	h.Leave(bob, room)
	for name, again := range map[string]*env{"in memory": h, "after a restart": envOn(t, h.Pool)} {
		id, err := again.Rooms.Send(t.Context(), q, "m.room.message", roomstest.Message("x"))
		matrixtest.WantCode(t, err, "", name)
		if id != first {
			t.Errorf("%s: got %s, want %s", name, id, first)
		}
		id, err = again.Rooms.Redact(t.Context(), rooms.Request{UserID: bob, DeviceID: "B", RoomID: room, TxnID: "2"}, first, "")
		matrixtest.WantCode(t, err, "", name+", redacting")
		if id != redacted {
			t.Errorf("%s, redacting: got %s, want %s", name, id, redacted)
		}
		_, err = again.Rooms.Send(t.Context(), rooms.Request{UserID: bob, DeviceID: "B", RoomID: room, TxnID: "new"}, "m.room.message", roomstest.Message("x"))
		matrixtest.WantCode(t, err, matrix.Forbidden, name+", a new one")
	}
}

func TestTransactionsOfRedactions(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	one, two := h.Send(alice, room, "one"), h.Send(alice, room, "two")
	first, err := h.Rooms.Redact(t.Context(), by(room, "1"), one, "")
	h.OK(err)
	again, err := h.Rooms.Redact(t.Context(), by(room, "1"), one, "")
	h.OK(err)
	other, err := h.Rooms.Redact(t.Context(), by(room, "1"), two, "") // another path
	h.OK(err)
	if again != first || other == first {
		t.Errorf("got %s, %s and %s", first, again, other)
	}
}

func TestTransactionKeepsTheFirstContent(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	for _, body := range []string{"first", "second"} {
		_, err := h.Rooms.Send(t.Context(), by(room, "1"), "m.room.message", roomstest.Message(body))
		h.OK(err)
	}
	matrixtest.Equal(t, "messages", h.Bodies(alice, room), []string{"first"})
}

func TestEventsWithoutTransactionAreAllKept(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	seen := map[string]bool{}
	for range 10 {
		seen[h.Send(alice, room, "same")] = true
	}
	if len(seen) != 10 || len(h.Bodies(alice, room)) != 10 {
		t.Errorf("%d events, %d messages", len(seen), len(h.Bodies(alice, room)))
	}
}

func TestWhoWasAnsweredSeesTheEvent(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol)
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			id := h.Send([]string{alice, bob, carol}[i%3], room, fmt.Sprint(i))
			if e := h.Event(bob, room, id); e.ID != id {
				t.Errorf("got %s, want %s", e.ID, id)
			}
		})
	}
	wg.Wait()
	checkChain(t, h, room)
}

func TestOneBadEventAmongManyHarmsNoOther(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	var wg sync.WaitGroup
	for i := range 80 {
		wg.Go(func() {
			switch i % 4 {
			case 0:
				matrixtest.WantCode(t, h.trySend(dave, room), matrix.Forbidden, "a stranger")
			case 1:
				_, err := h.Rooms.Send(t.Context(), roomstest.As(alice, room), "m.room.message", roomstest.Raw([]int{1}))
				matrixtest.WantCode(t, err, matrix.BadJSON, "a list")
			default:
				matrixtest.WantCode(t, h.trySend([]string{alice, bob}[i%2], room), "", "a message")
			}
		})
	}
	wg.Wait()
	if n := len(h.Bodies(alice, room)); n != 40 {
		t.Errorf("%d messages", n)
	}
	checkChain(t, h, room)
}

func TestLeavingAndSendingAtOnceKeepsTheOrderOfTheRules(t *testing.T) {
	h := newEnv(t)
	for range 10 {
		room := h.Public(bob)
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				if err := h.trySend(bob, room); err != nil {
					matrixtest.WantCode(t, err, matrix.Forbidden, "bob")
				}
			})
		}
		wg.Go(func() { h.Leave(bob, room) })
		wg.Wait()
		left := false
		for _, e := range h.History(alice, room) {
			left = left || e.IsState(event.TypeMember, bob) && e.Membership() == event.Leave
			if left && e.Sender == bob && e.Type == "m.room.message" {
				t.Error("bob has sent after leaving")
			}
		}
	}
}

func TestTwoProcessesChangeMembershipsOfOneRoom(t *testing.T) {
	a := newEnv(t)
	processes := []*env{a, envOn(t, a.Pool), envOn(t, a.Pool)}
	room := a.Public()
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			h, user := processes[i%3], fmt.Sprintf("@user%d:localhost", i)
			for _, act := range []func() error{
				func() error { return h.Rooms.Join(t.Context(), user, room, "") },
				func() error { return h.Rooms.Leave(t.Context(), user, room, "") },
				func() error { return h.Rooms.Join(t.Context(), user, room, "") },
			} {
				err := act()
				for matrix.IsCode(err, matrix.Unknown) { // the client may retry
					err = act()
				}
				matrixtest.WantCode(t, err, "", user)
			}
		})
	}
	wg.Wait()
	reader := envOn(t, a.Pool)
	list, err := reader.Rooms.Timeline.For(alice).JoinedMembers(t.Context(), room)
	a.OK(err)
	if n := len(a.all(list)); n != 31 {
		t.Errorf("%d have joined", n)
	}
	var counted int
	a.OK(a.Pool.QueryRow(t.Context(), `SELECT joined_members FROM rooms WHERE room_id = $1`, room).Scan(&counted))
	if counted != 31 {
		t.Errorf("the room counts %d", counted)
	}
	checkChain(t, reader, room)
}
