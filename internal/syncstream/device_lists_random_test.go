package syncstream_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/journal"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
	"homeserver/internal/syncstream"
)

const erin = "@erin:localhost"

// sharers are the users whose device lists change. Most of them join and leave rooms.
var sharers = []string{alice, bob, carol, dave, erin}

// moment is how users stood to rooms at a position.
type moment struct {
	at        journal.Position
	joined    map[string]map[string]bool // users, by room
	encrypted map[string]bool
}

// share reports whether two users share a room then, and an encrypted one.
func (m *moment) share(a, b string) (room, encrypted bool) {
	for id, users := range m.joined {
		if users[a] && users[b] {
			room, encrypted = true, encrypted || m.encrypted[id]
		}
	}
	return room, encrypted
}

// listModel is all that has happened to some rooms and device lists, kept in the plainest way.
type listModel struct {
	moments []moment
	changed map[string]journal.Position // the last change of each user's list
}

// lists works out whose lists a user has to fetch between two moments, and whose to forget.
func (m *listModel) lists(user string, from, to int) deviceLists {
	l := deviceLists{Changed: []string{}, Left: []string{}}
	for _, other := range sharers {
		then, encryptedThen := m.moments[from].share(user, other)
		now, encryptedNow := m.moments[to].share(user, other)
		always := false
		for room := range m.moments[from].joined {
			always = always || !slices.ContainsFunc(m.moments[from:to+1], func(at moment) bool {
				return !at.joined[room][user] || !at.joined[room][other]
			})
		}
		listed := m.changed[other] > m.moments[from].at
		switch {
		case other == user:
			if listed {
				l.Changed = append(l.Changed, other)
			}
		case then && !now || encryptedThen && !encryptedNow:
			l.Left = append(l.Left, other)
		case now && (listed || !always):
			l.Changed = append(l.Changed, other)
		}
	}
	return l
}

// sharing makes things happen at random that concern device lists.
type sharing struct {
	*history
	model listModel
}

func (y *sharing) note() {
	y.T.Helper()
	m := moment{at: y.newest(), joined: map[string]map[string]bool{}, encrypted: map[string]bool{}}
	rows, _ := y.Pool.Query(y.T.Context(), `
		SELECT r.room_id, s.type, s.state_key, s.value FROM room_state s JOIN rooms r USING (room_nid)
		WHERE s.replaced_at IS NULL AND s.type IN ('m.room.member', 'm.room.encryption')`)
	for rows.Next() {
		var room, typ, key, value string
		y.OK(rows.Scan(&room, &typ, &key, &value))
		if m.joined[room] == nil {
			m.joined[room] = map[string]bool{}
		}
		if typ == "m.room.encryption" {
			m.encrypted[room] = true
		} else {
			m.joined[room][key] = value == "join"
		}
	}
	y.OK(rows.Err())
	y.model.moments = append(y.model.moments, m)
}

// step tries one thing, which may be forbidden.
func (y *sharing) step() {
	y.T.Helper()
	y.n++
	y.elsewhere()
	user, other, room := y.pick(sharers...), y.pick(sharers...), y.pick(y.rooms...)
	var err error
	switch kind := y.IntN(100); {
	case kind < 12:
		y.changeKeys(user)
		y.model.changed[user] = y.newest()
	case kind < 80:
		err = y.move(kind%26, user, room, other)
	case kind < 84:
		err = y.tryToEncrypt(rooms.Request{UserID: user, RoomID: room})
	case kind < 90:
		err = y.change(12, rooms.Request{UserID: user, RoomID: room}) // another name
	default:
		err = y.speak(rooms.Request{UserID: user, DeviceID: "PHONE", RoomID: room})
	}
	if err != nil && !refused(err) {
		y.T.Fatal(err)
	}
	y.note()
}

// compareLists asks all processes for what a user has to fetch since some moment.
func (y *sharing) compareLists(processes map[string]*env) (told bool) {
	y.T.Helper()
	newest := len(y.model.moments) - 1
	user, from := y.pick(sharers...), y.IntN(newest+1)
	to := from + y.IntN(newest-from+1)
	token := func(i int) string { return syncstream.FormatToken(y.model.moments[i].at) }
	wantSync, wantChanges := y.model.lists(user, from, newest), y.model.lists(user, from, to)
	q := syncstream.Query{UserID: user, DeviceID: "PHONE", Since: token(from), Filter: y.filter(), FullState: y.IntN(8) == 0}
	for name, h := range processes {
		if diff := cmp.Diff(&wantSync, h.sync(q).DeviceLists); diff != "" {
			y.T.Errorf("%s: /sync of %s since %d (- want, + got):\n%s", name, user, y.model.moments[from].at, diff)
		}
		if diff := cmp.Diff(&wantChanges, h.keyChanges(user, q.Since, token(to))); diff != "" {
			y.T.Errorf("%s: keys/changes of %s from %s to %s (- want, + got):\n%s", name, user, q.Since, token(to), diff)
		}
	}
	if y.T.Failed() {
		y.T.FailNow()
	}
	return len(wantSync.Changed)+len(wantSync.Left) > 0
}

// Whatever happens, and wherever the answer comes from, clients hear of exactly those
// changes of device lists that concern them.
func TestDeviceListsAreThoseOfAPlainModel(t *testing.T) {
	eachHistory(t, func(t *testing.T, seed uint64) {
		pool := postgrestest.New(t)
		start := func(window int) *env { return envOn(t, pool, journal.Options{WindowBytes: window, Watch: time.Hour}) }
		one, other, forgetful, sql := start(0), start(0), start(20_000), start(1)
		processes := map[string]*env{"one": one, "other": other, "forgetful": forgetful, "SQL": sql}
		y := &sharing{history: one.history(seed), model: listModel{changed: map[string]journal.Position{}}}
		y.others = []*env{other}
		y.note()
		told := 0
		for range 12 {
			for range 12 {
				y.step()
			}
			for _, name := range slices.Sorted(maps.Keys(processes)) {
				processes[name].catchUp()
			}
			for range 12 {
				if y.compareLists(processes) {
					told++
				}
			}
		}
		if told < 60 {
			t.Errorf("only %d answers had something in them", told)
		}
	})
}
