package syncstream_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/journal"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/syncstream"
)

// All processes answer the same about what one of them has written, and the same as from
// SQL. The others read it into the live window only now and then: by that time much may
// have happened, and some of it may be overwritten or redacted.
func TestProcessesAgree(t *testing.T) {
	eachHistory(t, func(t *testing.T, seed uint64) {
		pool := postgrestest.New(t)
		start := func(window int) *env {
			return envOn(t, pool, journal.Options{WindowBytes: window, Watch: time.Hour})
		}
		one, other := start(0), start(0)
		reader, forgetful, sql := start(0), start(20_000), start(1)
		all := map[string]*env{"one": one, "other": other, "reader": reader, "forgetful": forgetful, "SQL": sql}
		y := one.history(seed)
		y.ignore, y.others = true, []*env{other}
		told := 0
		for range 6 {
			for range 6 {
				y.happen(6)
				[]*env{reader, forgetful, sql}[y.IntN(3)].catchUp()
			}
			for _, h := range all {
				h.catchUp()
			}
			for range 15 {
				told += y.compare(all)
				y.compareStreams(all)
			}
		}
		if told < 30 {
			t.Errorf("only %d answers had something in them", told)
		}
	})
}

// compareStreams does as compare with /events.
func (y *history) compareStreams(processes map[string]*env) {
	y.T.Helper()
	q := syncstream.EventsQuery{
		UserID: y.pick(everybody...), DeviceID: "PHONE",
		From: syncstream.FormatToken(journal.Position(y.Int64N(int64(y.Journal.Position()) + 1))),
	}
	var of string
	var want []string
	for _, name := range slices.Sorted(maps.Keys(processes)) {
		l := &listener{processes[name], q}
		got := l.news()
		if of != "" {
			if diff := cmp.Diff(want, got); diff != "" {
				y.T.Fatalf("%+v: %s (+) beside %s (-):\n%s", q, name, of, diff)
			}
		}
		of, want = name, got
	}
}

// news returns the chunk without presence, and with only the last account data of each kind:
// whether older ones that were overwritten are in the answer depends on what is in memory.
func (l *listener) news() []string {
	l.h.T.Helper()
	answer, err := l.h.Stream(l.h.T.Context(), l.EventsQuery)
	l.h.OK(err)
	var c struct{ Chunk []json.RawMessage }
	l.h.OK(json.Unmarshal(written(l.h.T, answer), &c))
	list := []string{}
	seen := map[string]bool{}
	for _, raw := range slices.Backward(c.Chunk) {
		var e ev
		l.h.OK(json.Unmarshal(raw, &e))
		ownData := e.Sender == "" && e.Type != "m.receipt"
		kind := e.Type + " " + e.RoomID
		if e.Type == "m.presence" || ownData && seen[kind] {
			continue
		}
		seen[kind] = ownData
		list = append(list, string(raw))
	}
	return list
}
