package timeline_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/journal"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
	"homeserver/migrations"
)

// relates returns the content of an event that is related to another.
func relates(relType, target, more string) string {
	return fmt.Sprintf(`{"body":"x","msgtype":"m.text","m.relates_to":{"event_id":%q,"rel_type":%q}%s}`, target, relType, more)
}

// relate fills a room with events that are related in all ways.
func (h *env) relate(room string) {
	h.T.Helper()
	root, other := h.Send(alice, room, "root"), h.Send(bob, room, "another")
	for i := range 3 {
		h.SendEvent(bob, room, "m.room.message", relates("m.thread", root, ""))
		h.SendEvent(alice, room, "m.room.message", relates("m.replace", other, `,"m.new_content":{"body":"x"}`))
		h.SendEvent(alice, room, "m.reaction", fmt.Sprintf(`{"m.relates_to":{"event_id":%q,"key":"key %d","rel_type":"m.annotation"}}`, root, i))
	}
	h.SendEvent(bob, room, "m.room.message", relates("m.replace", other, ``))
	h.SendEvent(bob, room, "m.room.message", relates("m.replace", other, `,"m.new_content":"text"`))
	h.SendEvent(bob, room, "m.room.encrypted", relates("m.replace", other, ``))
	h.SendEvent(bob, room, "m.reaction", fmt.Sprintf(`{"m.relates_to":{"event_id":%q,"key":"key 1 \u0022\u00e9","rel_type":"m.annotation"}}`, root))
	h.SendEvent(bob, room, "m.reaction", relates("m.annotation", root, ""))
	h.SendEvent(bob, room, "m.room.message", relates("m.thread", "$nowhere", ""))
	h.SendEvent(bob, room, "m.room.message", relates("org.example", root, `,"nul":"\u0000"`))
	h.SendEvent(bob, room, "m.room.message", relates("m.reference", root, `,"fraction":{"m.relates_to":"\\u0000"}`))
	h.SetState(alice, room, "org.example.state", "", relates("m.replace", root, `,"m.new_content":{}`))
	h.Redact(bob, room, h.SendEvent(bob, room, "m.room.message", relates("m.thread", root, "")), "")
	h.Redact(bob, room, h.SendEvent(bob, room, "m.room.message", relates("m.thread", other, "")), "")
	h.Redact(bob, room, h.SendEvent(bob, room, "m.reaction", relates("m.annotation", root, "")), "")
	for _, none := range []string{
		`{"m.relates_to":{"event_id":"` + root + `"}}`, `{"m.relates_to":{"rel_type":"m.thread"}}`, `{"m.relates_to":"m.thread"}`,
		`{"m.relates_to":{"event_id":"` + root + `","rel_type":7}}`, `{"m.relates_to":{"event_id":"","rel_type":"m.thread"}}`,
		`{"m.relates_to":{"event_id":"` + root + `","rel_type":"` + strings.Repeat("é", 128) + `"}}`,
		`{"m.relates_to":{"event_id":"\u0000","rel_type":"m.thread"}}`, `{"x":{"m.relates_to":{"event_id":"$a","rel_type":"m.thread"}}}`,
	} {
		h.SendEvent(bob, room, "org.example.unrelated", none)
	}
}

// relationRows returns all rows of relations and threads.
func (h *env) relationRows() []string {
	h.T.Helper()
	rows, _ := h.Pool.Query(h.T.Context(), `
		SELECT r::text FROM relations r UNION ALL SELECT t::text FROM threads t ORDER BY 1`)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	h.OK(err)
	return list
}

func TestRelationsAndThreadsAreStored(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.relate(room)
	for query, want := range map[string][]string{
		`SELECT rel_type || ' ' || count(*) FROM relations GROUP BY rel_type ORDER BY 1`: {
			"m.annotation 5", "m.reference 1", "m.replace 7", "m.thread 4", "org.example 1",
		},
		`SELECT replies::text FROM threads ORDER BY 1`: {"1", "3"},
		`SELECT type || ' by ' || sender FROM relations WHERE edited_at IS NOT NULL ORDER BY 1`: {
			"m.room.encrypted by " + bob, "m.room.message by " + alice, "m.room.message by " + alice, "m.room.message by " + alice,
		},
		`SELECT count(*)::text FROM relations WHERE annotation IS NOT NULL`: {"4"},
		`SELECT 'wrong' FROM threads t WHERE last_place <> (
			SELECT max(place) FROM relations r WHERE r.room_nid = t.room_nid AND r.target_id = t.root_id AND r.rel_type = 'm.thread')`: {},
	} {
		rows, _ := h.Pool.Query(t.Context(), query)
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		h.OK(err)
		matrixtest.Equal(t, query, got, want)
	}
}

// relationsMigration returns the migrations that make the tables.
func (h *env) relationsMigration() (text string) {
	h.T.Helper()
	for _, name := range []string{"00051_relations.sql", "00052_thread_roots.sql"} {
		part, err := migrations.FS.ReadFile(name)
		h.OK(err)
		text += string(part)
	}
	return text
}

func TestMigrationFindsTheRelationsOfEvents(t *testing.T) {
	h := newEnv(t)
	h.EachVersion(rooms.CreateRequest{}, func(_ int, room string) {
		h.Invite(alice, room, bob)
		h.Join(bob, room)
		h.relate(room)
	})
	want := h.relationRows()
	damaged := h.Send(alice, h.Public(), "m.relates_to")
	_, err := h.Pool.Exec(t.Context(), `UPDATE events SET json = '{"m.relates_to":'::bytea WHERE event_id = $1`, damaged)
	h.OK(err)
	_, err = h.Pool.Exec(t.Context(), `DROP TABLE relations, threads; `+h.relationsMigration(), pgx.QueryExecModeSimpleProtocol)
	h.OK(err)
	matrixtest.Equal(t, "rows", h.relationRows(), want)
}

func TestMigrationKeepsOneOfEqualAnnotations(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	root := h.Send(alice, room, "root")
	for _, user := range []string{alice, bob} {
		h.SendEvent(user, room, "m.reaction", fmt.Sprintf(`{"m.relates_to":{"event_id":%q,"key":"a","rel_type":"m.annotation"}}`, root))
	}
	_, err := h.Pool.Exec(t.Context(), `
		INSERT INTO events (event_nid, position, place, room_nid, event_id, type, sender, json, has_url)
		SELECT -event_nid, NULL, place + 1, room_nid, event_id || 'again', type, sender, json, has_url FROM events WHERE type = 'm.reaction';
		DROP TABLE relations, threads; `+h.relationsMigration(), pgx.QueryExecModeSimpleProtocol)
	h.OK(err)
	rows, _ := h.Pool.Query(t.Context(), `SELECT sender || ' ' || (annotation IS NOT NULL)::text FROM relations ORDER BY place`)
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	h.OK(err)
	matrixtest.Equal(t, "annotations", got, []string{alice + " true", alice + " false", bob + " true", bob + " false"})
}

func TestRedactedReplyLeavesItsThread(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	root := h.Send(alice, room, "root")
	id := h.SendEvent(bob, room, "m.room.message", relates("m.thread", root, ""))
	last := h.SendEvent(bob, room, "m.room.message", relates("m.thread", root, ""))
	h.Redact(bob, room, last, "")
	var replies, place int64
	h.OK(h.Pool.QueryRow(t.Context(), `SELECT replies, last_place FROM threads WHERE root_id = $1`, root).Scan(&replies, &place))
	if e := h.Event(alice, room, id); replies != 1 || place != int64(e.Place) {
		t.Errorf("%d replies, the last at %d instead of %d", replies, place, e.Place)
	}
	h.Redact(bob, room, id, "")
	h.Redact(alice, room, id, "")
	if got := h.relationRows(); len(got) != 0 {
		t.Errorf("still there: %q", got)
	}
}

// What is bundled with a popular event is bounded, and is the newest.
func TestReferencesToAPopularEvent(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	root := h.Send(alice, room, "root")
	var want []string
	for range timeline.MaxReferences + 5 {
		want = append(want, h.SendEvent(alice, room, "m.room.message", relates("m.reference", root, "")))
	}
	want = want[5:]
	tables := &env{roomstest.Open(t, roomstest.Options{Pool: h.Pool, Journal: journal.Options{WindowBytes: 1}}).Run()}
	for name, process := range map[string]*env{"from memory": h, "from the tables": tables} {
		now := timeline.PlaceOf(process.Journal.Position())
		e, access, err := process.Rooms.Timeline.For(alice).Event(t.Context(), room, root)
		h.OK(err)
		all, err := process.Rooms.Timeline.For(alice).Aggregations(t.Context(), nil, timeline.Aggregated{
			Access: access, UpTo: now, Events: []*timeline.Event{e},
		})
		h.OK(err)
		matrixtest.Equal(t, name, all[e.NID].References, want)
	}
}

// A page costs two statements at most, whatever is bundled with its events.
func TestStatementsOfAPageOfAggregations(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	var events []*timeline.Event
	for i := range 20 {
		id := h.Send(alice, room, "root")
		for n := range 5 {
			relType := []string{"m.thread", "m.replace", "m.reference", "m.annotation"}[(i+n)%4]
			reply := h.SendEvent(alice, room, "m.room.message", relates(relType, id, fmt.Sprintf(`,"m.new_content":{"n":%d}`, n)))
			h.SendEvent(alice, room, "m.room.message", relates("m.replace", reply, `,"m.new_content":{}`))
		}
		events = append(events, h.Event(bob, room, id))
	}
	pool, sent := h.traced()
	reader := &env{roomstest.Open(t, roomstest.Options{Pool: pool, Journal: journal.Options{WindowBytes: 1, Watch: time.Hour}}).Run()}
	h.OK(reader.Journal.CatchUp(t.Context(), h.Journal.Position()))
	_, access, err := reader.Rooms.Timeline.For(bob).Access(t.Context(), room)
	h.OK(err)
	sent.Take()
	all, err := reader.Rooms.Timeline.For(bob).Aggregations(t.Context(), []string{carol}, timeline.Aggregated{
		Access: access, UpTo: timeline.PlaceOf(h.Journal.Position()), Events: events,
	})
	h.OK(err)
	if n := len(sent.Take()); n != 2 || len(all) != len(events) {
		t.Errorf("%d statements for %d events, with %d of which something is bundled", n, len(events), len(all))
	}
}

// However long a thread is, clients page to its end.
func TestRelationsForwardThroughALongThread(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	root := h.Send(alice, room, "root")
	_, err := h.Pool.Exec(t.Context(), `
		WITH replies AS (
			INSERT INTO relations (room_nid, target_id, place, event_nid, event_id, rel_type, type, sender, is_state)
			SELECT room_nid, event_id, place + n * 1024, -n, '$reply' || n, 'm.thread', 'm.room.message', sender, false
			FROM events, generate_series(1, 6000) n WHERE event_id = $1)
		UPDATE journal SET position = position + 6000`, root)
	h.OK(err)
	reader := &env{roomstest.Open(t, roomstest.Options{Pool: h.Pool, Journal: journal.Options{Watch: time.Hour}}).Run()}
	last := reader.SendEvent(alice, room, "m.room.message", relates("m.thread", root, ""))
	from := timeline.PlaceOf(reader.Journal.Position())
	newest := reader.SendEvent(alice, room, "m.room.message", relates("m.thread", root, ""))
	reaction := reader.SendEvent(alice, room, "m.reaction", relates("m.annotation", last, ""))
	page, err := reader.Rooms.Timeline.For(alice).Relations(t.Context(), room, root, timeline.RelationsPage{
		Page: timeline.Page{From: &from, Limit: 10}, Recurse: true,
	})
	h.OK(err)
	matrixtest.Equal(t, "the end of the thread", roomstest.IDs(page.Events), []string{newest, reaction})

	// Up to what was said long before the page it is seen that something is related to it.
	old := reader.SendEvent(alice, room, "m.reaction", relates("m.annotation", "$reply1500", ""))
	page, err = reader.Rooms.Timeline.For(alice).Relations(t.Context(), room, root, timeline.RelationsPage{
		Page: timeline.Page{From: &from, Limit: 10}, Recurse: true,
	})
	h.OK(err)
	matrixtest.Equal(t, "with a reaction to an old reply", roomstest.IDs(page.Events), []string{newest, reaction, old})
}
