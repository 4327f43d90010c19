package syncstream_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/journal"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/timeline"
	"homeserver/internal/syncstream"
)

// An answer from the live window, or from the recent parts of rooms, is the same, byte for
// byte, as one from SQL, however little of them is in memory.
func TestWindowAndSQLAgree(t *testing.T) {
	eachHistory(t, func(t *testing.T, seed uint64) {
		pool := postgrestest.New(t)
		window := envOn(t, pool, journal.Options{WindowBytes: []int{0, 100_000, 20_000}[seed%3]})
		sql := envWith(t, pool, journal.Options{WindowBytes: 1}, rooms.Shares{Recent: 1})
		recent := envWith(t, pool, journal.Options{WindowBytes: 1}, rooms.Shares{Recent: []int{0, 500_000, 200_000}[seed%3]})
		y := window.history(seed)
		y.ignore = true
		told := 0
		for range 8 {
			y.happen(30)
			sql.catchUp()
			recent.catchUp()
			for range 25 {
				told += y.compare(map[string]*env{"window": window, "recent": recent, "SQL": sql})
			}
		}
		if told < 50 {
			t.Errorf("only %d answers had something in them", told)
		}
	})
}

// compare sends the same random request to all processes, which must have heard of
// everything, and compares the answers. It returns 1 if there is a room in them.
func (y *history) compare(processes map[string]*env) (told int) {
	y.T.Helper()
	q := syncstream.Query{
		UserID: y.pick(everybody...), DeviceID: y.pick("PHONE", fmt.Sprint("NEW", y.Int())),
		Filter: y.filter(), FullState: y.IntN(8) == 0, UseStateAfter: y.IntN(4) == 0,
		Since: syncstream.FormatToken(journal.Position(y.Int64N(int64(y.Journal.Position()) + 1))),
	}
	var of, want string
	for _, name := range slices.Sorted(maps.Keys(processes)) {
		a, err := processes[name].Sync(y.T.Context(), q)
		y.OK(err)
		a.NextBatch = durable(a.NextBatch)
		got := string(written(y.T, a))
		if of != "" && got != want {
			y.T.Fatalf("%+v\n%s: %s\n%s: %s\n%s", q, of, want, name, got, cmp.Diff(indented(want), indented(got)))
		}
		of, want = name, got
	}
	var shown struct{ Rooms map[string]map[string]any }
	y.OK(json.Unmarshal([]byte(want), &shown))
	for _, section := range shown.Rooms {
		told = min(1, told+len(section))
	}
	return told
}

// indented makes JSON fit for showing differences.
func indented(text string) string {
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(text), "", " "); err != nil {
		return text
	}
	return b.String()
}

// durable returns the part of a token that is the same in all processes.
func durable(token string) string {
	position, _, _ := strings.Cut(token, "_")
	return position
}

// The timeline of /sync and the events of /messages from prev_batch are together all events
// that there are, each once.
func TestPrevBatchLeavesNoGap(t *testing.T) {
	eachHistory(t, func(t *testing.T, seed uint64) {
		h := envOn(t, nil, journal.Options{})
		y := h.history(seed)
		for range 6 {
			y.happen(25)
			for range 10 {
				y.checkPrevBatch(syncstream.Query{
					UserID: y.pick(everybody...),
					Filter: fmt.Sprintf(`{"room":{"timeline":%s,"include_leave":true}}`, y.pick(timelineFilters...)),
				})
			}
		}
	})
}

var timelineFilters = []string{
	`{"limit":1}`, `{"limit":3}`, `{"limit":7}`, `{"limit":100}`, `{"limit":2,"types":["m.room.message"]}`,
	`{"limit":3,"not_senders":["@alice:localhost"]}`, `{"limit":2,"contains_url":true}`, `{"limit":0}`,
}

func (y *history) checkPrevBatch(q syncstream.Query) {
	y.T.Helper()
	var f struct {
		Room struct{ Timeline timeline.EventFilter }
	}
	y.OK(json.Unmarshal([]byte(q.Filter), &f))
	a := y.sync(q)
	for _, section := range []map[string]*room{a.Rooms.Join, a.Rooms.Leave} {
		for id, r := range section {
			if _, err := y.env.Rooms.Timeline.For(q.UserID).Messages(y.T.Context(), id, timeline.Page{}); refused(err) {
				if r.Timeline.Limited {
					y.T.Errorf("%+v: limited, but there is no more of %s: %v", q, id, err)
				}
				continue // a room that one was never in
			}
			var got []string
			for _, e := range y.backward(q.UserID, id, r.Timeline.PrevBatch, "", &f.Room.Timeline) {
				got = append(got, e.ID)
			}
			if older := len(got) > 0; older != r.Timeline.Limited {
				y.T.Errorf("%+v: limited is %v, but there are %d older events in %s", q, r.Timeline.Limited, len(got), id)
			}
			slices.Reverse(got)
			for _, e := range r.Timeline.Events {
				got = append(got, e.EventID)
			}
			var all []string
			upTo := a.NextBatch
			for _, e := range y.backward(q.UserID, id, upTo, "", &f.Room.Timeline) {
				all = append(all, e.ID)
			}
			slices.Reverse(all)
			if section := a.Rooms.Leave[id] != nil; section && len(all) > len(got) {
				all = all[:len(got)] // a world-readable room goes on without the user
			}
			if !slices.Equal(got, all) {
				y.T.Errorf("%+v in %s:\ngot  %v\nwant %v\n%s", q, id, got, all, a.raw)
			}
		}
	}
}
