package push

import (
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"homeserver/internal/cache"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// MaxUnread is how many unread notifications of a room are counted, and how many
// of its newest events are looked at for them.
const MaxUnread = 1000

// effect is the effect of an event on what is unread.
type effect int

const (
	ignore  effect = iota
	restart        // the user's own membership: earlier events count no more
	read           // the user's own message: earlier ones in the thread are read
	redact
	notify
)

// step is the change of a tally by one event.
type step struct {
	event     *timeline.Event
	effect    effect
	highlight bool
	thread    string // event ID of the root; "": the main timeline
}

// tally has the unread events of a room for one user, up to a place.
type tally struct {
	upTo timeline.Place
	basis
	items []item // oldest first
	// roughUntil is when the tally is void because the budget of the user's rules did not
	// suffice for all of its events, and is whole again; zero: never.
	roughUntil time.Time
}

// basis identifies the rules and the ignored users that a tally was worked out by. When
// it changes, the tally is void.
type basis struct {
	rules   journal.Position
	ignored uint64 // stands for the list of ignored users
	invites uint64 // stands for which invites are hidden
}

// seed makes the numbers that stand for lists of ignored users, so that nobody can make
// lists that have the same.
var seed = maphash.MakeSeed()

// newBasis makes a basis of the position of the last change of rules and of the ignored
// users.
func newBasis(rules journal.Position, ignored map[string]bool) basis {
	b := basis{rules: rules}
	for user := range ignored {
		b.ignored += maphash.String(seed, user) // in any order
	}
	return b
}

// item is one unread notification.
type item struct {
	at        timeline.Place
	eventID   string
	thread    string
	highlight bool
}

// take applies steps, oldest first, leaving out those that are in already.
func (t *tally) take(steps []step, upTo timeline.Place) {
	for i := range steps {
		st := &steps[i]
		if st.event.Place <= t.upTo {
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
				at: st.event.Place, eventID: st.event.ID, thread: st.thread, highlight: st.highlight,
			})
		}
	}
	if more := len(t.items) - MaxUnread; more > 0 {
		t.items = slices.Clone(t.items[more:])
	}
	t.upTo = max(t.upTo, upTo)
}

func (t *tally) drop(gone func(item) bool) { t.items = slices.DeleteFunc(t.items, gone) }

// tallyKey is whose tally it is.
type tallyKey struct {
	user string
	room journal.RoomNID
}

// tallies has the tallies that were used last. A tally changes under the lock only,
// also one that has been dropped while a caller uses it.
type tallies struct {
	uses cache.Uses

	mu    sync.Mutex
	byKey *cache.LRU[tallyKey, *tally]
}

func newTallies(share int) *tallies {
	return &tallies{byKey: cache.NewLRU(cache.Options[tallyKey, *tally]{Share: share, Weigh: weighTally})}
}

// weighTally estimates the bytes of a tally in memory.
func weighTally(key tallyKey, t *tally) int {
	const structs, each = 120, 56
	bytes := structs + cache.Text(key.user) + each*cap(t.items)
	for i := range t.items {
		bytes += cache.Text(t.items[i].eventID, t.items[i].thread)
	}
	return bytes
}

func (ts *tallies) stats() cache.Stats {
	all := ts.byKey.Stats()
	return ts.uses.Stats(all.Entries, all.Bytes)
}

// find returns a tally that was worked out by a basis, and where it ends; nil if there
// is none that still holds.
func (ts *tallies) find(key tallyKey, b *basis, now time.Time) (*tally, timeline.Place) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t, ok := ts.byKey.Get(key)
	ok = ok && t.basis == *b && (t.roughUntil.IsZero() || now.Before(t.roughUntil))
	ts.uses.Count(ok)
	if !ok {
		return nil, 0
	}
	return t, t.upTo
}

// progress has what is new for a tally: the events up to a place, and how far they are
// read. roughUntil is that of the tally, if any event was evaluated only in part.
type progress struct {
	steps      []step
	upTo       timeline.Place
	marks      timeline.ReadMarks
	roughUntil time.Time
}

// settle brings a tally to a place, removes what is read, and calls show with the rest
// up to there, oldest first; show must not keep it.
func (ts *tallies) settle(key tallyKey, t *tally, p progress, show func(left []item)) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t.take(p.steps, p.upTo)
	if t.roughUntil.IsZero() {
		t.roughUntil = p.roughUntil
	}
	t.drop(func(i item) bool { return i.at <= p.marks.UpTo(i.thread) })
	end := len(t.items)
	for end > 0 && t.items[end-1].at > p.upTo {
		end--
	}
	show(t.items[:end])
	ts.byKey.Put(key, t)
}

// effectOf returns the effect of an event on what is unread for a user, apart from the
// rules.
func effectOf(e *timeline.Event, userID string, ignored map[string]bool) effect {
	switch {
	case e.Position == 0:
		return ignore // it was never new
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
