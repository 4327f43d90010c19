package rooms

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// live is a room in memory, for adding events to it: its head, which moves when
// an event is queued, and as much of its state as authorisation has asked for.
// When a queued event turns out not to be committed, the room is broken: what
// was built on it fails too, and the room is loaded again.
type live struct {
	nid     journal.RoomNID
	id      string
	version *event.Version

	mu     sync.Mutex
	broken bool
	head   head
	state  liveState
	// stateBytes is the size of all of the room's state; see [StateSize].
	stateBytes int64
	last       atomic.Pointer[journal.Pending] // the newest write to the room; nil: none yet
	// lastState is the newest write of state. turn counts how often others have moved
	// the head: what was built before and is not committed yet is stale.
	lastState *journal.Pending
	turn      int
}

// head is the event that the next one is built on. Its reference hash is known
// in rooms of versions 1 and 2 only, where events state it.
type head struct {
	ID    string
	Depth int64
	Hash  string
}

// headAt is the head of a room whose newest event this is.
func headAt(e *event.Event) (h head, err error) {
	h = head{ID: e.ID, Depth: e.Depth}
	if e.Version.EventIDs == event.RandomEventID {
		h.Hash, err = e.ReferenceHash()
	}
	return h, err
}

func (s *Service) referenceHash(ctx context.Context, r *live) (string, error) {
	e, err := s.Timeline.EventByID(ctx, r.nid, r.head.ID)
	if err != nil {
		return "", err
	}
	return e.ReferenceHash()
}

// room gives the room in memory, loading it if need be. M_NOT_FOUND if there is
// no such room.
func (s *Service) room(ctx context.Context, roomID string) (*live, error) {
	if r, ok := s.live.Get(roomID); ok {
		if !r.isBroken() {
			return r, nil
		}
		s.letGo(r)
	}
	row, err := s.Timeline.Room(ctx, roomID)
	if err != nil {
		return nil, err
	}
	version, ok := event.LookupVersion(row.Version)
	if !ok {
		return nil, fmt.Errorf("room %s has unknown version %q", roomID, row.Version)
	}
	r := &live{
		nid: row.NID, id: roomID, version: version,
		head: head{ID: row.HeadEventID, Depth: row.Depth}, stateBytes: row.StateBytes, state: newLiveState(false),
	}
	if version.EventIDs == event.RandomEventID {
		if r.head.Hash, err = s.referenceHash(ctx, r); err != nil {
			return nil, err
		}
	}
	r, _ = s.live.PutNew(roomID, r)
	return r, nil
}

// markBroken notes that what is queued for a room may not be committed.
func (r *live) markBroken() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = true
}

func (r *live) isBroken() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.broken
}

// follow moves the room to an event that another process has committed. Where
// state is queued here that will not be, the room is broken.
func (r *live) follow(e *timeline.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, err := headAt(e.Event)
	if err != nil || r.lastState != nil && !r.lastState.Committed() {
		r.broken = true
	}
	r.turn++
	r.head = h
	if e.StateKey != nil {
		r.followSize(e)
		r.state.set(event.StateKey{Type: e.Type, Key: *e.StateKey}, e, nil)
	}
}

// isWriting reports whether something is queued for the room.
func (r *live) isWriting() bool {
	last := r.last.Load()
	return last != nil && !last.Answered()
}

// stale tells, for the journal, whether something built in a turn still fits.
func (r *live) stale(turn int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.broken || r.turn != turn
}

// letGo takes a broken room out of memory once all that was queued for it is
// answered. Loaded before that, it would be built on a head that is about to move.
func (s *Service) letGo(r *live) {
	if last := r.last.Load(); last != nil {
		_ = last.Wait() // its own caller hears of the error
	}
	s.live.RemoveIf(r.id, func(current *live) bool { return current == r })
}

// prefetch loads the state entries that are not in memory yet. What is written
// meanwhile wins over what was read. Entries may still be missing after it, where so
// much was going on that what was read may be outdated already.
func (s *Service) prefetch(ctx context.Context, r *live, keys []event.StateKey) error {
	missing, round := r.missing(keys)
	s.stateUses.Count(len(missing) == 0)
	if len(missing) == 0 {
		return nil
	}
	found, err := s.Timeline.CurrentState(ctx, r.nid, missing)
	if err != nil {
		return err
	}
	r.learn(missing, found, round)
	return nil
}

// learn takes up the state entries that were read in a round. After its end what was
// written meanwhile may have been forgotten again.
func (r *live) learn(keys []event.StateKey, found map[event.StateKey]*timeline.Event, round int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.round != round {
		return
	}
	for _, k := range keys {
		if _, known := r.state.get(k); !known {
			r.state.set(k, found[k], nil)
		}
	}
}

func (r *live) missing(keys []event.StateKey) (missing []event.StateKey, round int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range keys {
		if _, known := r.state.get(k); !known {
			missing = append(missing, k)
		}
	}
	return missing, r.state.round
}

// redact shows the redacted form of a state event to who authorises by it, or
// has replaced it and is yet to be committed.
func (r *live) redact(was *timeline.Staged, because *timeline.Event) {
	key := event.StateKey{Type: was.Target.Type, Key: *was.Target.StateKey}
	r.mu.Lock()
	defer r.mu.Unlock()
	// Who has read the entry already, and is about to note it, may know the old form only.
	r.state.round++
	known := r.state.entries[key]
	if known == nil {
		return
	}
	if e := known.event.Earlier(was.Target.ID); e != nil {
		e.Redact(was.Redacted, because)
		r.state.weigh(key, known)
	}
}

// overlay is the state of a room with the events that are being added on top.
// It remembers what it was asked for and did not know.
type overlay struct {
	r      *live
	added  map[event.StateKey]*timeline.Event
	missed []event.StateKey
}

// Event makes overlay an event.State.
func (o *overlay) Event(evType, stateKey string) *event.Event {
	if e := o.get(event.StateKey{Type: evType, Key: stateKey}); e != nil {
		shown, _ := e.Seen()
		return shown
	}
	return nil
}

func (o *overlay) get(k event.StateKey) *timeline.Event {
	if e, ok := o.added[k]; ok {
		return e
	}
	e, known := o.r.state.get(k)
	if !known {
		o.missed = append(o.missed, k)
	}
	return e
}
