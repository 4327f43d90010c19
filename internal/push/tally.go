package push

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/kept"
	"homeserver/internal/rooms"
)

// MaxUnread is how many unread notifications of a room are counted, and how many
// of its newest events are looked at for them.
const MaxUnread = 1000

// effect is what an event does to what is unread.
type effect int

const (
	ignore  effect = iota
	restart        // the user's own membership: what was before counts no more
	read           // the user's own word: what was before in the thread is read
	redact
	notify
)

// step is what one event does to a tally.
type step struct {
	event     *rooms.Event
	effect    effect
	highlight bool
	thread    string // event ID of the root; "": the main timeline
}

// tally is what is unread of a room for one user, up to a position.
type tally struct {
	position journal.Position
	basis
	items []item // oldest first
	// roughUntil is when the tally is void because the budget of the user's rules did not
	// suffice for all of its events, and is whole again; zero: never.
	roughUntil time.Time
}

// basis is what a tally was worked out by. When it changes, the tally is void.
type basis struct {
	rules   journal.Position
	ignored map[string]bool
}

// item is one unread notification.
type item struct {
	at        journal.Position
	eventID   string
	thread    string
	highlight bool
}

// take applies steps, oldest first, leaving out those that are in already.
func (t *tally) take(steps []step, upTo journal.Position) {
	for i := range steps {
		st := &steps[i]
		if st.event.Position <= t.position {
			continue
		}
		switch st.effect {
		case restart:
			t.items = nil
		case read:
			t.drop(func(i item) bool { return i.thread == st.thread })
		case redact:
			t.drop(func(i item) bool { return i.eventID == st.event.Redacts })
		case notify:
			t.items = append(t.items, item{
				at: st.event.Position, eventID: st.event.ID, thread: st.thread, highlight: st.highlight,
			})
		}
	}
	if more := len(t.items) - MaxUnread; more > 0 {
		t.items = slices.Clone(t.items[more:])
	}
	t.position = max(t.position, upTo)
}

func (t *tally) drop(gone func(item) bool) { t.items = slices.DeleteFunc(t.items, gone) }

// upTo gives how far something is read.
func (m *ReadMarks) upTo(thread string) journal.Position {
	if thread == "" {
		return max(m.Unthreaded, m.Main)
	}
	return max(m.Unthreaded, m.Threads[thread])
}

// tallyKey is whose tally it is.
type tallyKey struct {
	user string
	room journal.RoomNID
}

// How much is usually kept in memory.
const (
	keptTallies = 50_000
	keptItems   = 500_000
)

// tallies keeps the tallies that were used last. A tally changes under the lock
// only, also one that has been let go of while somebody uses it.
type tallies struct {
	most, mostItems int
	uses            kept.Uses

	mu    sync.Mutex
	byKey *simplelru.LRU[tallyKey, *tally]
	items int // in all of them
}

func newTallies(scale kept.Scale) (*tallies, error) {
	most := scale.Of(keptTallies)
	byKey, err := simplelru.NewLRU[tallyKey, *tally](most, nil)
	if err != nil {
		return nil, fmt.Errorf("make a cache of %d tallies: %w", most, err)
	}
	return &tallies{most: most, mostItems: scale.Of(keptItems), byKey: byKey}, nil
}

func (ts *tallies) stats() kept.Stats {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.uses.Stats(ts.byKey.Len())
}

// find gives a tally that was worked out by a basis, and its position; nil if
// there is none that still holds.
func (ts *tallies) find(key tallyKey, b *basis, now time.Time) (*tally, journal.Position) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t, ok := ts.byKey.Get(key)
	ok = ok && t.rules == b.rules && maps.Equal(t.ignored, b.ignored) && (t.roughUntil.IsZero() || now.Before(t.roughUntil))
	ts.uses.Count(ok)
	if !ok {
		return nil, 0
	}
	return t, t.position
}

// progress is what is new for a tally: what has happened up to a position, and what is
// read. roughUntil is that of the tally, if any of it was looked at by half.
type progress struct {
	steps      []step
	upTo       journal.Position
	marks      ReadMarks
	roughUntil time.Time
}

// settle brings a tally to a position, takes out what is read, and shows what is
// left up to there, oldest first, which is not to be kept.
func (ts *tallies) settle(key tallyKey, t *tally, p progress, show func(left []item)) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if old, ok := ts.byKey.Peek(key); ok {
		ts.items -= len(old.items)
		ts.byKey.Remove(key)
	}
	t.take(p.steps, p.upTo)
	if t.roughUntil.IsZero() {
		t.roughUntil = p.roughUntil
	}
	t.drop(func(i item) bool { return i.at <= p.marks.upTo(i.thread) })
	end := len(t.items)
	for end > 0 && t.items[end-1].at > p.upTo {
		end--
	}
	show(t.items[:end])
	ts.items += len(t.items)
	for ts.byKey.Len() >= ts.most || ts.items > ts.mostItems && ts.byKey.Len() > 0 {
		_, oldest, _ := ts.byKey.RemoveOldest()
		ts.items -= len(oldest.items)
	}
	ts.byKey.Add(key, t)
}

// effectOf says what an event does to what is unread for a user, but for what the
// rules say.
func effectOf(e *rooms.Event, userID string, ignored map[string]bool) effect {
	switch {
	case e.Type == event.TypeMember && e.StateKey != nil && *e.StateKey == userID:
		if e.Membership() == event.Join && e.Replaces != nil && isJoin(e.Replaces.Content()) {
			return ignore // a new name or picture
		}
		return restart
	case e.Redacts != "":
		return redact
	case e.Sender == userID:
		return read
	case ignored[e.Sender]:
		return ignore
	}
	return notify
}

func isJoin(content []byte) bool {
	membership, _ := event.StringField(content, "membership")
	return membership == event.Join
}
