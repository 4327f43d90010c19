package rooms_test

import (
	"fmt"
	"sync"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
)

// by is a request of alice's device A with a transaction ID.
func by(room, txn string) rooms.Request {
	return rooms.Request{UserID: alice, DeviceID: "A", RoomID: room, TxnID: txn}
}

func TestTransactionIsOneEventAcrossProcesses(t *testing.T) {
	a := newHouse(t)
	b := houseOn(t, a.pool)
	room := a.public()
	for round := range 10 {
		var wg sync.WaitGroup
		got := make([]string, 8)
		for i := range got {
			wg.Go(func() {
				id, err := []*house{a, b}[i%2].Send(t.Context(), by(room, fmt.Sprint(round)), "m.room.message", message("once"))
				expect(t, "send", err, "")
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
	reader := houseOn(t, a.pool)
	if n := len(reader.bodies(alice, room)); n != 10 {
		t.Errorf("the room has %d messages", n)
	}
	checkChain(t, reader, room)
}

func TestTransactionThatWasRefusedMayBeTriedAgain(t *testing.T) {
	h := newHouse(t)
	room := h.public(bob)
	q := rooms.Request{UserID: bob, DeviceID: "B", RoomID: room, TxnID: "1"}
	_, err := h.Send(t.Context(), q, "m.room.message", raw(1.5))
	expect(t, "no object", err, matrix.BadJSON)
	h.leave(bob, room)
	_, err = h.Send(t.Context(), q, "m.room.message", message("x"))
	expect(t, "outside", err, matrix.Forbidden)
	h.join(bob, room)
	_, err = h.Send(t.Context(), q, "m.room.message", message("x"))
	expect(t, "inside", err, "")
	equal(t, "messages", h.bodies(bob, room), []string{"x"})
}

func TestRepeatedRequestIsAnsweredAsBeforeEvenAfterLeaving(t *testing.T) {
	h := newHouse(t)
	room := h.public(bob)
	q := rooms.Request{UserID: bob, DeviceID: "B", RoomID: room, TxnID: "1"}
	first, err := h.Send(t.Context(), q, "m.room.message", message("x"))
	h.ok(err)
	redacted, err := h.Redact(t.Context(), rooms.Request{UserID: bob, DeviceID: "B", RoomID: room, TxnID: "2"}, first, "")
	h.ok(err)
	h.leave(bob, room)
	for name, again := range map[string]*house{"in memory": h, "after a restart": houseOn(t, h.pool)} {
		id, err := again.Send(t.Context(), q, "m.room.message", message("x"))
		expect(t, name, err, "")
		if id != first {
			t.Errorf("%s: got %s, want %s", name, id, first)
		}
		id, err = again.Redact(t.Context(), rooms.Request{UserID: bob, DeviceID: "B", RoomID: room, TxnID: "2"}, first, "")
		expect(t, name+", redacting", err, "")
		if id != redacted {
			t.Errorf("%s, redacting: got %s, want %s", name, id, redacted)
		}
		_, err = again.Send(t.Context(), rooms.Request{UserID: bob, DeviceID: "B", RoomID: room, TxnID: "new"}, "m.room.message", message("x"))
		expect(t, name+", a new one", err, matrix.Forbidden)
	}
}

func TestTransactionsOfRedactions(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	one, two := h.send(alice, room, "one"), h.send(alice, room, "two")
	first, err := h.Redact(t.Context(), by(room, "1"), one, "")
	h.ok(err)
	again, err := h.Redact(t.Context(), by(room, "1"), one, "")
	h.ok(err)
	other, err := h.Redact(t.Context(), by(room, "1"), two, "") // another path
	h.ok(err)
	if again != first || other == first {
		t.Errorf("got %s, %s and %s", first, again, other)
	}
}

func TestTransactionKeepsTheFirstContent(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	for _, body := range []string{"first", "second"} {
		_, err := h.Send(t.Context(), by(room, "1"), "m.room.message", message(body))
		h.ok(err)
	}
	equal(t, "messages", h.bodies(alice, room), []string{"first"})
}

func TestEventsWithoutTransactionAreAllKept(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	seen := map[string]bool{}
	for range 10 {
		seen[h.send(alice, room, "same")] = true
	}
	if len(seen) != 10 || len(h.bodies(alice, room)) != 10 {
		t.Errorf("%d events, %d messages", len(seen), len(h.bodies(alice, room)))
	}
}

func TestWhoWasAnsweredSeesTheEvent(t *testing.T) {
	h := newHouse(t)
	room := h.public(bob, carol)
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			id := h.send([]string{alice, bob, carol}[i%3], room, fmt.Sprint(i))
			if e := h.event(bob, room, id); e.ID != id {
				t.Errorf("got %s, want %s", e.ID, id)
			}
		})
	}
	wg.Wait()
	checkChain(t, h, room)
}

func TestOneBadEventAmongManyHarmsNoOther(t *testing.T) {
	h := newHouse(t)
	room := h.public(bob)
	var wg sync.WaitGroup
	for i := range 80 {
		wg.Go(func() {
			switch i % 4 {
			case 0:
				expect(t, "a stranger", h.trySend(dave, room), matrix.Forbidden)
			case 1:
				_, err := h.Send(t.Context(), as(alice, room), "m.room.message", raw([]int{1}))
				expect(t, "a list", err, matrix.BadJSON)
			default:
				expect(t, "a message", h.trySend([]string{alice, bob}[i%2], room), "")
			}
		})
	}
	wg.Wait()
	if n := len(h.bodies(alice, room)); n != 40 {
		t.Errorf("%d messages", n)
	}
	checkChain(t, h, room)
}

func TestLeavingAndSendingAtOnceKeepsTheOrderOfTheRules(t *testing.T) {
	h := newHouse(t)
	for range 10 {
		room := h.public(bob)
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				if err := h.trySend(bob, room); err != nil {
					expect(t, "bob", err, matrix.Forbidden)
				}
			})
		}
		wg.Go(func() { h.leave(bob, room) })
		wg.Wait()
		left := false
		for _, e := range h.history(alice, room) {
			left = left || e.IsState(event.TypeMember, bob) && e.Membership() == event.Leave
			if left && e.Sender == bob && e.Type == "m.room.message" {
				t.Error("bob has sent after leaving")
			}
		}
	}
}

func TestTwoProcessesChangeMembershipsOfOneRoom(t *testing.T) {
	a := newHouse(t)
	houses := []*house{a, houseOn(t, a.pool), houseOn(t, a.pool)}
	room := a.public()
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			h, user := houses[i%3], fmt.Sprintf("@user%d:localhost", i)
			for _, act := range []func() error{
				func() error { return h.Join(t.Context(), user, room, "") },
				func() error { return h.Leave(t.Context(), user, room, "") },
				func() error { return h.Join(t.Context(), user, room, "") },
			} {
				err := act()
				for matrix.IsCode(err, matrix.Unknown) { // told to come back
					err = act()
				}
				expect(t, user, err, "")
			}
		})
	}
	wg.Wait()
	reader := houseOn(t, a.pool)
	list, err := reader.Timeline.JoinedMembers(t.Context(), alice, room)
	a.ok(err)
	if n := len(a.all(list)); n != 31 {
		t.Errorf("%d have joined", n)
	}
	var counted int
	a.ok(a.pool.QueryRow(t.Context(), `SELECT joined_members FROM rooms WHERE room_id = $1`, room).Scan(&counted))
	if counted != 31 {
		t.Errorf("the room counts %d", counted)
	}
	checkChain(t, reader, room)
}
