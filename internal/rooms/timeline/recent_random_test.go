package timeline_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// recentEnv is a server process with so many bytes for the recent parts of rooms.
func recentEnv(t *testing.T, pool *pgxpool.Pool, share int) *lineEnv {
	t.Helper()
	return &lineEnv{env: &env{roomstest.Open(t, roomstest.Options{
		Pool: pool, Rooms: func(o *rooms.Options) { o.Shares.Recent = share },
	}).Run()}}
}

// What the recent parts of rooms have is what the database has, to the byte, in each of several
// processes: whatever has happened since they were read.
func TestRecentPartsAgreeWithTheDatabase(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			pool := postgrestest.New(t)
			processes := []*lineEnv{recentEnv(t, pool, 0), recentEnv(t, pool, 0), recentEnv(t, pool, 300_000)}
			random := rand.New(rand.NewPCG(seed, 5))
			list := []string{processes[0].Public(bob, carol), processes[1].Public(bob), processes[0].Create(alice, rooms.CreateRequest{Name: "Cellar"})}
			fromMemory := 0
			for range 12 {
				for range 30 {
					processes[random.IntN(2)].happen(random, list)
				}
				end := max(processes[0].Journal.Position(), processes[1].Journal.Position())
				for _, h := range processes {
					h.OK(h.Journal.CatchUp(t.Context(), end))
					h.OK(h.Rooms.Timeline.Recall(t.Context(), h.numbers(list)))
					for range 15 {
						h.compareRecent(random, h.numbers(list), timeline.PlaceOf(end))
					}
				}
			}
			for _, h := range processes {
				stats := h.Rooms.Caches()["recent_rooms"]()
				fromMemory += int(stats.Hits)
			}
			if fromMemory < 1000 {
				t.Errorf("only %d reads were answered from memory", fromMemory)
			}
		})
	}
}

func (h *lineEnv) numbers(list []string) (numbers []journal.RoomNID) {
	for _, room := range list {
		numbers = append(numbers, h.NID(room))
	}
	return numbers
}

// compareRecent asks for something of each room as of a moment up to an end, by memory and by SQL.
func (h *lineEnv) compareRecent(random *rand.Rand, list []journal.RoomNID, end timeline.Place) {
	h.T.Helper()
	ctx := h.T.Context()
	moment := func() timeline.Place { // mostly recent
		back := timeline.Place(random.IntN(1 + random.IntN(1+int(end)/1024)))
		return max(0, end-back*1024)
	}
	filters := []*timeline.EventFilter{
		nil, {}, {NotTypes: []string{"m.room.*"}}, {Types: &[]string{event.TypeMember, "m.room.topic"}}, {NotSenders: []string{bob}},
	}
	f, withMembers, limit := filters[random.IntN(len(filters))], random.IntN(2) == 0, random.IntN(25)
	user := []string{alice, bob, carol, dave, "@nobody:localhost"}[random.IntN(5)]
	var windows []timeline.Window
	var at []timeline.RoomAt
	var around []timeline.Around
	var deltas []timeline.Delta
	var members []timeline.MemberAt
	for _, nid := range list {
		cut := []timeline.Place{moment(), moment(), moment(), moment()}
		slices.Sort(cut)
		at = append(at, timeline.RoomAt{Room: nid, At: cut[0]})
		windows = append(windows, timeline.Window{Room: nid, Range: timeline.Range{From: cut[0], To: cut[1]}})
		windows = append(windows, timeline.Window{Room: nid, Range: timeline.Range{From: cut[1] + 1, To: cut[2]}})
		around = append(around, timeline.Around{Room: nid, Start: cut[2], Until: cut[3]})
		deltas = append(deltas, timeline.Delta{Room: nid, Since: cut[1], Start: cut[2] + 1, UpTo: cut[3]})
		members = append(members, timeline.MemberAt{RoomAt: at[len(at)-1], User: alice}, timeline.MemberAt{RoomAt: timeline.RoomAt{Room: nid, At: cut[2]}, User: user})
	}
	var shown []timeline.EventNID
	stored := h.Rooms.Timeline.Stored()
	read, err := stored.Timelines(ctx, windows, 5, nil)
	h.OK(err)
	for _, e := range read.All().Events {
		shown = append(shown, e.NID)
	}
	for name, ask := range map[string]func(s *timeline.Store) (string, error){
		"Timelines": func(s *timeline.Store) (string, error) {
			lists, err := s.Timelines(ctx, windows, limit, f)
			for nid, list := range lists { // by SQL there are so many of each window
				list.Events = list.Events[:min(len(list.Events), limit+1)]
				lists[nid] = list
			}
			return written(lists), err
		},
		"States": func(s *timeline.Store) (string, error) {
			lists, err := s.States(ctx, at, f, withMembers)
			return written(lists), err
		},
		"StatesAround": func(s *timeline.Store) (string, error) {
			lists, err := s.StatesAround(ctx, around, shown, f, withMembers)
			return written(lists), err
		},
		"MemberEvents": func(s *timeline.Store) (string, error) {
			lists, err := s.MemberEvents(ctx, members, f)
			return written(lists), err
		},
		"Stripped": func(s *timeline.Store) (string, error) {
			list, err := s.Stripped(ctx, at, user)
			return written(list.ByRoom()), err
		},
		"StateChanges": func(s *timeline.Store) (string, error) {
			changes, err := s.StateChanges(ctx, deltas)
			lists, from := timeline.Lists{}, ""
			for _, nid := range list {
				var events []*timeline.Event
				for _, i := range changes[nid].Intervals {
					events, from = append(events, i.Event), from+fmt.Sprint(i.StateKey, i.From, " ")
				}
				lists[nid] = timeline.List{Events: events}
			}
			return from + written(lists), err
		},
		"Summaries": func(s *timeline.Store) (string, error) {
			summaries, err := s.Summaries(ctx, list, user)
			slices.SortFunc(summaries, func(a, b timeline.Summary) int { return int(a.Room - b.Room) })
			return fmt.Sprintf("%+v", summaries), err
		},
	} {
		want, err := ask(stored)
		h.OK(err)
		got, err := ask(h.Rooms.Timeline)
		h.OK(err)
		if got != want {
			h.T.Fatalf("%s for %s at %v of the end %d, limit %d, filter %+v, members %v:\nmemory %s\nSQL    %s", name, user, around, end, limit, f, withMembers, got, want)
		}
	}
}

// written returns events as clients get them.
func written(lists timeline.Lists) string {
	var b strings.Builder
	for _, nid := range slices.Sorted(maps.Keys(lists)) {
		f := timeline.Format{Now: time.UnixMilli(0), UserID: alice, DeviceID: "PHONE", WithRoomID: nid%2 == 0}
		for _, e := range lists[nid].Events {
			fmt.Fprintf(&b, "\n%d %d %d %+v %v %s", e.NID, e.Place, e.Position, e.Relation(), e.Redacted(), f.AppendJSON(nil, e))
		}
	}
	return b.String()
}

// While others write to rooms, they are read into memory and dropped again all the time: what is
// read of a moment is what the database has of it.
func TestRecentPartsAreReadWhileRoomsChange(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	pool := postgrestest.New(t)
	writer, reader := recentEnv(t, pool, 0), recentEnv(t, pool, 600_000) // for one of the rooms
	list := []string{writer.Public(bob, carol), writer.Public(bob, carol), reader.Public(bob)}
	for i := range 15 {
		for _, room := range list {
			writer.SetState(alice, room, "m.room.topic", "", fmt.Sprintf(`{"topic":"%d %s"}`, i, strings.Repeat("long ", 200)))
		}
	}
	numbers := writer.numbers(list)
	done := make(chan struct{})
	for i, h := range []*lineEnv{writer, reader} {
		go func() {
			defer func() { done <- struct{}{} }()
			random := rand.New(rand.NewPCG(uint64(i), 6))
			for range 150 {
				h.happen(random, list)
			}
		}()
	}
	check := func(random *rand.Rand) {
		for _, h := range []*lineEnv{writer, reader} {
			now := h.Journal.Position()
			some := slices.Clone(numbers)
			random.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
			some = some[:1+random.IntN(2)]
			h.OK(h.Rooms.Timeline.Recall(t.Context(), some))
			for _, nid := range some {
				at := timeline.RoomAt{Room: nid, At: timeline.PlaceOf(now)}
				window := timeline.Window{Room: nid, Range: timeline.Range{From: 1, To: at.At}}
				var got, want []string
				for ids, s := range map[*[]string]*timeline.Store{&got: h.Rooms.Timeline, &want: h.Rooms.Timeline.Stored()} {
					events, err := s.Timelines(t.Context(), []timeline.Window{window}, 9, nil)
					h.OK(err)
					state, err := s.States(t.Context(), []timeline.RoomAt{at}, nil, true)
					h.OK(err)
					*ids = append(roomstest.IDs(events[nid].Events[:min(10, len(events[nid].Events))]), roomstest.IDs(state[nid].Events)...)
				}
				matrixtest.Equal(t, fmt.Sprintf("room %d at %d", nid, now), got, want)
			}
		}
	}
	random := rand.New(rand.NewPCG(8, 9))
	for left := 2; left > 0; {
		select {
		case <-done:
			left--
		default:
			check(random)
		}
	}
	const hits, most = 20, 200 // on a slow machine all may have changed before it was read so often
	stats := reader.Rooms.Caches()["recent_rooms"]
	for n := 0; stats().Hits < hits && n < most; n++ {
		check(random)
	}
	if got := stats(); got.Hits < hits {
		t.Errorf("%+v", got)
	}
}
