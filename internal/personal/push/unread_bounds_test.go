package push

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/journal"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms/timeline"
)

// TestCountsAreBounded fills a room with more than is counted.
func TestCountsAreBounded(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	// Next to nothing stays in the live window, so that the tables are read.
	h := envOn(t, nil, journal.Options{WindowBytes: 1})
	room, quiet := h.Public(bob), h.Public(bob)
	for i := range MaxUnread + 50 {
		h.Send(alice, room, fmt.Sprint(i))
	}
	h.Send(alice, quiet, "just one")
	nids := []journal.RoomNID{h.NID(room), h.NID(quiet)}
	want := map[journal.RoomNID]Unread{nids[0]: mainTimeline(MaxUnread, 0), nids[1]: mainTimeline(1, 0)}
	for range 2 {
		counts, err := h.Counts(t.Context(), bob, nids, h.Journal.Position())
		h.OK(err)
		if diff := cmp.Diff(want, counts); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		h.Send(alice, room, "one more")
	}
	items := 0
	h.tallies.byKey.Each(func(_ tallyKey, t *tally) { items += len(t.items) })
	if items != MaxUnread+1 {
		t.Errorf("%d items are kept, want %d", items, MaxUnread+1)
	}
	// More has happened since than is looked at: what is in memory is given up.
	for range MaxUnread + 10 {
		h.SendEvent(alice, room, "m.reaction", `{}`)
	}
	h.wantUnread(bob, room, Unread{})
}

// TestRequestsAtOnceReadARoomOnce: the devices of a user that count at the same time,
// after a change of rules has made all that is kept void.
func TestRequestsAtOnceReadARoomOnce(t *testing.T) {
	t.Parallel()
	h := envOn(t, nil, journal.Options{WindowBytes: 1, Watch: time.Hour})
	room := h.Public(bob)
	const said = 200
	for i := range said {
		h.Send(alice, room, fmt.Sprint(i))
	}
	nids, at := []journal.RoomNID{h.NID(room)}, h.Journal.Position()
	cost := func(requests int) int64 {
		h.OK(h.put(bob, Sender, carol, fmt.Sprintf(`{"actions":[{"set_tweak":"sound","value":"%d"}]}`, requests), Place{}))
		_, err := h.Ruleset(t.Context(), bob)
		h.OK(err)
		before, start := h.Pool.Stat().AcquireCount(), make(chan struct{})
		var all sync.WaitGroup
		for range requests {
			all.Go(func() {
				<-start
				counts, err := h.Counts(t.Context(), bob, nids, at)
				if got := counts[nids[0]].Main.Notification; err != nil || got != said {
					t.Errorf("counted %d, %v", got, err)
				}
			})
		}
		close(start)
		all.Wait()
		return h.Pool.Stat().AcquireCount() - before
	}
	cost(2) // reads what rules see of the room
	if one, many := cost(1), cost(8); one == 0 || many != one {
		t.Errorf("one request asks the database %d times, and 8 at once %d times", one, many)
	}
}

func TestOldThreadsAreFollowedBackSoFar(t *testing.T) {
	t.Parallel()
	h := envOn(t, nil, journal.Options{WindowBytes: 1})
	room := h.Public(bob)
	root := h.Send(alice, room, "root")
	h.inThread(alice, room, root)
	for i := range threadLookback - 2 {
		h.Send(alice, room, fmt.Sprint(i))
	}
	h.mark(bob, room, func(m *timeline.ReadMarks) { m.Main = timeline.PlaceOf(h.Journal.Position()) })
	inThread := Unread{Threads: map[string]Count{root: {1, 0}}}
	h.wantUnread(bob, room, inThread)
	h.Send(alice, room, "one more")
	h.mark(bob, room, func(m *timeline.ReadMarks) { m.Main = timeline.PlaceOf(h.Journal.Position()) })
	nid := h.NID(room)
	if diff := cmp.Diff(inThread, h.unreadBy(h.Service, bob, nid)); diff != "" {
		t.Errorf("what is in memory is forgotten (-want +got):\n%s", diff)
	}
	h.Send(alice, room, "two more")
	h.mark(bob, room, func(m *timeline.ReadMarks) { m.Main = timeline.PlaceOf(h.Journal.Position()) })
	if got := h.unreadBy(h.another(), bob, nid); len(got.Threads) > 0 {
		t.Errorf("looked back too far: %v", got)
	}
}
