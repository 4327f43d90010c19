package syncstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"homeserver/internal/journal"
	"homeserver/internal/rooms"
	"homeserver/internal/syncstream"
)

// After a restart the rooms of those who have written last are in memory: the first answer to
// a user who is in them reads no room. Nothing in it is otherwise than without.
func TestRoomsAreReadAfterAStart(t *testing.T) {
	first := newEnv(t)
	pool, count := counted(first)
	for i := range 30 {
		room := first.Public(bob, carol)
		first.topic(alice, room, fmt.Sprint("room ", i))
		first.say(carol, room, "1", "2")
	}
	first.say(bob, first.Public(bob), "last")
	q := syncstream.Query{UserID: carol, DeviceID: "PHONE"}
	want := envOn(t, pool, journal.Options{Watch: time.Hour}).sync(q)

	h := envOn(t, pool, journal.Options{Watch: time.Hour})
	h.OK(h.Warm(t.Context()))
	count.mention()
	got := h.sync(q)
	if n := count.mention("room_state", "FROM events", "FROM relations"); n > 1 {
		t.Errorf("%d statements read rooms, beside the one about how carol stands to them", n)
	}
	if len(got.Rooms.Join) != 30 || !bytes.Equal(withoutToken(got), withoutToken(want)) {
		t.Error("the answer is another")
	}
}

// withoutToken returns an answer without the token, which is another in each process.
func withoutToken(a *answer) []byte {
	return bytes.ReplaceAll(a.raw, []byte(a.NextBatch), nil)
}

// Not more rooms are read than half of the memory for them holds.
func TestRoomsAreReadAfterAStartAsFarAsMemoryGoes(t *testing.T) {
	first := newEnv(t)
	const number = 60
	for range number {
		first.say(alice, first.Public(bob), strings.Repeat("long ", 1000))
	}
	h := envWith(t, first.Pool, journal.Options{Watch: time.Hour}, rooms.Shares{Recent: 1 << 20})
	h.OK(h.Warm(t.Context()))
	if n := h.Rooms.Timeline.Caches()["recent_rooms"]().Entries; n == 0 || n == number {
		t.Errorf("%d of %d rooms are in memory", n, number)
	}
}

// On a server where nobody has ever written there is nothing to read.
func TestNothingIsReadAfterTheFirstStart(t *testing.T) {
	h := newEnv(t)
	h.OK(h.Warm(t.Context()))
}

// A server that stops does not go on reading.
func TestReadingAfterAStartEndsWithTheServer(t *testing.T) {
	h := newEnv(t)
	h.say(alice, h.Public(bob), "1")
	ctx, end := context.WithCancel(t.Context())
	end()
	if err := h.Warm(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
