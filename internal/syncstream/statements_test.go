package syncstream_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/journal"
	"homeserver/internal/rooms"
	"homeserver/internal/syncstream"
)

// counted opens a pool on a database that counts the statements.
func counted(h *env) (*pgxpool.Pool, *counter) {
	h.T.Helper()
	config := h.Pool.Config().Copy()
	count := &counter{}
	config.ConnConfig.Tracer = count
	pool, err := pgxpool.NewWithConfig(h.T.Context(), config)
	h.OK(err)
	h.T.Cleanup(pool.Close)
	return pool, count
}

// An answer reads what it needs of all rooms at once: it costs as many statements
// however many rooms there are, and none where nothing is new.
func TestStatementsOfAnswers(t *testing.T) {
	h := newEnv(t)
	pool, count := counted(h)
	begin := syncstream.FormatToken(h.newest())
	var list []string
	for range 3 {
		room := h.Public(bob, carol)
		list = append(list, room)
		h.say(alice, room, "1", "2", "3")
		h.topic(alice, room, "new")
		h.read(carol, room, "m.read", h.send(carol, room, "4"))
		h.invite(dave, room)
		h.invite(bob, h.create(rooms.CreateRequest{Name: "Cellar"}))
	}
	middle := syncstream.FormatToken(h.newest())
	for _, room := range list {
		h.say(alice, room, "5", "6")
		h.rename(carol, room, "Caroline")
		h.store(bob, room, "a", `{}`)
	}
	const lazy = `{"room":{"timeline":{"limit":2},"state":{"lazy_load_members":true}}}`
	// The first reading of the rules and counts is among them, and for the events of each list,
	// such as the timelines, another of what they have replaced.
	for name, test := range map[string]struct {
		q    syncstream.Query
		want int64
	}{
		"initial":                    {syncstream.Query{}, 7},
		"initial, lazy":              {syncstream.Query{Filter: lazy}, 7},
		"initial, state after":       {syncstream.Query{UseStateAfter: true}, 7},
		"everything since":           {syncstream.Query{Since: begin}, 8},
		"incremental":                {syncstream.Query{Since: middle}, 14},
		"incremental, lazy":          {syncstream.Query{Since: middle, Filter: lazy}, 15},
		"incremental and full state": {syncstream.Query{Since: middle, FullState: true}, 9},
		"nothing new":                {syncstream.Query{Since: syncstream.FormatToken(h.newest())}, 0},
	} {
		readers := envOn(t, pool, journal.Options{WindowBytes: 1, Watch: time.Hour})
		test.q.UserID, test.q.DeviceID = bob, "PHONE"
		// So that it is known how bob stands to rooms, and which keys the device has.
		readers.sync(syncstream.Query{UserID: bob, DeviceID: "PHONE", Since: syncstream.FormatToken(h.newest())})
		before := count.statements.Load()
		readers.sync(test.q)
		if n := count.statements.Load() - before; n != test.want {
			t.Errorf("%s: %d statements instead of %d", name, n, test.want)
		}
	}
}

// Once rooms are in memory, an initial /sync costs as many statements however many there are, and none
// for their timelines, state, members and summaries.
func TestStatementsOfRoomsInMemory(t *testing.T) {
	first := newEnv(t)
	pool, count := counted(first)
	statements := map[string]int64{}
	for _, number := range []int{3, 30} {
		for range number {
			room := first.Public(bob, carol)
			first.say(alice, room, "1", "2", "3")
			first.topic(alice, room, "new")
			first.say(carol, room, "4")
		}
		h := envOn(t, pool, journal.Options{WindowBytes: 1, Watch: time.Hour})
		h.sync(syncstream.Query{UserID: bob, DeviceID: "PHONE"})
		for name, filter := range map[string]string{"all": "", "lazy": `{"room":{"timeline":{"limit":2},"state":{"lazy_load_members":true}}}`} {
			count.mention()
			before := count.statements.Load()
			a := h.sync(syncstream.Query{UserID: bob, DeviceID: "PHONE", Filter: filter})
			n := count.statements.Load() - before
			if of, ok := statements[name]; ok && of != n || len(a.Rooms.Join) < number {
				t.Errorf("%s: %d statements for %d rooms, and %d for fewer", name, n, number, of)
			}
			statements[name] = n
			if n := count.mention("room_state", "FROM events", "FROM relations"); n > 0 {
				t.Errorf("%s: %d statements read rooms", name, n)
			}
		}
	}
}

// To find what is bundled costs one statement, however much it is: the newest events, which a
// timeline has, have their children among them. In the live window it costs none, nor where there
// is nothing. In the format of the federation nothing is bundled, and in v2_alpha.
func TestStatementsOfAggregations(t *testing.T) {
	for name, test := range map[string]struct {
		window     int
		none, some int64 // statements where nothing is bundled, and where something is
	}{"in the window": {0, 0, 0}, "by SQL": {1, 0, 1}} {
		t.Run(name, func(t *testing.T) {
			first := newEnv(t)
			pool, count := counted(first)
			h := envOn(t, pool, journal.Options{WindowBytes: test.window, Watch: time.Hour})
			room, elsewhere := h.create(rooms.CreateRequest{}), h.create(rooms.CreateRequest{})
			const messages = 10
			statements := func(relTypes ...string) int64 {
				since := syncstream.FormatToken(h.newest())
				for i := range messages {
					root := h.send(alice, room, "root")
					for n := range 3 {
						content := `{"body":"x","m.new_content":{}`
						if len(relTypes) > 0 {
							content += fmt.Sprintf(`,"m.relates_to":{"rel_type":%q,"event_id":%q}`, relTypes[(i+n)%len(relTypes)], root)
						}
						h.SendEvent(alice, room, "m.room.message", content+`}`)
					}
				}
				// Before the first event that is related to another it is known that there is none.
				h.SendEvent(alice, elsewhere, "m.room.message", `{"m.relates_to":{"event_id":"$nowhere","rel_type":"m.reference"}}`)
				syncs := func(format string, v2Alpha bool) int64 {
					q := syncstream.Query{UserID: alice, Since: since, V2Alpha: v2Alpha}
					q.Filter = fmt.Sprintf(`{"event_format":%q,"room":{"timeline":{"limit":%d}}}`, format, 3*messages)
					h.sync(q) // so that counts of what is unread are known
					before := count.statements.Load()
					bundled := bytes.Contains(h.sync(q).raw, []byte(`"m.relations"`))
					if want := len(relTypes) > 0 && format == "client" && !v2Alpha; bundled != want {
						t.Errorf("something is bundled: %v", bundled)
					}
					return count.statements.Load() - before
				}
				none := syncs("federation", false)
				if n := syncs("client", true); n != none {
					t.Errorf("%d statements for v2_alpha, which shows nothing of it, and %d without", n, none)
				}
				return syncs("client", false) - none
			}
			if n := statements(); n != test.none {
				t.Errorf("%d statements where nothing is bundled", n)
			}
			if n := statements("m.thread", "m.replace", "m.reference", "m.thread"); n != test.some {
				t.Errorf("%d statements where something is bundled", n)
			}
		})
	}
}

// Messages to a device that are in the live window are read from there. Of each device it is
// looked once, after a restart, what waits for it.
func TestStatementsOfMessagesToDevices(t *testing.T) {
	first := newEnv(t)
	pool, count := counted(first)
	phone := first.Device("erin", "PHONE")
	for name, window := range map[string]int{"at once": 0, "after a restart": 1} {
		h := envOn(t, pool, journal.Options{WindowBytes: window, Watch: time.Hour})
		q := syncstream.Query{UserID: phone.UserID, DeviceID: phone.DeviceID, Since: syncstream.FormatToken(h.newest())}
		for i, sent := range []int{1, 0, 1, 5, 0} {
			for n := range sent {
				h.OK(h.messages.Send(t.Context(), phone, "m.x", fmt.Sprint(name, i, n), map[string]map[string]json.RawMessage{
					phone.UserID: {"*": json.RawMessage(`{}`)},
				}))
			}
			before := count.statements.Load()
			a := h.sync(q)
			n := count.statements.Load() - before
			// The first answer looks at all there is.
			if fromTables := window != 0 && sent > 0; i > 0 && n > 0 && !fromTables || bytes.Count(a.raw, []byte(`"m.x"`)) != sent {
				t.Errorf("%s, answer %d: %d statements: %s", name, i, n, a.raw)
			}
			q.Since = a.NextBatch
		}
	}
}
