package syncstream_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/timeline"
	"homeserver/internal/syncstream"
)

// listener is a client of /events.
type listener struct {
	h *env
	syncstream.EventsQuery
}

// listening returns a client whose next request has what happens after this call.
func (h *env) listening(user string) *listener {
	h.T.Helper()
	l := &listener{h, syncstream.EventsQuery{UserID: user, DeviceID: "PHONE"}}
	equal(h.T, "what "+user+" hears at once", l.hear())
	return l
}

// chunk is an answer of /events as a client reads it.
type chunk struct {
	Chunk      []*ev
	Start, End string
	raw        string
}

func (l *listener) ask(ctx context.Context) (*chunk, error) {
	answer, err := l.h.Stream(ctx, l.EventsQuery)
	if err != nil {
		return nil, err
	}
	c := &chunk{raw: string(written(l.h.T, answer))}
	if err := json.Unmarshal([]byte(c.raw), c); err != nil {
		l.h.T.Errorf("the answer is no JSON: %v\n%s", err, c.raw)
	}
	l.From = c.End
	return c, nil
}

// next asks without waiting, goes on from there, and leaves out presence.
func (l *listener) next() *chunk {
	l.h.T.Helper()
	c, err := l.ask(l.h.T.Context())
	l.h.OK(err)
	c.Chunk = slices.DeleteFunc(c.Chunk, func(e *ev) bool { return e.Type == "m.presence" })
	return c
}

// hear names the events that next returns.
func (l *listener) hear() []string {
	l.h.T.Helper()
	return words(l.next().Chunk)
}

// wait sends a request for the next event, and returns once the request waits. The
// function that it returns waits for the answer.
func (l *listener) wait() func() *chunk {
	l.h.T.Helper()
	l.Timeout = 10 * patience
	ctx, cancel := context.WithCancel(l.h.T.Context())
	waits, done := make(chan struct{}, 1000), make(chan struct{})
	var answer *chunk
	var err error
	go func() {
		defer close(done)
		answer, err = l.ask(&waitContext{ctx, waits})
	}()
	l.h.T.Cleanup(func() { cancel(); <-done })
	select {
	case <-waits:
	case <-done:
		l.h.T.Fatalf("it does not wait: %+v, %v", answer, err)
	case <-time.After(patience):
		l.h.T.Fatal("it does not begin to wait")
	}
	return func() *chunk {
		l.h.T.Helper()
		select {
		case <-done:
		case <-time.After(patience):
			l.h.T.Fatal("it goes on waiting")
		}
		l.h.OK(err)
		l.Timeout = 0
		return answer
	}
}

func TestStreamTellsWhatHappensInOrder(t *testing.T) {
	h := newEnv(t)
	one, other := h.Public(bob), h.Public(bob)
	l := h.listening(bob)
	h.say(alice, one, "1")
	h.say(alice, other, "2")
	h.topic(alice, one, "3")
	h.say(bob, other, "4")
	equal(t, "chunk", l.hear(), "1", "2", "topic 3", "4")
	equal(t, "chunk", l.hear())
	h.say(alice, one, "5")
	equal(t, "chunk", l.hear(), "5")
}

func TestStreamTellsOfTheOwnMembership(t *testing.T) {
	h := newEnv(t)
	room := h.create(rooms.CreateRequest{Name: "Kitchen"})
	l := h.listening(bob)
	h.say(alice, room, "secret")
	h.invite(bob, room)
	h.say(alice, room, "secret, too")
	c := l.next()
	equal(t, "chunk", words(c.Chunk), "bob invite")
	if state := fmt.Sprint(c.Chunk[0].Unsigned["invite_room_state"]); !strings.Contains(state, "Kitchen") {
		t.Errorf("the invite comes without the name of the room: %s", c.raw)
	}
	h.Join(bob, room)
	h.say(alice, room, "welcome")
	equal(t, "chunk", l.hear(), "bob join", "welcome")
	h.say(alice, room, "go")
	h.kick(bob, room)
	h.say(alice, room, "is bob gone?")
	equal(t, "chunk", l.hear(), "go", "bob leave")
	h.ban(bob, room)
	equal(t, "chunk", l.hear(), "bob ban")
}

func TestStreamGoesOnWhereSyncEndsAndTheOtherWayRound(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	c, l := h.synced(bob, ""), h.listening(bob)
	for i := range 5 {
		h.say(alice, room, fmt.Sprint("first ", i))
		l.From = c.Since
		equal(t, "events after sync", l.hear(), fmt.Sprint("first ", i))
		h.say(alice, room, fmt.Sprint("second ", i))
		c.Since = l.From
		equal(t, "sync after events", c.sync().in(t, room).timeline(), fmt.Sprint("second ", i))
	}
}

func TestStreamWakes(t *testing.T) {
	h := newEnv(t)
	room, open := h.Public(bob), h.Public()
	private := h.create(rooms.CreateRequest{})
	said := h.send(alice, room, "hello")
	l := h.listening(bob)
	ctx := t.Context()
	for _, step := range []struct {
		what string
		do   func() error
		want string // a part of the answer
	}{
		{"message", func() error { h.say(alice, room, "wake up"); return nil }, "wake up"},
		{"invite", func() error { h.invite(bob, private); return nil }, `"membership":"invite"`},
		{"join", func() error { h.Join(bob, open); return nil }, `"membership":"join"`},
		{"message in a new room", func() error { h.say(alice, open, "welcome"); return nil }, "welcome"},
		{"typing", func() error { return h.typing.Set(ctx, alice, room, true, time.Minute) }, `{"content":{"user_ids":["` + alice + `"]},"type":"m.typing","room_id":"` + room},
		{"receipt", func() error { return h.receipts.Send(ctx, alice, room, "m.read", said, nil) }, `"type":"m.receipt","room_id":"` + room},
		{"private receipt", func() error { return h.receipts.Send(ctx, bob, room, "m.read.private", said, nil) }, `"m.read.private"`},
		{"account data", func() error { return h.data.Set(ctx, bob, "", "org.example", json.RawMessage(`{"a":1}`)) }, `{"content":{"a":1},"type":"org.example"}`},
		{"tag", func() error { return h.data.Set(ctx, bob, room, "m.tag", json.RawMessage(`{"tags":{}}`)) }, `"type":"m.tag","room_id":"` + room},
		{"presence", func() error { return h.presence.Set(ctx, alice, "online", "busy") }, `"user_id":"` + alice},
	} {
		get := l.wait()
		h.OK(step.do())
		if c := get(); !strings.Contains(c.raw, step.want) {
			t.Errorf("%s: %s", step.what, c.raw)
		}
	}
}

func TestStreamDoesNotWakeForTheOwnPresence(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	l := h.listening(bob)
	get := l.wait()
	h.OK(h.presence.Set(t.Context(), bob, "online", "reading"))
	h.say(alice, room, "hello")
	if c := get(); !strings.Contains(c.raw, "hello") {
		t.Errorf("the answer is only of the own presence: %s", c.raw)
	}
}

func TestStreamEndsWithItsTimeout(t *testing.T) {
	h := newEnv(t)
	h.Public(bob)
	l := h.listening(bob)
	l.Timeout = time.Millisecond
	if c := l.next(); len(c.Chunk) != 0 || c.Start != c.End {
		t.Errorf("nothing has happened, but: %s", c.raw)
	}
}

func TestStreamRefusesTokensOfOthers(t *testing.T) {
	h := newEnv(t)
	for _, token := range []string{"x", "s", "s-1", "s1_", "t1-2"} {
		_, err := h.Stream(t.Context(), syncstream.EventsQuery{UserID: alice, From: token})
		matrixtest.WantCode(t, err, matrix.InvalidParam, token)
	}
}

func TestStreamLeavesOutWhomOneIgnores(t *testing.T) {
	h := newEnv(t)
	room, other := h.Public(bob, carol), h.create(rooms.CreateRequest{Preset: "public_chat"})
	h.Join(carol, other)
	h.OK(h.data.Set(t.Context(), bob, "", "m.ignored_user_list", json.RawMessage(`{"ignored_users":{"`+carol+`":{}}}`)))
	l := h.listening(bob)
	h.say(carol, room, "spam")
	h.rename(carol, room, "Spammer")
	h.OK(h.Rooms.Invite(t.Context(), carol, other, bob, ""))
	h.say(alice, room, "hello")
	equal(t, "chunk", l.hear(), "carol join", "hello")
	for _, own := range []string{room, ""} {
		l.RoomID = own
		h.say(carol, room, "spam")
		equal(t, "chunk", l.hear())
	}
}

func TestPeekingIntoWorldReadableRooms(t *testing.T) {
	h := newEnv(t)
	room, closed, mine := h.Public(), h.Public(), h.Public(bob)
	h.visibility(room, "world_readable")
	l := h.listening(bob)
	l.RoomID = room
	h.say(alice, room, "look")
	h.say(alice, mine, "elsewhere")
	equal(t, "peeked", l.hear(), "look")
	get := l.wait()
	h.say(alice, room, "still here?")
	equal(t, "peeked", words(get().Chunk), "still here?")

	get = l.wait()
	h.visibility(room, "shared")
	equal(t, "peeked", words(get().Chunk), "history_visibility")
	for what, id := range map[string]string{"no longer": room, "never": closed, "no room": "!none:localhost"} {
		l.RoomID = id
		_, err := l.ask(t.Context())
		matrixtest.WantCode(t, err, matrix.Forbidden, what)
	}
	l.RoomID, l.From = mine, syncstream.FormatToken(0)
	if got := l.hear(); !slices.Contains(got, "elsewhere") || slices.Contains(got, "look") {
		t.Errorf("a room that one is in: %q", got)
	}
}

func TestPeekingEndsWhenTheRoomCloses(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.visibility(room, "world_readable")
	l := h.listening(bob)
	l.RoomID = room
	h.say(alice, room, "before")
	h.visibility(room, "joined")
	h.say(alice, room, "among us")
	equal(t, "what could be read", l.hear(), "before", "history_visibility")
	_, err := l.ask(t.Context())
	matrixtest.WantCode(t, err, matrix.Forbidden, "closed meanwhile")
}

// What happened is told in pieces where there is much of it, without a gap, whether
// the live window holds it or not.
func TestStreamOfALongAbsenceComesInPieces(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	window := envOn(t, pool, journal.Options{})
	room, other := window.Public(bob), window.Public(bob)
	from := window.listening(bob).From
	const each = 60
	var wg sync.WaitGroup
	for sender := range 20 {
		wg.Go(func() {
			for i := range each {
				window.send(alice, []string{room, other}[sender%2], fmt.Sprint(sender, " ", i))
			}
		})
	}
	wg.Wait()
	sql := envOn(t, pool, journal.Options{WindowBytes: 1})
	for what, h := range map[string]*env{"window": window, "SQL": sql} {
		l := h.listening(bob)
		l.From = from
		h.OK(h.typing.Set(t.Context(), alice, room, true, time.Minute))
		first, second := l.next(), l.next()
		if len(first.Chunk) != 1000 || first.End == second.End {
			t.Errorf("%s: the first piece holds %d events", what, len(first.Chunk))
		}
		if typing := second.Chunk[len(second.Chunk)-1]; typing.Type != "m.typing" {
			t.Errorf("%s: who is typing is not told at the end, but %s", what, typing)
		}
		got := map[string]int{}
		for _, e := range slices.Concat(first.Chunk, second.Chunk[:len(second.Chunk)-1]) {
			sender, n, _ := strings.Cut(e.String(), " ")
			if n != fmt.Sprint(got[sender]) {
				t.Fatalf("%s: after %d of sender %s comes %s", what, got[sender], sender, n)
			}
			got[sender]++
		}
		for sender, n := range got {
			if n != each {
				t.Errorf("%s: %d events of sender %s", what, n, sender)
			}
		}
		if len(got) != 20 {
			t.Errorf("%s: events of %d senders", what, len(got))
		}
	}
}

// In random histories a client that asks now and then, any of two processes, gets the same
// as a client that asks once, from the window and from SQL: each event that happened while
// the user was in the room, and each change of the user's membership, once and in order.
func TestStreamLosesAndRepeatsNothing(t *testing.T) {
	eachHistory(t, func(t *testing.T, seed uint64) {
		pool := postgrestest.New(t)
		window, sql := envOn(t, pool, journal.Options{}), envOn(t, pool, journal.Options{WindowBytes: 1})
		other := envOn(t, pool, journal.Options{Watch: time.Hour})
		y := window.history(seed)
		y.others = []*env{other}
		begin := window.listening(alice).From
		listeners, heard := map[string]*listener{}, map[string][]*ev{}
		hear := func(user string) { heard[user] = append(heard[user], listeners[user].next().Chunk...) }
		for _, user := range everybody {
			listeners[user] = window.listening(user)
			listeners[user].From = begin
		}
		for range 40 {
			y.happen(8)
			user := y.pick(everybody...)
			listeners[user].h = y.env
			hear(user)
		}
		all := map[string]*env{"window": window, "SQL": sql, "another process": other}
		for _, h := range all {
			h.catchUp()
		}
		told := 0
		for _, user := range everybody {
			hear(user)
			want := y.happenedTo(user, begin)
			equal(t, user+" asking now and then", y.remembered(user, heard[user]), want...)
			for what, h := range all {
				l := h.listening(user)
				l.From = begin
				equal(t, user+" asking once, "+what, y.remembered(user, l.next().Chunk), want...)
			}
			told += len(want)
		}
		if told < 50 {
			t.Errorf("only %d events were told", told)
		}
	})
}

// remembered names the events in rooms that a user has never forgotten: a user who forgets
// a room gets no event of it any more, old or new.
func (y *history) remembered(user string, events []*ev) []string {
	ids := []string{}
	for _, e := range events {
		if _, forgot := y.forgot[forgetting{user, e.RoomID}]; !forgot && e.EventID != "" {
			ids = append(ids, e.Type+" "+e.EventID)
		}
	}
	return ids
}

// happenedTo works out from the whole history, which alice sees, what was to be told
// to a user since a token, of rooms that the user has never forgotten.
func (y *history) happenedTo(user, since string) []string {
	y.T.Helper()
	var told []*timeline.Event
	after := *y.place(since)
	for _, room := range y.rooms {
		if _, forgot := y.forgot[forgetting{user, room}]; forgot {
			continue
		}
		membership := "leave"
		all := y.backward(alice, room, syncstream.FormatToken(y.Journal.Position()), "", nil)
		slices.Reverse(all)
		for _, e := range all {
			own := e.IsState("m.room.member", user)
			if own {
				membership = e.Membership()
			}
			if e.Place > after && (own || membership == "join") {
				told = append(told, e)
			}
		}
	}
	slices.SortFunc(told, func(a, b *timeline.Event) int { return int(a.Position - b.Position) })
	ids := []string{}
	for _, e := range told {
		ids = append(ids, e.Type+" "+e.ID)
	}
	return ids
}
