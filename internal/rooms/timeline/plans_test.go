package timeline_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"homeserver/internal/journal"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/plantest"
	"homeserver/internal/rooms/roomstest"
)

// How many rows a statement may look at besides those that it returns: some of each room, as a page
// of all rooms together takes some of each, or once all that there is.
const (
	someOfEach = 45 * (copies + 1)
	allOnce    = (busy + 400) * (copies + 1)
)

// planTables are the tables that grow with what happens in rooms.
var planTables = []string{"events", "room_state", "relations", "threads", "rooms", "forgotten_rooms"}

// each runs a command for each of the tables.
func (h *planned) each(s *plantest.Session, format string) {
	h.T.Helper()
	for _, table := range planTables {
		s.Exec(fmt.Sprintf(format, table))
	}
}

// statements returns what another process sends, by who sends it: readers, and what writes.
func (h *planned) statements() map[string]plantest.Statement {
	h.T.Helper()
	pool, sent := h.traced()
	other := &env{roomstest.Open(h.T, roomstest.Options{Pool: pool, Journal: journal.Options{WindowBytes: 1, Watch: time.Hour}}).Run()}
	h.OK(other.Journal.CatchUp(h.T.Context(), h.Journal.Position()))
	calls := (&planned{other, h.room, h.copies, h.step}).readers()
	calls["writers"] = func() error {
		id := other.Send(alice, h.room, "root")
		other.SendEvent(bob, h.room, "m.room.message", relates("m.thread", id, ""))
		other.SetState(alice, h.room, "m.room.topic", "", fmt.Sprintf(`{"topic":"one of %d"}`, h.copies))
		other.Redact(alice, h.room, id, "")
		return nil
	}
	sent.Take()
	statements, known := map[string]plantest.Statement{}, map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		h.OK(calls[name]())
		for i, q := range sent.Take() {
			if !known[q.SQL] && slices.ContainsFunc(planTables, func(table string) bool { return strings.Contains(q.SQL, table) }) {
				known[q.SQL] = true
				statements[fmt.Sprintf("%s, statement %d", name, i)] = q
			}
		}
	}
	return statements
}

// check looks whether statements read about as much as they return, and some rows besides, in rooms
// most of which is not asked for, by the plans of a session.
func check(t *testing.T, how string, s *plantest.Session, statements map[string]plantest.Statement, besides int) {
	t.Helper()
	for name, q := range statements {
		if !q.Reads() {
			// Of rooms, all may be looked at while they are few: their rows are small.
			whole := s.Plan(q).Whole("events", "room_state", "relations", "threads")
			if len(whole) > 0 {
				t.Errorf("%s: %s reads all of %s%s:\n%s", how, name, whole[0].Table, whole[0].Index, q.SQL)
			}
			continue
		}
		plan := s.Run(q)
		const each = 10
		if looked := plan.Looked(); looked > each*int(plan.Rows)+besides {
			t.Errorf("%s: %s looks at %d rows for %v:\n%s\n%s", how, name, looked, plan.Rows, q.SQL, plan)
		}
		if whole := plan.Whole(planTables...); len(whole) > 0 {
			t.Errorf("%s: %s reads all of %s%s:\n%s", how, name, whole[0].Table, whole[0].Index, q.SQL)
		}
	}
}

// Plans are kept: what was planned while there was next to nothing is used for all that comes
// until PostgreSQL looks at the table again, after a minute or so. For so long it may look at all of a
// room, which seemed to be small, but never at all of it for each of something.
func TestPlansOfAYoungDatabase(t *testing.T) {
	matrixtest.Long(t)
	h := oneRoom(t)
	s := plantest.NewSession(t, h.Pool)
	h.each(s, `ALTER TABLE %s SET (autovacuum_enabled = off)`)
	for _, q := range h.statements() {
		s.Plan(q)
	}
	h.grow()
	check(t, "planned for one room", s, h.statements(), allOnce)
}

// Whatever PostgreSQL believes of rooms, each statement reads what it needs.
func TestPlansByStatistics(t *testing.T) {
	matrixtest.Long(t)
	h := oneRoom(t)
	early, s := plantest.NewSession(t, h.Pool), plantest.NewSession(t, h.Pool)
	h.each(s, `ALTER TABLE %s SET (autovacuum_enabled = off)`)
	h.each(s, `ANALYZE %s`)
	for _, q := range h.statements() {
		early.Plan(q)
	}
	h.grow()
	statements := h.statements()
	check(t, "planned for one room, by its statistics", early, statements, someOfEach)
	both := func(statistics string) {
		for _, mode := range []string{"force_generic_plan", "force_custom_plan"} {
			s.Exec(`SET plan_cache_mode = ` + mode)
			check(t, statistics+", "+mode, s, statements, someOfEach)
		}
	}
	both("statistics of one room")
	h.each(s, `ANALYZE %s`)
	both("true statistics")
	s.Exec(forgetStatistics)
	both("no statistics")
}

// forgetStatistics has PostgreSQL believe that each column has another type now, whose values it
// does not know.
var forgetStatistics = `
	DO $$
	DECLARE c record;
	BEGIN
		FOR c IN SELECT k.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type
			FROM pg_attribute a JOIN pg_class k ON k.oid = a.attrelid
			WHERE k.relnamespace = current_schema()::regnamespace AND k.relname IN ('` + strings.Join(planTables, `', '`) + `')
				AND a.attnum > 0 AND NOT a.attisdropped LOOP
			EXECUTE format('ALTER TABLE %I ALTER COLUMN %I TYPE %s', c.relname, c.attname, c.type);
		END LOOP;
	END
	$$`
