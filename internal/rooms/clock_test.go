package rooms_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/timeline"
)

// The clock is told to people and orders nothing.
func TestRoomsWhenTheClockJumps(t *testing.T) {
	h := newHouse(t)
	var now atomic.Int64
	now.Store(1_700_000_000_000)
	signer := &event.Signer{ServerName: "localhost", KeyID: "ed25519:test", Key: ed25519.NewKeyFromSeed(make([]byte, 32))}
	h.journal = journal.New(h.pool, journal.Options{}) // of another process, so to say
	h.Service = rooms.New(rooms.Options{
		Pool: h.pool, Journal: h.journal, Profiles: h.profiles, Signer: signer,
		Now: func() time.Time { return time.UnixMilli(now.Load()) },
	})
	h.ok(h.journal.Start(t.Context()))
	t.Cleanup(func() {
		if err := h.journal.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	room := h.public(bob)
	var want []string
	created := map[string]bool{room: true}
	for i, jump := range []time.Duration{0, -time.Hour, time.Hour, 2 * time.Hour, -2 * time.Hour} {
		now.Add(jump.Milliseconds())
		text := fmt.Sprint(i)
		want = append(want, text)
		h.send(bob, room, text)
		h.set(alice, room, "m.room.topic", "", `{"topic":"`+text+`"}`)
		other := h.public()
		if created[other] {
			t.Errorf("two rooms have the ID %s", other)
		}
		created[other] = true
		h.send(alice, other, "works")
	}
	if got := h.bodies(alice, room); !slices.Equal(got, want) {
		t.Errorf("the room tells %q, want %q", got, want)
	}
	h.wantContent(bob, room, "m.room.topic", "", `{"topic":"4"}`)
	f := &timeline.Format{Now: time.UnixMilli(now.Load())}
	for _, e := range h.history(alice, room) {
		text := f.AppendJSON(nil, e)
		if age := event.Field(event.Field(text, "unsigned"), "age"); len(age) == 0 || age[0] == '-' {
			t.Errorf("the age of an event: %s", text)
		}
	}
	checkChain(t, h, room)
}
