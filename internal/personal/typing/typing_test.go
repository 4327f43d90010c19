package typing

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/profile"
	"homeserver/internal/rooms/roomstest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const alice, bob, carol = roomstest.Alice, roomstest.Bob, roomstest.Carol

// env is the harness with who is typing.
type env struct {
	*roomstest.Env
	*Service
}

func newEnv(t *testing.T) *env {
	t.Helper()
	t.Parallel()
	h := &env{Env: roomstest.Open(t, roomstest.Options{})}
	h.Service = New(h.Rooms.Timeline, h.Journal, journal.NewTicks(), nil, 0, nil)
	h.Run()
	return h
}

// room makes a room of alice's and bob's.
func (h *env) room() string {
	h.T.Helper()
	return h.Public(bob)
}

// patience turns what would hang into a failure.
const patience = time.Minute

func (h *env) types(user, room string, timeout time.Duration) {
	h.T.Helper()
	h.OK(h.Set(h.T.Context(), user, room, true, timeout))
}

func (h *env) stops(user, room string) {
	h.T.Helper()
	h.OK(h.Set(h.T.Context(), user, room, false, 0))
}

// typists names who is typing in a room.
func (h *env) typists(room string) string {
	h.T.Helper()
	names := []string{}
	for _, user := range h.Now(h.NID(room)).Users {
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(user, "@"), ":localhost"))
	}
	return strings.Join(names, " ")
}

func (h *env) want(room, want string) {
	h.T.Helper()
	if got := h.typists(room); got != want {
		h.T.Errorf("%q are typing, want %q", got, want)
	}
}

// await waits until the typing of a room is as wanted.
func (h *env) await(room, want string) {
	h.T.Helper()
	l := h.journal.Listen()
	defer l.Close()
	l.Follow(journal.Topic{Room: h.NID(room)})
	late := time.After(patience)
	for {
		woken := l.Woken()
		if h.typists(room) == want {
			return
		}
		select {
		case <-woken:
		case <-late:
			h.T.Fatalf("%q go on typing", h.typists(room))
		}
	}
}

func everywhere(journal.RoomNID) bool { return true }

func TestTyping(t *testing.T) {
	h := newEnv(t)
	room, other := h.room(), h.room()
	h.want(room, "")
	h.types(bob, room, time.Hour)
	h.types(alice, room, 0)
	h.types(bob, room, time.Hour)
	h.want(room, "bob alice")
	h.want(other, "")
	h.stops(bob, room)
	h.stops(bob, room)
	h.stops(bob, other)
	h.want(room, "alice")
	h.types(bob, room, time.Hour)
	h.want(room, "alice bob")
}

func TestOnlyMembersType(t *testing.T) {
	h := newEnv(t)
	room := h.room()
	for _, typing := range []bool{true, false} {
		for _, in := range []string{room, "!unknown:localhost"} {
			if err := h.Set(t.Context(), carol, in, typing, 0); !matrix.IsCode(err, matrix.Forbidden) {
				t.Errorf("carol's typing %v: %v", typing, err)
			}
		}
	}
	if err := h.Set(t.Context(), alice, room, true, -time.Second); !matrix.IsCode(err, matrix.InvalidParam) {
		t.Errorf("a negative time: %v", err)
	}
	h.want(room, "")
}

func TestTypingEndsByItself(t *testing.T) {
	h := newEnv(t)
	room := h.room()
	h.types(alice, room, time.Hour)
	h.types(bob, room, time.Millisecond)
	h.await(room, "alice")
	h.types(alice, room, time.Millisecond) // shorter than before
	h.await(room, "")
}

// A timer that has run out when its typing was begun again must not end the new one.
func TestOldTimeoutDoesNotEndNewTyping(t *testing.T) {
	h := newEnv(t)
	room := h.room()
	nid := h.NID(room)
	for range 200 {
		h.start(nid, bob, time.Nanosecond, time.Time{})
		h.start(nid, bob, time.Hour, time.Time{})
		h.want(room, "bob")
	}
	h.mu.Lock()
	old := h.byRoom[nid].typists[bob]
	h.mu.Unlock()
	h.stops(bob, room)
	h.types(bob, room, time.Hour)
	h.end(nid, bob, old)
	h.want(room, "bob")
}

func TestTypingEndsWithLeaving(t *testing.T) {
	h := newEnv(t)
	room := h.room()
	h.OK(h.Rooms.Join(t.Context(), carol, room, ""))
	for _, user := range []string{alice, bob, carol} {
		h.types(user, room, time.Hour)
	}
	h.OK(h.Rooms.Leave(t.Context(), bob, room, ""))
	h.want(room, "alice carol")
	h.OK(h.Rooms.Kick(t.Context(), alice, room, carol, ""))
	h.want(room, "alice")
	h.OK(h.Rooms.UpdateProfile(t.Context(), alice, profile.Profile{DisplayName: "Alice"}))
	h.want(room, "alice")
}

func TestTypingWakesTheRoom(t *testing.T) {
	h := newEnv(t)
	room := h.room()
	l := h.journal.Listen()
	defer l.Close()
	l.Follow(journal.Topic{Room: h.NID(room)})
	for _, step := range []struct {
		what  string
		do    func()
		wakes bool
	}{
		{"begins", func() { h.types(bob, room, time.Hour) }, true},
		{"goes on", func() { h.types(bob, room, time.Hour) }, false},
		{"ends", func() { h.stops(bob, room) }, true},
		{"is over", func() { h.stops(bob, room) }, false},
	} {
		woken := l.Woken()
		step.do()
		select {
		case <-woken:
			if !step.wakes {
				t.Errorf("that typing %s wakes the room", step.what)
			}
		default:
			if step.wakes {
				t.Errorf("that typing %s wakes nobody", step.what)
			}
		}
	}
}

func TestWhatHasChangedSince(t *testing.T) {
	h := newEnv(t)
	one, two := h.room(), h.room()
	name := map[journal.RoomNID]string{h.NID(one): "one", h.NID(two): "two"}
	changed := func(since journal.Tick, in func(journal.RoomNID) bool) string {
		text := ""
		for _, c := range h.Changed(since, in) {
			text += fmt.Sprint(name[c.Room], len(c.Users), " ")
		}
		return text
	}
	if got := changed(0, everywhere); got != "" {
		t.Errorf("at first: %s", got)
	}
	h.types(bob, one, time.Hour)
	first := h.clock.Now()
	h.types(alice, two, time.Hour)
	h.types(bob, two, time.Hour)
	second := h.clock.Now()
	h.stops(bob, one)
	for _, test := range []struct {
		since journal.Tick
		want  string
	}{{0, "two2 "}, {first, "one0 two2 "}, {second, "one0 "}, {h.clock.Now(), ""}} {
		if got := changed(test.since, everywhere); got != test.want {
			t.Errorf("since %d: %q, want %q", test.since, got, test.want)
		}
	}
	if got := changed(first, func(nid journal.RoomNID) bool { return name[nid] == "two" }); got != "two2 " {
		t.Errorf("in one room: %q", got)
	}
}

func TestRoomsAreBounded(t *testing.T) {
	h := newEnv(t)
	const each = roomBytes + typistBytes + len(alice)
	h.share = 100*each + each/2
	for nid := range journal.RoomNID(110) {
		h.start(nid+1, alice, time.Hour, time.Time{})
	}
	if len(h.byRoom) != 100 || h.order.Len() != 100 {
		t.Errorf("%d rooms are kept, %d in order", len(h.byRoom), h.order.Len())
	}
	if len(h.Now(10).Users) != 0 || len(h.Now(11).Users) != 1 {
		t.Error("not the oldest were forgotten")
	}
	h.end(1, alice, nil)
	for nid := range journal.RoomNID(100) {
		h.end(nid+11, alice, nil)
	}
	if h.bytes != 100*roomBytes {
		t.Errorf("when nobody types any more, %d bytes are counted", h.bytes)
	}
}

// Everybody in a large room may type; so many are remembered as there is memory for.
func TestTypistsOfOneRoomAreBounded(t *testing.T) {
	h := newEnv(t)
	h.share = 100 * (typistBytes + 10)
	h.start(1, alice, time.Hour, time.Time{})
	for i := range 200 {
		h.start(2, fmt.Sprint("@user", i), time.Hour, time.Time{})
	}
	if got := len(h.Now(2).Users); got < 90 || got > 100 || len(h.Now(1).Users) != 0 || h.bytes > h.share {
		t.Errorf("%d are typing, of %d bytes", got, h.bytes)
	}
}

func TestWhatWasHandedOutStays(t *testing.T) {
	h := newEnv(t)
	room := h.room()
	h.types(alice, room, time.Hour)
	h.types(bob, room, time.Hour)
	before := h.Now(h.NID(room))
	h.stops(alice, room)
	h.types(alice, room, time.Hour)
	if got := string(AppendJSON(nil, before.Users)); got != `{"content":{"user_ids":["@alice:localhost","@bob:localhost"]},"type":"m.typing"}` {
		t.Errorf("got %s", got)
	}
	if got := string(AppendJSON(nil, nil)); got != `{"content":{"user_ids":[]},"type":"m.typing"}` {
		t.Errorf("nobody: %s", got)
	}
}

func TestTypingAtOnce(t *testing.T) {
	h := newEnv(t)
	room := h.room()
	nid := h.NID(room)
	var all sync.WaitGroup
	for i, user := range []string{alice, bob, carol} {
		all.Go(func() {
			for n := range 200 {
				switch (n + i) % 3 {
				case 0:
					h.start(nid, user, time.Hour, time.Time{})
				case 1:
					h.start(nid, user, time.Microsecond, time.Time{})
				default:
					h.end(nid, user, nil)
				}
				h.Changed(journal.Tick(n), everywhere)
			}
			h.start(nid, user, time.Microsecond, time.Time{})
		})
	}
	all.Wait()
	h.await(room, "")
}
