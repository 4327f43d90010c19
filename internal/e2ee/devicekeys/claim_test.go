package devicekeys_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/reserve"
)

// claimed claims a key of each device, and returns the IDs and keys by device.
func (h *env) claimed(devices ...matrix.Session) map[string]string {
	h.T.Helper()
	answer, err := h.Claim(h.T.Context(), claiming(devices...))
	h.OK(err)
	w := reserve.NewWriter(nil, nil)
	h.OK(answer.WriteJSON(h.T.Context(), w))
	var got struct {
		Keys map[string]map[string]map[string]string `json:"one_time_keys"`
	}
	h.OK(json.Unmarshal(w.B, &got))
	keys := map[string]string{}
	for user, byDevice := range got.Keys {
		for device, key := range byDevice {
			for id, value := range key {
				keys[user+" "+device] = id + " " + value
			}
		}
	}
	return keys
}

func TestNoKeyIsClaimedTwice(t *testing.T) {
	t.Parallel()
	one, other := together(t)
	const keysOfEach = 60
	var devices []matrix.Session
	for i := range 5 {
		d := one.Device("alice", fmt.Sprint("D", i))
		one.give(d, 0, keysOfEach)
		devices = append(devices, d)
	}
	var mu sync.Mutex
	seen := map[string]int{}
	var all sync.WaitGroup
	for i := range 12 {
		process := []*env{one, other}[i%2]
		all.Go(func() {
			for range 2 * keysOfEach / 12 * 2 {
				for device, key := range process.claimed(devices...) {
					mu.Lock()
					seen[device+" "+key]++
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	if len(seen) != len(devices)*keysOfEach {
		t.Errorf("%d keys were claimed, of %d", len(seen), len(devices)*keysOfEach)
	}
	for key, times := range seen {
		if times != 1 {
			t.Errorf("%s was claimed %d times", key, times)
		}
	}
}

// When another process hands out a key, this one soon learns of it, and requests that wait
// look again.
func TestCountsFollowOtherProcesses(t *testing.T) {
	t.Parallel()
	one, other := together(t)
	who := one.Device("alice", `PHONE "1"`)
	one.give(who, 0, 5)
	if one.left(who) != 5 || other.left(who) != 5 {
		t.Fatalf("left: %d and %d", one.left(who), other.left(who))
	}
	listener := one.Journal.Listen()
	t.Cleanup(listener.Close)
	listener.Follow(journal.Topic{User: who.UserID})
	for _, step := range []struct {
		want int64
		do   func()
	}{
		{4, func() { other.claimed(who) }},
		{6, func() { other.give(who, 5, 2) }},
	} {
		woken := listener.Woken()
		step.do()
		for one.left(who) != step.want {
			select {
			case <-woken:
				woken = listener.Woken()
			case <-time.After(matrixtest.Patience):
				t.Fatalf("left: %d instead of %d", one.left(who), step.want)
			}
		}
		if n := other.left(who); n != step.want {
			t.Errorf("left there: %d instead of %d", n, step.want)
		}
	}
}

// One message has a greatest length, and names of devices may be long.
func TestCountsOfManyDevicesFollowOtherProcesses(t *testing.T) {
	t.Parallel()
	one, other := together(t)
	var devices []matrix.Session
	for i := range 60 {
		d := one.Device("alice", fmt.Sprintf("%0250d", i))
		one.give(d, 0, 1)
		devices = append(devices, d)
	}
	for _, d := range devices {
		other.left(d)
	}
	one.claimed(devices...)
	for _, d := range devices {
		matrixtest.Until(t, "the key is known to be gone", func() bool { return other.left(d) == 0 })
	}
}

// The oldest keys of too many go: their device may have discarded them.
func TestOneTimeKeysAreBounded(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	h := envOn(t, nil)
	who := h.Device("alice", "PHONE")
	h.give(who, 0, 200)
	h.give(who, 200, 50)
	if n := h.left(who); n != 200 {
		t.Errorf("left: %d", n)
	}
	if got, want := h.claimed(who), "curve25519:000050"; len(got["@alice:localhost PHONE"]) < len(want) || got["@alice:localhost PHONE"][:len(want)] != want {
		t.Errorf("the first is %v", got)
	}
	for range 150 {
		h.claimed(who)
		h.claimed(who)
		h.give(who, 1000, 2)
	}
	var rows int
	h.OK(h.Pool.QueryRow(t.Context(), `SELECT count(*) FROM one_time_keys`).Scan(&rows))
	if rows > 400 {
		t.Errorf("there are %d rows", rows)
	}
}
