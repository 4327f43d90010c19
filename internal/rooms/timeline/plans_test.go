package timeline_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/journal"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// all returns lists as one.
func all(lists timeline.Lists, err error) (timeline.List, error) { return lists.All(), err }

// copies of a room of 330 events or so.
const copies = 300

// copyRoom copies a room, with all of its events and of its state, and moves the journal
// past them. The copies stand after the room and keep its numbers: those of copy k are
// k times the number of positions higher.
const copyRoom = `
	WITH j AS (SELECT position AS step FROM journal)
	, copied_rooms AS (
		INSERT INTO rooms (room_nid, room_id, version, heads, depth, joined_members, invited_members, state_bytes, turn)
		SELECT room_nid + 1000 * k, room_id || k, version, heads, depth, joined_members, invited_members, state_bytes, turn
		FROM rooms, generate_series(1, $1::int) k)
	, copied_events AS (
		INSERT INTO events (event_nid, position, place, room_nid, event_id, type, state_key, sender, json, has_url, redacts, replaces, redacted_by, origin_server_ts)
		SELECT event_nid + k * step, position + k * step, place + k * step * 1024, room_nid + 1000 * k, event_id || k, type, state_key,
			sender, json, has_url, redacts || k, replaces + k * step, redacted_by + k * step, CASE WHEN k > 5 THEN origin_server_ts END
		FROM generate_series(1, $1::int) k, events, j ORDER BY k, event_nid)
	, copied_state AS (
		INSERT INTO room_state (room_nid, type, state_key, event_nid, place, replaced_at, value)
		SELECT room_nid + 1000 * k, type, CASE WHEN state_key LIKE '@member%' THEN state_key || k ELSE state_key END, event_nid + k * step, place + k * step * 1024, replaced_at + k * step * 1024, value
		FROM generate_series(1, $1::int) k, room_state, j ORDER BY k, place)
	, copied_relations AS (
		INSERT INTO relations (room_nid, target_id, place, event_nid, event_id, rel_type, type, sender, is_state)
		SELECT room_nid + 1000 * k, target_id || k, place + k * step * 1024, event_nid + k * step, event_id || k, rel_type, type, sender, is_state
		FROM generate_series(1, $1::int) k, relations, j ORDER BY k, place)
	, copied_threads AS (
		INSERT INTO threads (room_nid, root_id, last_place, replies, root_nid, root_place, root_sender)
		SELECT room_nid + 1000 * k, root_id || k, last_place + k * step * 1024, replies, root_nid + k * step, root_place + k * step * 1024, root_sender
		FROM generate_series(1, $1::int) k, threads, j ORDER BY k, last_place)
	UPDATE journal SET position = step * ($1::int + 1) FROM j`

// manyRooms fills the database, and returns one of the rooms.
func (h *env) manyRooms() (room string) {
	h.T.Helper()
	room = h.Public(bob, carol, dave)
	for i := range 10 {
		h.Join(fmt.Sprintf("@member%d:localhost", i), room)
	}
	for i := range 30 {
		id := h.Send(alice, room, fmt.Sprint("first ", i))
		for n := range 7 {
			h.Send(bob, room, fmt.Sprint("and ", n))
		}
		h.SendEvent(bob, room, "m.room.message", relates("m.thread", id, ""))
		h.SetState(alice, room, "m.room.topic", "", fmt.Sprintf(`{"topic":"Number %d"}`, i))
		if i%10 == 0 {
			h.Redact(alice, room, id, "")
		}
		if i%3 == 0 {
			h.SetState(alice, room, "m.space.child", "!child:localhost", fmt.Sprintf(`{"via":["localhost"],"order":"%d"}`, i))
		}
	}
	_, err := h.Pool.Exec(h.T.Context(), copyRoom, copies)
	h.OK(err)
	return room
}

// readers returns the functions that read events and state of many rooms at once, and of one.
func (h *env) readers(room string) map[string]func() error {
	ctx, store, now := h.T.Context(), h.Rooms.Timeline, h.Journal.Position()
	end := timeline.PlaceOf(now)
	var windows []timeline.Window
	var at []timeline.RoomAt
	var around []timeline.Around
	var deltas []timeline.Delta
	var members []timeline.MemberAt
	var nids []journal.RoomNID
	var ids []string
	first := h.NID(room)
	for k := range 50 {
		ids = append(ids, fmt.Sprint(room, k+1))
		nid, middle := first+journal.RoomNID(1000*k), timeline.PlaceOf(now*journal.Position(2*k+1)/(2*(copies+1)))
		nids = append(nids, nid)
		windows = append(windows, timeline.Window{Room: nid, Range: timeline.Range{From: middle, To: end}})
		at = append(at, timeline.RoomAt{Room: nid, At: middle})
		around = append(around, timeline.Around{Room: nid, Start: middle, Until: end})
		deltas = append(deltas, timeline.Delta{Room: nid, Since: middle, Start: end - 10, UpTo: end})
		members = append(members, timeline.MemberAt{RoomAt: at[k], User: bob})
	}
	topics := &timeline.EventFilter{Types: &[]string{"m.room.topic"}}
	lists := map[string]func() (timeline.List, error){
		"Timelines":           func() (timeline.List, error) { return all(store.Timelines(ctx, windows, 20, nil)) },
		"Timelines, filtered": func() (timeline.List, error) { return all(store.Timelines(ctx, windows, 20, topics)) },
		"TimelinesButMembers": func() (timeline.List, error) { return store.TimelinesButMembers(ctx, windows, 20, bob) },
		"Newest":              func() (timeline.List, error) { return store.Newest(ctx, windows, 20) },
		"Oldest":              func() (timeline.List, error) { return store.Oldest(ctx, windows, 20, nil) },
		"Neighbours":          func() (timeline.List, error) { return store.Neighbours(ctx, windows, true, 5) },
		"States":              func() (timeline.List, error) { return all(store.States(ctx, at, nil, true)) },
		"States, no members":  func() (timeline.List, error) { return all(store.States(ctx, at, nil, false)) },
		"StatesAround": func() (timeline.List, error) {
			return all(store.StatesAround(ctx, around, []timeline.EventNID{9}, nil, true))
		},
		"StatesAround, no members": func() (timeline.List, error) {
			return all(store.StatesAround(ctx, around, []timeline.EventNID{9}, nil, false))
		},
		"MemberEvents": func() (timeline.List, error) { return all(store.MemberEvents(ctx, members, nil)) },
		"Stripped":     func() (timeline.List, error) { return store.Stripped(ctx, at, bob) },
	}
	reads := map[string]func() error{
		"Standings": func() error { _, err := store.Standings(ctx, bob); return err },
		"StateChanges": func() error {
			changes, err := store.StateChanges(ctx, deltas)
			if err == nil && len(changes) == 0 {
				h.T.Error("StateChanges finds nothing")
			}
			return err
		},
		"StateBetween": func() error { _, err := store.StateBetween(ctx, 500, 900, "m.room.member"); return err },
		"MaySharingChange": func() error {
			may, err := store.MaySharingChange(ctx, timeline.SharingQuery{
				UserID: bob, UpTo: end, ListedBy: `SELECT WHERE $4::bigint > 0`,
			}, nids)
			if err == nil && !may {
				h.T.Error("MaySharingChange finds no change of a membership")
			}
			return err
		},
		"Sharing": func() error {
			list, err := store.Sharing(ctx, timeline.SharingQuery{
				UserID: bob, Since: timeline.PlaceOf(500), UpTo: end, Moved: true, Users: []string{alice}, Most: 100,
				ListedBy: `SELECT '@nobody:localhost' WHERE $4::bigint > 0`,
			})
			if err == nil && len(list) == 0 {
				h.T.Error("Sharing finds nobody")
			}
			return err
		},
		"Summaries":       func() error { _, err := store.Summaries(ctx, nids, bob); return err },
		"EventsBetween":   func() error { _, err := store.EventsBetween(ctx, 500, 900, []string{"m.room.message"}); return err },
		"RedactedBetween": func() error { _, err := store.RedactedBetween(ctx, 500, 900); return err },
		"State":           func() error { _, _, err := store.For(bob).State(ctx, room); return err },
		"StateEvent":      func() error { _, _, err := store.For(bob).StateEvent(ctx, room, "m.room.topic", ""); return err },
		"Members": func() error {
			_, _, err := store.For(bob).Members(ctx, room, timeline.MemberFilter{At: &at[0].At})
			return err
		},
		"MutualRooms": func() error {
			list, count, err := store.MutualRooms(ctx, bob, alice, 0, 20)
			if err == nil && (len(list) != 20 || count <= copies) {
				h.T.Errorf("MutualRooms finds %d of %d", len(list), count)
			}
			return err
		},
		"EventAtTime": func() error {
			_, err := store.For(bob).EventAtTime(ctx, room, 1, false)
			return err
		},
		"EventAtTime, backward": func() error {
			_, err := store.For(bob).EventAtTime(ctx, room, math.MaxInt64, true)
			return err
		},
		"Relations": func() error { return h.readRelations(room, timeline.RelationsPage{}) },
		"Relations, by type": func() error {
			return h.readRelations(room, timeline.RelationsPage{RelType: "m.thread", EventType: "m.room.message"})
		},
		"Relations, recursive": func() error { return h.readRelations(room, timeline.RelationsPage{Recurse: true}) },
		"Aggregations":         func() error { return h.readAggregations(room) },
		"Threads":              func() error { return h.readThreads(room, timeline.ThreadsPage{Limit: 20}) },
		"Threads, a later page": func() error {
			from := &timeline.ThreadsToken{UpTo: at[0].At, AsOf: at[0].At}
			return h.readThreads(room, timeline.ThreadsPage{Limit: 20, From: from, Ignored: []string{carol}})
		},
		"Threads, participated": func() error { return h.readThreads(room, timeline.ThreadsPage{Limit: 20, Participated: true}) },
		"Messages": func() error {
			_, err := store.For(bob).Messages(ctx, room, timeline.Page{Limit: 20})
			return err
		},
		"Messages, backward": func() error {
			lazy := &timeline.EventFilter{LazyLoadMembers: true}
			_, err := store.For(bob).Messages(ctx, room, timeline.Page{Backward: true, Limit: 20, Filter: lazy})
			return err
		},
	}
	maps.Copy(reads, h.spaceReaders(ids, nids, end))
	for name, list := range lists {
		reads[name] = func() error {
			l, err := list()
			if err == nil && len(l.Events) == 0 && name != "Neighbours" {
				h.T.Errorf("%s finds nothing", name)
			}
			return err
		}
	}
	return reads
}

// roots returns events of a room that have replies.
func (h *env) roots(room string) (events []*timeline.Event) {
	h.T.Helper()
	for _, e := range h.History(bob, room) {
		if content := string(e.Content()); strings.Contains(content, "first ") {
			events = append(events, e)
		}
	}
	return events
}

func (h *env) readRelations(room string, p timeline.RelationsPage) error {
	p.Backward, p.Limit = true, 20
	found, err := h.Rooms.Timeline.For(bob).Relations(h.T.Context(), room, h.roots(room)[0].ID, p)
	if err == nil && len(found.Events) == 0 {
		h.T.Error("Relations finds nothing")
	}
	return err
}

func (h *env) readAggregations(room string) error {
	reader, now := h.Rooms.Timeline.For(bob), timeline.PlaceOf(h.Journal.Position())
	_, access, err := reader.Access(h.T.Context(), room)
	h.OK(err)
	found, err := reader.Aggregations(h.T.Context(), []string{carol}, timeline.Aggregated{Access: access, UpTo: now, Events: h.roots(room)})
	if err == nil && len(found) == 0 {
		h.T.Error("Aggregations finds nothing")
	}
	return err
}

// spaceReaders returns the functions that read the trees of spaces.
func (h *env) spaceReaders(ids []string, nids []journal.RoomNID, end timeline.Place) map[string]func() error {
	ctx, store := h.T.Context(), h.Rooms.Timeline
	return map[string]func() error{
		"Previews": func() error {
			list, err := store.Previews(ctx, ids, bob, end)
			if err == nil && (len(list) != len(ids) || list[0].Membership != "join") {
				h.T.Errorf("Previews finds %d of %d rooms", len(list), len(ids))
			}
			return err
		},
		"JoinedAt": func() error {
			joined, err := store.JoinedAt(ctx, bob, ids, end)
			if err == nil && len(joined) != len(ids) {
				h.T.Errorf("JoinedAt finds %d of %d rooms", len(joined), len(ids))
			}
			return err
		},
		"SpaceChildren": func() error {
			children, err := store.SpaceChildren(ctx, nids, end, 1000)
			if err == nil && len(children) != len(nids) {
				h.T.Errorf("SpaceChildren finds %d children of %d", len(children), len(nids))
			}
			return err
		},
		"SpaceChildren, before": func() error {
			_, err := store.SpaceChildren(ctx, nids[:1], timeline.PlaceOf(200), 1000)
			return err
		},
	}
}

// readThreads reads a page of threads, on which there is one.
func (h *env) readThreads(room string, p timeline.ThreadsPage) error {
	page, err := h.Rooms.Timeline.For(bob).Threads(h.T.Context(), room, p)
	if err == nil && len(page.Roots) == 0 {
		h.T.Error("Threads finds none")
	}
	return err
}

// sentByReaders returns the statements of another server process, by reader.
func (h *env) sentByReaders(room string) map[string]statement {
	h.T.Helper()
	pool, sent := h.traced()
	reader := &env{roomstest.Open(h.T, roomstest.Options{Pool: pool, Journal: journal.Options{WindowBytes: 1, Watch: time.Hour}}).Run()}
	h.Send(alice, room, "of another process")
	reads := reader.readers(room)
	statements := map[string]statement{}
	sent.take()
	take := func(reader string) {
		for i, q := range sent.take() {
			if sql := strings.TrimSpace(q.sql); strings.HasPrefix(sql, "SELECT") || strings.HasPrefix(sql, "WITH own") || strings.HasPrefix(sql, "WITH parents") || strings.HasPrefix(sql, "WITH RECURSIVE") {
				statements[fmt.Sprintf("%s, statement %d", reader, i)] = q
			}
		}
	}
	for name, read := range reads {
		h.OK(read())
		take(name)
	}
	reader.Send(alice, room, "after what the other has sent")
	take("the writer")
	return statements
}

// With statistics and without them, as in a young database, and with some that are wrong;
// with the arguments and for any.
func TestReadersFindEventsAndStateByIndexes(t *testing.T) {
	h := newEnv(t)
	statements := h.sentByReaders(h.manyRooms())
	conn, err := h.Pool.Acquire(t.Context())
	h.OK(err)
	defer conn.Release()
	exec := func(sql string) {
		_, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
		h.OK(err)
	}
	explain := func(what, sql string, args ...any) {
		var plans []struct{ Plan node }
		h.OK(conn.QueryRow(t.Context(), `EXPLAIN (FORMAT JSON) `+sql, args...).Scan(&plans))
		for _, n := range plans[0].Plan.readingAll() {
			t.Errorf("%s reads all of %s%s (%s):\n%s", what, n.Table, n.Index, n.Type, sql)
		}
		if strings.Contains(what, "MemberEvents") && plans[0].Plan.uses("room_state_of_user") {
			t.Errorf("%s looks for a member in all rooms:\n%s", what, sql)
		}
		if !strings.Contains(what, "Threads") && plans[0].Plan.readsAllReplies() {
			t.Errorf("%s reads all replies in a thread:\n%s", what, sql)
		}
		if strings.Contains(what, "Threads") && plans[0].Plan.uses("threads_pkey") && !strings.Contains(what, "participated") {
			t.Errorf("%s does not read threads in their order:\n%s", what, sql)
		}
		if strings.Contains(what, "Aggregations") && strings.Contains(sql, "WITH parents") && !plans[0].Plan.uses("relations_type") {
			t.Errorf("%s looks at all that is related to an event:\n%s", what, sql)
		}
		if strings.Contains(sql, "AS nth FROM") && (!plans[0].Plan.uses("events_time") || plans[0].Plan.sortsAll()) {
			t.Errorf("%s looks at all events of a room, or at all of one time:\n%s", what, sql)
		}
	}
	analyze := func(rooms int) {
		for _, table := range []string{"events", "room_state", "relations", "threads"} {
			exec(fmt.Sprintf(`ALTER TABLE %s ALTER COLUMN room_nid SET (n_distinct = %d)`, table, rooms))
		}
		exec(`ANALYZE events, room_state, rooms, forgotten_rooms, relations, threads`)
	}
	exec(`SET plan_cache_mode = force_generic_plan`)
	for _, believe := range []struct {
		statistics string
		look       func()
	}{
		{"no statistics", func() {}},
		{"statistics", func() { analyze(0) }},
		{"statistics of two rooms", func() { analyze(2) }},
		{"statistics of a room for each row", func() { analyze(-1) }},
	} {
		believe.look()
		statistics := believe.statistics
		for name, q := range statements {
			explain(statistics+", "+name, q.sql, q.args...)
			if len(q.args) > 0 {
				exec(`PREPARE q AS ` + q.sql)
				explain(statistics+", any arguments, "+name, `EXECUTE q(NULL`+strings.Repeat(", NULL", len(q.args)-1)+`)`)
				exec(`DEALLOCATE q`)
			}
		}
	}
}

// node is a node of a plan, as PostgreSQL describes it.
type node struct {
	Type  string `json:"Node Type"`
	Table string `json:"Relation Name"`
	Index string `json:"Index Name"`
	Cond  string `json:"Index Cond"`
	// What it has done, where the statement was executed.
	Rows    float64 `json:"Actual Rows"`
	Removed float64 `json:"Rows Removed by Filter"`
	Loops   float64 `json:"Actual Loops"`
	Plans   []node  `json:"Plans"`
}

// uses reports whether a plan uses an index.
func (n node) uses(index string) bool {
	return n.Index == index || slices.ContainsFunc(n.Plans, func(part node) bool { return part.uses(index) })
}

// readsAllReplies reports whether a plan goes over those who take part in a thread for what does
// not depend on them.
func (n node) readsAllReplies() bool {
	return n.Index == "relations_participants" && !strings.Contains(n.Cond, "sender") ||
		slices.ContainsFunc(n.Plans, func(part node) bool { return part.readsAllReplies() })
}

// sortsAll reports whether a plan sorts anything whose number has no limit.
func (n node) sortsAll() bool {
	return strings.Contains(n.Type, "Sort") && !n.limits() || slices.ContainsFunc(n.Plans, node.sortsAll)
}

// limits reports whether a part of a plan has a limit.
func (n node) limits() bool { return n.Type == "Limit" || slices.ContainsFunc(n.Plans, node.limits) }

// readingAll returns the nodes of a plan that read a whole table of events, of state, of
// relations or of threads, or a whole index of one.
func (n node) readingAll() (all []node) {
	whole := n.Type == "Seq Scan" || n.Index != "" && n.Cond == ""
	for _, table := range []string{"events", "room_state", "relations", "threads"} {
		if whole && strings.HasPrefix(n.Table+n.Index, table) {
			all = append(all, n)
		}
	}
	for _, part := range n.Plans {
		all = append(all, part.readingAll()...)
	}
	return all
}
