package syncstream_test

import (
	"testing"
	"time"

	"homeserver/internal/journal"
)

// What an answer of sliding sync costs depends on the rooms in the range, and not on those that the
// user is in. Where nothing is new it costs no statement, and most often none where something is.
func TestStatementsOfSlidingSync(t *testing.T) {
	first := newEnv(t)
	pool, count := counted(first)
	const body = `{"lists":{"all":{"timeline_limit":1,"ranges":[[0,2]],"filters":{"is_dm":false,"not_tags":["u.a"]},
		"required_state":[["m.room.name",""],["m.room.member","$LAZY"],["m.room.member","$ME"]]}},
		"extensions":{"account_data":{"enabled":true},"receipts":{"enabled":true},"typing":{"enabled":true},"e2ee":{"enabled":true},"to_device":{"enabled":true}}}`
	statements := map[string]int64{}
	for _, number := range []int{4, 30} {
		var newest string
		for range number {
			newest = first.Public(bob, carol)
			first.say(carol, newest, "1", "2")
		}
		h := envOn(t, pool, journal.Options{Watch: time.Hour})
		s := h.sliding(bob, body)
		costs := func(name string, want int) {
			t.Helper()
			before := count.statements.Load()
			a := s.sync()
			n := count.statements.Load() - before
			if of, ok := statements[name]; ok && of != n || len(a.Rooms) != want {
				t.Errorf("%s: %d statements for %d rooms, and %d for fewer: %s", name, n, number, of, a.raw)
			}
			statements[name] = n
		}
		costs("the first answer", 3)
		costs("nothing", 0)
		h.say(carol, newest, "3")
		costs("a message", 1)
		h.say(carol, newest, "4")
		costs("another", 1)
		if statements["nothing"]+statements["another"] != 0 {
			t.Errorf("statements: %v", statements)
		}
		t.Log(statements)
	}
}
