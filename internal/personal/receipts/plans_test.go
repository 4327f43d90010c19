package receipts_test

import (
	"testing"

	"homeserver/internal/journal"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/postgres/plantest"
)

// The receipts of some rooms are read by looks into each, and never by one through all receipts:
// by plans that were kept from when there was one, and by later ones.
func TestPlansOfReadingReceipts(t *testing.T) {
	const readers, others = 20, 1000 // in the room, and in as many rooms
	h := newEnv(t)
	room := h.room()
	h.read(bob, room, "m.read", h.say(alice, room, "", ""))
	session := plantest.NewSession(t, h.Pool)
	session.Exec(`ALTER TABLE receipts SET (autovacuum_enabled = off)`)
	statements := h.statements(room)
	for _, q := range statements {
		session.Plan(q)
	}
	_, err := h.Pool.Exec(t.Context(), `
		INSERT INTO receipts (room_nid, user_id, type, thread_id, event_id, event_place, ts, position)
		SELECT room_nid + of, '@reader' || n || ':localhost', type, thread_id, event_id, event_place, ts, position
		FROM receipts, generate_series(1, $1::int) n, generate_series(0, $2::int) of`, readers, others)
	h.OK(err)
	check := func(statistics string) {
		t.Helper()
		for _, q := range statements {
			if plan := session.Run(q); plan.Looked() > 2*readers {
				t.Errorf("%s, %d rows are looked at for %v:\n%s\n%s", statistics, plan.Looked(), plan.Rows, q.SQL, plan)
			}
		}
	}
	check("planned for one receipt")
	session.Exec(`SET plan_cache_mode = force_custom_plan`)
	check("without statistics")
	session.Exec(`ANALYZE receipts`)
	check("with statistics, planned for the arguments")
	session.Exec(`SET plan_cache_mode = force_generic_plan`)
	check("with statistics")
}

// statements returns the statements by which another process reads what concerns a room.
func (h *env) statements(room string) []plantest.Statement {
	h.T.Helper()
	pool, sent := plantest.Record(h.T, h.Pool)
	other, nid := envOn(h.T, pool), h.NID(room)
	sent.Take()
	_, _, err := other.Changes(h.T.Context(), bob, []receipts.Since{{Room: nid}}, h.Journal.Position())
	h.OK(err)
	_, err = other.Service.Marks(h.T.Context(), bob, []journal.RoomNID{nid})
	h.OK(err)
	list := sent.Take()
	if len(list) != 2 {
		h.T.Fatalf("%d statements, want 2", len(list))
	}
	return list
}
