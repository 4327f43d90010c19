package timeline_test

import (
	"testing"
	"time"

	"homeserver/internal/journal"
	"homeserver/internal/postgres/plantest"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// manyThreads adds so many threads to a room, each with one reply by bob, between the events
// of the room and what comes next. They share a root, and the rows say that alice sent it.
func (h *env) manyThreads(room string, number int) {
	h.T.Helper()
	root := h.Send(alice, room, "root")
	_, err := h.Pool.Exec(h.T.Context(), `
		WITH root AS (SELECT * FROM events WHERE event_id = $2)
		, replies AS (
			INSERT INTO relations (room_nid, target_id, place, event_nid, event_id, rel_type, type, sender, is_state)
			SELECT room_nid, event_id || n, place + n * 1024, event_nid + n, '$reply' || n, 'm.thread', 'm.room.message', '@bob:localhost', false
			FROM root, generate_series(1, $1::int) n)
		, made AS (
			INSERT INTO threads (room_nid, root_id, last_place, replies, root_nid, root_place, root_sender)
			SELECT room_nid, event_id || n, place + n * 1024, 1, event_nid, place, sender FROM root, generate_series(1, $1::int) n)
		UPDATE journal SET position = position + $1`, number, root)
	h.OK(err)
	_, err = h.Pool.Exec(h.T.Context(), `ANALYZE relations, threads, events`)
	h.OK(err)
}

// A page of threads costs as much in a room with very many of them as in one with few.
func TestPageOfManyThreadsReadsFewRows(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol)
	h.manyThreads(room, 20_000)
	plans := plantest.NewSession(t, h.Pool)
	pool, sent := h.traced()
	reader := &env{roomstest.Open(t, roomstest.Options{Pool: pool, Journal: journal.Options{Watch: time.Hour}}).Run()}
	mine := reader.Send(carol, room, "root")
	for range 30 {
		reader.SendEvent(carol, room, "m.room.message", relates("m.thread", mine, ""))
	}
	end := timeline.PlaceOf(reader.Journal.Position())
	middle := &timeline.ThreadsToken{UpTo: end / 2, AsOf: end}
	for name, read := range map[string]struct {
		user    string
		page    timeline.ThreadsPage
		threads int
	}{
		"all":                         {carol, timeline.ThreadsPage{}, 20},
		"a later page":                {carol, timeline.ThreadsPage{From: middle}, 20},
		"but those of ignored users":  {carol, timeline.ThreadsPage{Ignored: []string{dave}}, 20},
		"with few of one's own":       {carol, timeline.ThreadsPage{Participated: true}, 1},
		"with a reply in all of them": {bob, timeline.ThreadsPage{Participated: true}, 20},
		"having begun all of them":    {alice, timeline.ThreadsPage{Participated: true, From: middle}, 20},
	} {
		read.page.Limit = 20
		sent.Take()
		page, err := reader.Rooms.Timeline.Stored().For(read.user).Threads(t.Context(), room, read.page)
		h.OK(err)
		if len(page.Roots) != read.threads {
			t.Errorf("%s: %d threads, want %d", name, len(page.Roots), read.threads)
		}
		statements := sent.Take()
		if len(statements) > 2 {
			t.Errorf("%s: %d statements", name, len(statements))
		}
		for _, q := range statements {
			plan := plans.Run(q)
			if rows := plan.Looked(); rows > 10_000 {
				t.Errorf("%s: %d rows are read by\n%s\n%s", name, rows, q.SQL, plan)
			}
		}
	}
}
