package timeline_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"homeserver/internal/journal"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/plantest"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// another starts another server process with so many bytes for the recent parts of rooms, and
// returns the statements that it runs.
func (h *env) another(share int) (*lineEnv, *plantest.Recorder) {
	h.T.Helper()
	pool, sent := h.traced()
	return recentEnv(h.T.(*testing.T), pool, share), sent
}

// readsOf counts the statements among some that read events of rooms.
func readsOf(list []plantest.Statement) (n int) {
	for _, s := range list {
		if strings.Contains(s.SQL, "FROM events") || strings.Contains(s.SQL, "FROM room_state") || strings.Contains(s.SQL, "FROM rooms") {
			n++
		}
	}
	return n
}

// readAll reads what an initial /sync shows of rooms.
func (h *lineEnv) readAll(list []journal.RoomNID) {
	h.T.Helper()
	now := timeline.PlaceOf(h.Journal.Position())
	var windows []timeline.Window
	var at []timeline.RoomAt
	var members []timeline.MemberAt
	for _, nid := range list {
		windows = append(windows, timeline.Window{Room: nid, Range: timeline.Range{From: now - 9*1024, To: now}})
		at = append(at, timeline.RoomAt{Room: nid, At: now})
		members = append(members, timeline.MemberAt{RoomAt: timeline.RoomAt{Room: nid, At: now}, User: bob})
	}
	_, err := h.Rooms.Timeline.Timelines(h.T.Context(), windows, 5, nil)
	h.OK(err)
	_, err = h.Rooms.Timeline.States(h.T.Context(), at, nil, true)
	h.OK(err)
	_, err = h.Rooms.Timeline.MemberEvents(h.T.Context(), members, nil)
	h.OK(err)
	_, err = h.Rooms.Timeline.Summaries(h.T.Context(), list, bob)
	h.OK(err)
}

// Requests that come at the same time read a room into memory once; then no statement reads it.
func TestRecentPartsAreReadOnce(t *testing.T) {
	first := newEnv(t)
	var list []string
	for range 8 {
		list = append(list, first.Public(bob))
	}
	h, sent := first.another(0)
	numbers := h.numbers(list)
	sent.Take()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := h.Rooms.Timeline.Recall(t.Context(), numbers); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := readsOf(sent.Take()); n > 3 { // of their versions, their recent parts, and of what stands beside those
		t.Errorf("%d statements", n)
	}
	h.readAll(numbers)
	if n := readsOf(sent.Take()); n != 0 {
		t.Errorf("%d statements for what is in memory", n)
	}
	h.Send(bob, list[0], "which is followed")
	sent.Take()
	h.readAll(numbers)
	if n := readsOf(sent.Take()); n != 0 {
		t.Errorf("%d statements for what has just been committed", n)
	}
}

// A request that goes away while it reads a room leaves that to the next one.
func TestRecentPartsAreReadAfterARequestThatWentAway(t *testing.T) {
	h := &lineEnv{env: newEnv(t)}
	numbers := h.numbers([]string{h.Public(bob)})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Rooms.Timeline.Recall(gone, numbers); err == nil {
		t.Error("a request that is gone reads")
	}
	h.OK(h.Rooms.Timeline.Recall(t.Context(), numbers))
	if stats := h.Rooms.Caches()["recent_rooms"](); stats.Bytes < 5000 {
		t.Errorf("nothing was read: %+v", stats)
	}
}

// Where the rooms of a request do not fit, those that are in memory stay there, and the others are
// not tried again and again.
func TestMoreRoomsThanFit(t *testing.T) {
	first := newEnv(t)
	var list []string
	for i := range 16 {
		list = append(list, first.Public(bob, carol))
		for range 20 {
			first.Send(bob, list[i], strings.Repeat("x", 1000))
		}
	}
	h, sent := first.another(400_000)
	numbers := h.numbers(list)
	h.OK(h.Rooms.Timeline.Recall(t.Context(), numbers))
	before := h.Rooms.Caches()["recent_rooms"]()
	sent.Take()
	for range 5 {
		h.OK(h.Rooms.Timeline.Recall(t.Context(), numbers))
		h.readAll(numbers)
	}
	for _, s := range sent.Take() {
		if strings.Contains(s.SQL, "ORDINALITY") {
			t.Errorf("rooms are tried again: %v", s.Args)
		}
	}
	after := h.Rooms.Caches()["recent_rooms"]()
	if after.Hits < 5*4*3 || after.Hits > 5*4*13 || after.Bytes < before.Bytes {
		t.Errorf("%+v, and %+v before", after, before)
	}
	h.OK(h.Rooms.Timeline.Recall(t.Context(), numbers[15:]))
	h.readAll(numbers[15:])
	if n := len(sent.Take()); n > 3 {
		t.Errorf("%d statements for a room that fits alone", n)
	}
	sent.Take()
	h.readAll(numbers[15:])
	if n := readsOf(sent.Take()); n != 0 {
		t.Errorf("%d statements for it then", n)
	}
}

// A room that takes too much alone is read from the database, and so is one with a damaged row.
func TestRoomsThatAreNotKept(t *testing.T) {
	first := newEnv(t)
	large, damaged := first.Public(bob), first.Public(bob)
	for i := range 30 {
		first.SetState(alice, large, "org.example.large", fmt.Sprint(i), `{"x":"`+strings.Repeat("x", 10_000)+`"}`)
	}
	id := first.SetState(alice, damaged, "m.room.topic", "", `{"topic":"t"}`)
	_, err := first.Pool.Exec(t.Context(), `UPDATE events SET json = 'x' WHERE event_id = $1`, id)
	first.OK(err)
	h, sent := first.another(2_000_000)
	numbers := h.numbers([]string{large, damaged})
	for range 3 {
		h.OK(h.Rooms.Timeline.Recall(t.Context(), numbers))
	}
	tried := 0
	for _, s := range sent.Take() {
		if strings.Contains(s.SQL, "ORDINALITY") {
			tried++
		}
	}
	if stats := h.Rooms.Caches()["recent_rooms"](); tried > 2 || stats.Bytes > 5000 {
		t.Errorf("tried %d times: %+v", tried, stats)
	}
	h.compareRecent(rand.New(rand.NewPCG(1, 2)), numbers, timeline.PlaceOf(h.Journal.Position()))
	h.SetState(alice, damaged, "m.room.name", "", `{"name":"new"}`)
	h.compareRecent(rand.New(rand.NewPCG(1, 2)), numbers, timeline.PlaceOf(h.Journal.Position()))
}

// The floor moves up as messages are sent, so that a busy room takes no more and more.
func TestRecentPartsOfABusyRoom(t *testing.T) {
	h := &lineEnv{env: newEnv(t)}
	room := h.Public(bob)
	numbers := h.numbers([]string{room})
	h.OK(h.Rooms.Timeline.Recall(t.Context(), numbers))
	var most int
	for i := range 300 {
		if i%3 == 0 {
			h.SetState(alice, room, "m.room.topic", "", fmt.Sprintf(`{"topic":"%d"}`, i))
		} else {
			h.Send(bob, room, "hello")
		}
		most = max(most, h.Rooms.Caches()["recent_rooms"]().Bytes)
	}
	if most > 100*3000 {
		t.Errorf("it takes up to %d bytes", most)
	}
	h.compareRecent(rand.New(rand.NewPCG(1, 2)), numbers, timeline.PlaceOf(h.Journal.Position()))
	if stats := h.Rooms.Caches()["recent_rooms"](); stats.Hits == 0 {
		t.Errorf("%+v", stats)
	}
}

// An event that is no state event may change the line, as after a fork.
func TestRecentPartsFollowForks(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	writer, reader := recentEnv(t, pool, 0), recentEnv(t, pool, 0)
	room := writer.Create(alice, rooms.CreateRequest{Name: "Cellar"})
	writer.SetState(alice, room, "m.room.topic", "", `{"topic":"first"}`)
	writer.SetState(alice, room, "m.room.topic", "", `{"topic":"second"}`)
	numbers := reader.numbers([]string{room})
	reader.OK(reader.Rooms.Timeline.Recall(t.Context(), numbers))
	_, err := pool.Exec(t.Context(), forks)
	writer.OK(err)
	writer.SendEvent(alice, room, "org.example.fork", `{}`)
	end := writer.Journal.Position()
	late := recentEnv(t, pool, 0)
	late.OK(late.Rooms.Timeline.Recall(t.Context(), numbers))
	random := rand.New(rand.NewPCG(1, 2))
	for _, h := range []*lineEnv{reader, late} {
		h.OK(h.Journal.CatchUp(t.Context(), end))
		for range 50 {
			h.compareRecent(random, numbers, timeline.PlaceOf(end))
		}
		states, err := h.Rooms.Timeline.States(t.Context(), []timeline.RoomAt{{Room: numbers[0], At: timeline.PlaceOf(end)}}, nil, true)
		h.OK(err)
		for _, e := range states[numbers[0]].Events {
			if e.Type == "m.room.name" || e.Type == "m.room.topic" && string(e.Content()) != `{"topic":"first"}` {
				t.Errorf("after the fork there is %s", e.Content())
			}
		}
		if stats := h.Rooms.Caches()["recent_rooms"](); stats.Hits < 50 {
			t.Errorf("%+v", stats)
		}
	}
}

// A user who joins after another was erased sees the redacted form of that user's messages, and only the
// membership of that user's member events.
func TestRecentPartsOfErasedUsers(t *testing.T) {
	for version, create := range map[string]rooms.CreateRequest{"old": {RoomVersion: "10"}, "new": {RoomVersion: "11"}} {
		t.Run(version, func(t *testing.T) {
			h := newEnv(t)
			create.Preset = "public_chat"
			room := h.Create(alice, create)
			h.Join(bob, room)
			h.Send(bob, room, "secret")
			h.Redact(bob, room, h.Send(bob, room, "gone"), "reason")
			h.OK(h.Rooms.Timeline.Erase(t.Context(), bob))
			h.Join(carol, room)
			nid := h.NID(room)
			h.OK(h.Rooms.Timeline.Recall(t.Context(), []journal.RoomNID{nid}))
			var texts []string
			for _, s := range []*timeline.Store{h.Rooms.Timeline, h.Rooms.Timeline.Stored()} {
				now := timeline.PlaceOf(h.Journal.Position())
				access, err := s.AccessIn(t.Context(), nid, carol)
				h.OK(err)
				lists, err := s.Timelines(t.Context(), []timeline.Window{{Room: nid, Range: timeline.Range{From: 1, To: now}}}, 100, nil)
				h.OK(err)
				f := timeline.Format{UserID: carol, Access: access}
				texts = append(texts, string(f.AppendEvents(nil, lists[nid].Events)))
			}
			matrixtest.Equal(t, "in memory", texts[:1], texts[1:])
			if strings.Contains(texts[0], "secret") || !strings.Contains(texts[0], `"content":{"membership":"join"}`) {
				t.Errorf("shown: %s", texts[0])
			}
			if h.Rooms.Caches()["recent_rooms"]().Hits == 0 {
				t.Error("nothing was read from memory")
			}
		})
	}
}

// What is bundled with recent events is known without SQL, after a restart, too.
func TestRecentPartsKnowWhatIsBundled(t *testing.T) {
	first := newEnv(t)
	room := first.Public(bob)
	root := first.Send(alice, room, "root")
	for i := range 5 {
		id := first.SendEvent(bob, room, "m.room.message", relates("m.thread", root, ""))
		first.SendEvent(bob, room, "m.room.message", `{"body":"new","m.new_content":{"body":"new"},"m.relates_to":{"rel_type":"m.replace","event_id":"`+id+`"}}`)
		if i == 2 {
			first.Redact(alice, room, id, "")
		}
	}
	first.SendEvent(bob, room, "m.room.message", relates("m.reference", root, ""))
	h, sent := first.another(0)
	nid := h.NID(room)
	h.OK(h.Rooms.Timeline.Recall(t.Context(), []journal.RoomNID{nid}))
	var texts []string
	for _, s := range []*timeline.Store{h.Rooms.Timeline, h.Rooms.Timeline.Stored()} {
		now := timeline.PlaceOf(h.Journal.Position())
		access, err := s.AccessIn(t.Context(), nid, alice)
		h.OK(err)
		lists, err := s.Timelines(t.Context(), []timeline.Window{{Room: nid, Range: timeline.Range{From: 1, To: now}}}, 100, nil)
		h.OK(err)
		sent.Take()
		events := lists[nid].Events
		bundled, err := s.For(alice).Aggregations(t.Context(), nil, timeline.Aggregated{Access: access, UpTo: now, Events: events})
		h.OK(err)
		if n := readsOf(sent.Take()); len(texts) == 0 && n > 0 {
			t.Errorf("%d statements", n)
		}
		f := timeline.Format{UserID: alice, Access: access, Aggregations: bundled}
		texts = append(texts, string(f.AppendEvents(nil, events)))
	}
	matrixtest.Equal(t, "in memory", texts[:1], texts[1:])
	if !strings.Contains(texts[0], `"count":4`) || strings.Count(texts[0], `"m.relations"`) < 4 {
		t.Errorf("bundled: %s", texts[0])
	}
}

// The state of long ago is known in memory where it has not changed since, however much was said.
func TestStateThatHasNotChanged(t *testing.T) {
	first := newEnv(t)
	room := first.Public(bob)
	before := timeline.PlaceOf(first.Journal.Position())
	first.SetState(alice, room, "m.room.topic", "", `{"topic":"t"}`)
	changed := timeline.PlaceOf(first.Journal.Position())
	for range 120 {
		first.Send(bob, room, "hello")
	}
	late, sent := first.another(0)
	numbers := late.numbers([]string{room})
	first.OK(first.Rooms.Timeline.Recall(t.Context(), numbers))
	late.OK(late.Rooms.Timeline.Recall(t.Context(), numbers))
	for range 120 { // so that the floor moves up
		late.Send(bob, room, "hello again")
	}
	for at, want := range map[timeline.Place]int{before: 1, changed: 0, changed + 1024: 0} {
		asked := []timeline.RoomAt{{Room: numbers[0], At: at}}
		stored, err := late.Rooms.Timeline.Stored().States(t.Context(), asked, nil, true)
		late.OK(err)
		sent.Take()
		known, err := late.Rooms.Timeline.States(t.Context(), asked, nil, true)
		late.OK(err)
		if n := readsOf(sent.Take()); (n > 0) != (want > 0) {
			t.Errorf("%d statements for the state at %d, where it changed at %d", n, at, changed)
		}
		matrixtest.Equal(t, "state", roomstest.IDs(known[numbers[0]].Events), roomstest.IDs(stored[numbers[0]].Events))
	}
}

// Of a page that begins in memory only the rest is read from the database.
func TestPageThatBeginsInMemory(t *testing.T) {
	first := newEnv(t)
	room := first.Public(bob)
	for range 60 {
		first.Send(bob, room, "hello")
	}
	h, sent := first.another(0)
	h.OK(h.Rooms.Timeline.Recall(t.Context(), h.numbers([]string{room})))
	page := timeline.Page{Backward: true, Limit: 50}
	want, err := h.Rooms.Timeline.Stored().For(bob).Messages(t.Context(), room, page)
	h.OK(err)
	sent.Take()
	got, err := h.Rooms.Timeline.For(bob).Messages(t.Context(), room, page)
	h.OK(err)
	ends := func(st *timeline.Stretch) []string {
		return append(roomstest.IDs(st.Events), fmt.Sprint(st.End, st.More))
	}
	matrixtest.Equal(t, "page", ends(got), ends(want))
	for _, s := range sent.Take() {
		if limit := s.Args[len(s.Args)-1]; limit != 50+1-30 {
			t.Errorf("%v events are read: %s", limit, s.SQL)
		}
	}
}
