package rooms_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/kept"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
)

// tightHouse is a server that keeps a thousandth of what it usually keeps: ten rooms, 20 state events of one and
// 100 of all.
func tightHouse(t *testing.T) *house {
	t.Helper()
	t.Parallel()
	plain := houseOn(t, postgrestest.New(t))
	h := &house{t: t, pool: plain.pool, users: plain.users, profiles: plain.profiles, journal: journal.New(plain.pool, journal.Options{})}
	signer := &event.Signer{ServerName: "localhost", KeyID: "ed25519:test", Key: ed25519.NewKeyFromSeed(make([]byte, 32))}
	var err error
	h.Service, err = rooms.New(rooms.Options{Pool: h.pool, Journal: h.journal, Profiles: h.profiles, Signer: signer, Caches: kept.Scale(0.001)})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.journal.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.journal.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return h
}

func TestRoomsInMemoryAreBounded(t *testing.T) {
	h := tightHouse(t)
	var all []string
	for range 12 {
		room := h.create(alice, rooms.CreateRequest{Preset: "public_chat"})
		for i := range 8 { // with what is there already less than one room may have, and more than ten
			h.set(alice, room, "org.example.seat", fmt.Sprint(i), `{"taken":true}`)
		}
		all = append(all, room)
	}
	for round := range 2 {
		for i, room := range all {
			h.set(alice, room, "m.room.topic", "", fmt.Sprintf(`{"topic":"%d %d"}`, round, i))
			if got := h.Caches()["rooms"](); got.Entries > 10 {
				t.Fatalf("%d rooms are kept", got.Entries)
			}
			if got := h.Caches()["room_state"](); got.Entries > 100 || got.Entries < 1 {
				t.Fatalf("%d state events are kept", got.Entries)
			}
		}
	}
	if got := h.Caches()["rooms"](); got.Misses < 12 {
		t.Errorf("the second round found rooms that were forgotten: %+v", got)
	}
}

func TestStateOfOneRoomInMemoryIsBounded(t *testing.T) {
	h := tightHouse(t)
	room := h.create(alice, rooms.CreateRequest{Preset: "public_chat"})
	for i := range 150 {
		h.set(alice, room, "org.example.seat", fmt.Sprint(i), `{"taken":true}`)
		if got := h.Caches()["room_state"](); got.Entries > 40 || got.Entries < 1 {
			t.Fatalf("after %d state events %d are kept", i, got.Entries)
		}
	}
	for i := range 150 {
		if got := h.content(alice, room, "org.example.seat", fmt.Sprint(i)); got != `{"taken":true}` {
			t.Fatalf("seat %d: %s", i, got)
		}
	}
}

func TestRepeatedTransactionIsFoundInMemory(t *testing.T) {
	h := newHouse(t)
	room := h.create(alice, rooms.CreateRequest{})
	before := h.Caches()["transactions"]()
	q := as(alice, room)
	q.DeviceID, q.TxnID = "D", "1"
	var ids [2]string
	for i := range ids {
		var err error
		if ids[i], err = h.Send(t.Context(), q, "m.room.message", raw(map[string]string{"body": "hello"})); err != nil {
			t.Fatal(err)
		}
	}
	after := h.Caches()["transactions"]()
	if ids[0] != ids[1] || after.Hits == before.Hits || after.Entries != before.Entries+1 {
		t.Errorf("sent %v; before %+v, after %+v", ids, before, after)
	}
}
