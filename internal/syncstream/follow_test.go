package syncstream_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"homeserver/internal/journal"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/timeline"
	"homeserver/internal/syncstream"
)

// follower is a client that keeps the state and the history of rooms from what
// it is told, as the specification has it.
type follower struct {
	*client
	y     *history
	rooms map[string]*known
}

type known struct {
	joined bool
	state  map[string]string // event IDs by type and key
	events map[string]bool
}

func (f *follower) step() {
	f.h.T.Helper()
	before := f.Since
	a := f.sync()
	for id, r := range a.Rooms.Join {
		f.take(id, r, before, true)
	}
	for id, r := range a.Rooms.Leave {
		f.take(id, r, before, false)
	}
	for id, k := range f.rooms {
		// A user who left and is invited again does not get the event of the leaving.
		if a.Rooms.Invite[id] != nil || a.Rooms.Knock[id] != nil {
			k.joined = false
		}
	}
	f.check(a)
}

func (f *follower) take(id string, r *room, before string, joined bool) {
	f.h.T.Helper()
	k := f.rooms[id]
	if k == nil {
		k = &known{state: map[string]string{}, events: map[string]bool{}}
		f.rooms[id] = k
	}
	if k.joined && f.y.forgot[forgetting{f.UserID, id}] > f.h.place(before).Position() {
		k.joined = false // what was before is over, be it that the user is back
	}
	if !k.joined {
		before = "" // what happened in between is not known
	}
	if r.Timeline.Limited {
		for _, e := range f.gap(id, r.Timeline.PrevBatch, before) {
			if k.joined && k.events[e.ID] {
				f.h.T.Errorf("%s gets %s in the gap a second time", f.UserID, e.ID)
			}
			k.events[e.ID] = true
		}
	}
	told := []*stateList{r.State, {Events: r.Timeline.Events}}
	if f.UseStateAfter {
		told = []*stateList{r.StateAfter}
	}
	for _, list := range told {
		for _, e := range list.Events {
			if e.StateKey != nil {
				k.state[e.Type+"|"+*e.StateKey] = e.EventID
			}
		}
	}
	for _, e := range r.Timeline.Events {
		if k.joined && k.events[e.EventID] {
			f.h.T.Errorf("%s gets %s a second time", f.UserID, e.EventID)
		}
		k.events[e.EventID] = true
	}
	k.joined = joined
}

// gap reads what a limited timeline has left out.
func (f *follower) gap(id, from, before string) []*timeline.Event {
	f.h.T.Helper()
	_, err := f.h.Rooms.Timeline.For(f.UserID).Messages(f.h.T.Context(), id, timeline.Page{})
	if refused(err) && f.h.lags() {
		return nil // the user has left and forgotten the room, but not here yet
	}
	return f.h.backward(f.UserID, id, from, before, nil)
}

// lags reports whether the process has not heard of everything. What it reads from the
// tables, and what a user may read, may then be newer than the position of its answers.
func (h *env) lags() bool {
	h.T.Helper()
	return h.Journal.Position() < h.newest()
}

// check compares what the client knows of the rooms in an answer with what the
// server says of them.
func (f *follower) check(a *answer) {
	f.h.T.Helper()
	if f.h.lags() {
		return // what is wrong now shows later as well
	}
	for id := range a.Rooms.Join {
		state, _, err := f.h.Rooms.Timeline.For(f.UserID).State(f.h.T.Context(), id)
		f.h.OK(err)
		want := map[string]string{}
		for e, err := range state.All(f.h.T.Context()) {
			f.h.OK(err)
			want[e.Type+"|"+*e.StateKey] = e.ID
		}
		if got := f.rooms[id].state; !maps.Equal(got, want) {
			f.h.T.Errorf("%s with %s thinks that the state of %s is\n%v, not\n%v\n%s", f.UserID, f.Filter, id, got, want, a.raw)
		}
		if !f.wholeHistory() {
			continue
		}
		missed := 0
		for _, e := range f.h.backward(f.UserID, id, f.Since, "", nil) {
			if !f.rooms[id].events[e.ID] {
				missed++
			}
		}
		if missed > 0 {
			f.h.T.Errorf("%s with %s has missed %d events of %s", f.UserID, f.Filter, missed, id)
		}
	}
}

// wholeHistory reports whether the filter keeps no events out.
func (f *follower) wholeHistory() bool {
	var filter struct {
		Room struct{ Timeline timeline.EventFilter }
	}
	if f.Filter != "" {
		f.h.OK(json.Unmarshal([]byte(f.Filter), &filter))
	}
	return filter.Room.Timeline.Types == nil && filter.Room.Timeline.Senders == nil
}

// A client that follows the stream, however rarely, knows the state and the history as the
// server does: from a window that holds much, little or nothing, and from processes
// that have not heard of everything yet.
func TestFollowersKnowStateAndHistory(t *testing.T) {
	eachHistory(t, func(t *testing.T, seed uint64) {
		pool := postgrestest.New(t)
		o := journal.Options{WindowBytes: []int{1, 20_000, 1 << 20}[seed%3], Watch: time.Hour}
		h := envOn(t, pool, o)
		processes := []*env{h}
		if seed/3%2 == 1 {
			processes = append(processes, envOn(t, pool, o), envOn(t, pool, o))
		}
		y := h.history(seed)
		y.others = slices.Clone(processes[1:])
		followers := y.followers()
		for range 40 {
			y.happen(6)
			for _, f := range followers {
				if y.IntN(3) == 0 {
					f.h = processes[y.IntN(len(processes))]
					if y.IntN(2) == 0 {
						f.h.catchUp()
					}
					f.step()
				}
			}
		}
	})
}

// followers are clients of everybody.
func (y *history) followers() (list []*follower) {
	for _, user := range everybody {
		for _, filter := range []string{
			``, `{"room":{"timeline":{"limit":1}}}`, `{"room":{"timeline":{"limit":4}}}`,
			`{"room":{"timeline":{"types":["m.room.message"],"limit":2}}}`,
			`{"room":{"timeline":{"types":["m.room.*"],"limit":3}}}`,
		} {
			list = append(list, &follower{y.client(user, filter), y, map[string]*known{}})
		}
		after := &follower{y.client(user, `{"room":{"timeline":{"senders":["@bob:localhost"],"limit":2}}}`), y, map[string]*known{}}
		after.UseStateAfter = true
		list = append(list, after)
	}
	return list
}

// Several loops on two processes follow a storm of writes: each sees every
// message once and in order.
func TestLoopsUnderLoadMissNothing(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	pool := postgrestest.New(t)
	one, two := envOn(t, pool, journal.Options{}), envOn(t, pool, journal.Options{WindowBytes: 50_000})
	users := []string{bob, carol, dave}
	list := []string{one.Public(users...), one.Public(users...), one.Public(users...)}
	const each = 60
	since := syncstream.FormatToken(one.Journal.Position())
	var writers, readers sync.WaitGroup
	for i, room := range list {
		for w := range 3 {
			h := []*env{one, two, one}[w]
			writers.Go(func() {
				for n := range each {
					body := fmt.Sprintf(`{"body":"%d/%d/%d"}`, i, w, n)
					if _, err := h.Rooms.Send(t.Context(), rooms.Request{UserID: users[w], RoomID: room}, "m.room.message", json.RawMessage(body)); err != nil {
						t.Errorf("send: %v", err)
					}
				}
			})
		}
	}
	for i, user := range append(users, alice, alice, bob) {
		c := one.client(user, fmt.Sprintf(`{"room":{"timeline":{"limit":%d}}}`, []int{1, 3, 10, 100, 2, 20}[i]))
		c.Since, c.DeviceID = since, fmt.Sprint("DEVICE", i)
		readers.Go(func() {
			got := map[string][]string{}
			for total := 0; total < each*3*len(list) && !t.Failed(); {
				c.h = []*env{one, two}[(i+total)%2]
				total += c.collect(got)
			}
			wantInOrder(t, c.UserID, got, each)
		})
	}
	writers.Wait()
	readers.Wait()
}

// collect polls once and adds the new messages of each room, with those of the
// gap; it reports how many there were.
func (c *client) collect(got map[string][]string) int {
	before := c.Since
	q := c.Query
	q.Timeout = patience
	a, err := c.h.Sync(c.h.T.Context(), q)
	if err != nil {
		c.h.T.Errorf("sync: %v", err)
		return 0
	}
	parsed := parse(c.h.T, a)
	c.Since = parsed.NextBatch
	n := 0
	for id, r := range parsed.Rooms.Join {
		var bodies []string
		if r.Timeline.Limited {
			bodies = c.h.before(c.UserID, id, r.Timeline.PrevBatch, before, nil)
			slices.Reverse(bodies)
		}
		bodies = append(bodies, r.timeline()...)
		got[id] = append(got[id], bodies...)
		n += len(bodies)
	}
	return n
}

func wantInOrder(t *testing.T, who string, got map[string][]string, each int) {
	for id, bodies := range got {
		next := map[int]int{}
		for _, body := range bodies {
			var room, writer, n int
			if _, err := fmt.Sscanf(body, "%d/%d/%d", &room, &writer, &n); err != nil {
				t.Errorf("%s got %q", who, body)
				return
			}
			if n != next[writer] {
				t.Errorf("%s got message %d of writer %d in %s where %d was due", who, n, writer, id, next[writer])
				return
			}
			next[writer]++
		}
		for writer, n := range next {
			if n != each {
				t.Errorf("%s got %d messages of writer %d", who, n, writer)
			}
		}
	}
}
