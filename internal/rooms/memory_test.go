package rooms_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"homeserver/internal/cache"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
)

// tightEnv returns a server with a bound of bytes for the state of rooms in memory.
func tightEnv(t *testing.T, stateBytes int) *env {
	t.Helper()
	t.Parallel()
	return envWith(t, roomstest.Options{Rooms: func(o *rooms.Options) { o.Shares.State = stateBytes }})
}

// inMemory returns the use of the caches of rooms.
func (h *env) inMemory() (rooms, state cache.Stats) {
	return h.Rooms.Caches()["rooms"](), h.Rooms.Caches()["room_state"]()
}

func TestRoomsInMemoryAreBounded(t *testing.T) {
	const share = 100 << 10
	h := tightEnv(t, share)
	var all []string
	for range 12 {
		room := h.Create(alice, rooms.CreateRequest{Preset: "public_chat"})
		for i := range 8 {
			h.SetState(alice, room, "org.example.seat", fmt.Sprint(i), `{"taken":true}`)
		}
		all = append(all, room)
	}
	for round := range 2 {
		for i, room := range all {
			h.SetState(alice, room, "m.room.topic", "", fmt.Sprintf(`{"topic":"%d %d"}`, round, i))
			if rooms, state := h.inMemory(); rooms.Bytes > share || rooms.Entries < 1 || state.Bytes > rooms.Bytes || state.Entries < 1 {
				t.Fatalf("kept are rooms of %+v with state of %+v", rooms, state)
			}
		}
	}
	if rooms, _ := h.inMemory(); rooms.Misses < 12 {
		t.Errorf("the second round found rooms that were forgotten: %+v", rooms)
	}
}

// The state of rooms in memory was once bounded by number: large events took up all there was.
func TestStateOfOneRoomInMemoryIsBounded(t *testing.T) {
	for name, content := range map[string]string{
		"small events": `{"taken":true}`,
		"large events": `{"taken":"` + strings.Repeat("x", 60_000) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			const share = 600 << 10
			h := tightEnv(t, share)
			room := h.Create(alice, rooms.CreateRequest{Preset: "public_chat"})
			before, _ := h.inMemory()
			for i := range 150 {
				h.SetState(alice, room, "org.example.seat", fmt.Sprint(i), content)
				if rooms, state := h.inMemory(); rooms.Bytes > share || state.Entries < 1 {
					t.Fatalf("after %d state events: %+v, with state of %+v", i, rooms, state)
				}
			}
			if rooms, _ := h.inMemory(); rooms.Misses != before.Misses {
				t.Errorf("the room was loaded anew: %+v", rooms)
			}
			for i := range 150 {
				if got := h.Content(alice, room, "org.example.seat", fmt.Sprint(i)); got != content {
					t.Fatalf("seat %d: %.100s", i, got)
				}
			}
		})
	}
}

// A room whose state is larger than all the memory for rooms is used and forgotten, and
// each event of it nevertheless replaces what was there.
func TestRoomThatIsTooLargeForMemoryCanBeUsed(t *testing.T) {
	h := tightEnv(t, 20<<10)
	room := h.Create(alice, rooms.CreateRequest{Preset: "public_chat"})
	h.OK(h.Rooms.Join(t.Context(), bob, room, ""))
	h.SetState(alice, room, "m.room.power_levels", "", `{"users":{"@bob:localhost":50},"padding":"`+strings.Repeat("x", 50_000)+`"}`)
	for round := range 3 {
		for _, user := range []string{alice, bob} {
			content := fmt.Sprintf(`{"by":%q,"round":%d}`, user, round)
			h.SetState(user, room, "org.example.seat", "1", content)
			if got := h.Content(alice, room, "org.example.seat", "1"); got != content {
				t.Fatalf("got %s, want %s", got, content)
			}
			h.Send(user, room, fmt.Sprint(round))
		}
	}
	if rooms, _ := h.inMemory(); rooms.Bytes > 20<<10 {
		t.Errorf("kept are %+v", rooms)
	}
	var current int
	h.OK(h.Pool.QueryRow(t.Context(), `SELECT count(*) FROM room_state WHERE type = 'org.example.seat' AND replaced_at IS NULL`).Scan(&current))
	if current != 1 {
		t.Errorf("%d entries hold at once", current)
	}
}

// State is forgotten while others write it: later events are built on the stored state, and
// each entry is replaced by the one after it.
func TestStateIsForgottenWhileOthersWriteIt(t *testing.T) {
	h := tightEnv(t, 100<<10)
	room := h.Create(alice, rooms.CreateRequest{Preset: "public_chat"})
	const writers, rounds = 8, 40
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range rounds {
				content := fmt.Sprintf(`{"writer":%d,"round":%d,"padding":%q}`, w, i, strings.Repeat("x", 4000))
				h.SetState(alice, room, "org.example.seat", fmt.Sprint(i%5), content)
			}
		})
	}
	all.Wait()
	var overlaps, open int
	h.OK(h.Pool.QueryRow(t.Context(), `
		SELECT count(*) FILTER (WHERE n.replaced_at IS NULL), count(*) FILTER (WHERE n.replaced_at IS DISTINCT FROM n.next)
		FROM (SELECT s.replaced_at, lead(s.place) OVER (PARTITION BY s.state_key ORDER BY s.place) AS next
			FROM room_state s WHERE s.type = 'org.example.seat') n`).Scan(&open, &overlaps))
	if open != 5 || overlaps != 0 {
		t.Errorf("%d entries hold, %d end not where the next begins", open, overlaps)
	}
	if rooms, _ := h.inMemory(); rooms.Bytes > 100<<10 {
		t.Errorf("kept are %+v", rooms)
	}
}

func TestRepeatedTransactionIsFoundInMemory(t *testing.T) {
	h := newEnv(t)
	room := h.Create(alice, rooms.CreateRequest{})
	before := h.Rooms.Caches()["transactions"]()
	q := roomstest.As(alice, room)
	q.DeviceID, q.TxnID = "D", "1"
	var ids [2]string
	for i := range ids {
		var err error
		if ids[i], err = h.Rooms.Send(t.Context(), q, "m.room.message", roomstest.Raw(map[string]string{"body": "hello"})); err != nil {
			t.Fatal(err)
		}
	}
	after := h.Rooms.Caches()["transactions"]()
	if ids[0] != ids[1] || after.Hits == before.Hits || after.Entries != before.Entries+1 {
		t.Errorf("sent %v; before %+v, after %+v", ids, before, after)
	}
}
