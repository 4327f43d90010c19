package seed_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"homeserver/internal/devkit/seed"
	"homeserver/internal/matrixtest"
)

func TestRandomDataIsTheSameForTheSameSeed(t *testing.T) {
	t.Parallel()
	made := func(number uint64) string {
		r := seed.Random{Users: 30, Rooms: 8, Events: 500, Seed: number}
		text, err := json.Marshal(r.New())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	one := made(1)
	if again := made(1); one != again {
		t.Error("the same seed makes different data")
	}
	if one == made(2) {
		t.Error("another seed makes the same data")
	}
}

func TestRandomNumbersAreChecked(t *testing.T) {
	t.Parallel()
	got, err := seed.ParseRandom("users=200, rooms=50,events=100000,seed=7,until=2026-03-01T09:30:00Z")
	want := seed.Random{Users: 200, Rooms: 50, Events: 100_000, Seed: 7, Until: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)}
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for text, want := range map[string]string{
		"user=1":          `"user" is not known; known are users, rooms, events, seed and until`,
		"users=0":         "users: must be a whole number from 1 to 100000",
		"rooms=x":         "rooms: must be a whole number from 1 to 100000",
		"events=99999999": "events: must be a whole number from 1 to 10000000",
		"seed=-1":         "seed: must be a whole number",
		"until=today":     "until: must be a time such as 2026-03-01T09:30:00Z",
	} {
		if _, err := seed.ParseRandom(text); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// Two servers that are filled with the same seed and an end show the same events, with the same times and
// relations.
func TestRandomDataIsLoaded(t *testing.T) {
	t.Parallel()
	r := seed.Random{Users: 12, Rooms: 6, Events: 400, Seed: 3, Until: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)}
	var first string
	for range 2 {
		s := start(t, r.New())
		if len(s.loaded.Users) != 12 || len(s.loaded.Rooms) != 7 {
			t.Fatalf("%d users and %d rooms", len(s.loaded.Users), len(s.loaded.Rooms))
		}
		reader := s.as(creator(r.New(), "room-1"))
		history := reader.Do(http.MethodGet, matrixtest.Path("rooms", s.room("room-1"), "messages")+"?dir=b&limit=1000", nil).OK()
		var told strings.Builder
		kinds := map[string]int{}
		for i := 0; history.At("chunk", i) != nil; i++ {
			event := func(path ...any) any { return history.At(append([]any{"chunk", i}, path...)...) }
			relation, _ := event("content", "m.relates_to", "rel_type").(string)
			kinds[event("type").(string)+" "+relation]++
			line, err := json.Marshal([]any{event("type"), event("sender"), event("origin_server_ts"), event("content", "body"), relation})
			if err != nil {
				t.Fatal(err)
			}
			told.Write(append(line, '\n'))
		}
		for _, kind := range []string{"m.room.message ", "m.room.message m.thread", "m.room.message m.replace", "m.reaction m.annotation"} {
			if kinds[kind] == 0 {
				t.Errorf("there is no %q among %v", kind, kinds)
			}
		}
		if first != "" && told.String() != first {
			t.Errorf("another server answers\n%s\nand the first answered\n%s", told.String(), first)
		}
		first = told.String()
	}
}

// creator returns the user ID of who made a room.
func creator(s *seed.Seed, room string) string {
	for i := range s.Rooms {
		if s.Rooms[i].ID.Value == room {
			return "@" + s.Rooms[i].Creator.Value + ":localhost"
		}
	}
	return ""
}
