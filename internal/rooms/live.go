package rooms

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"homeserver/internal/cache"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// live is a room in memory, for adding events to it: its heads, which move when an
// event is queued, and the part of its state that authorisation has asked for. When a
// queued event turns out not to be committed, the room is broken: events built on it
// fail too, and the room is loaded again.
type live struct {
	nid     journal.RoomNID
	id      string
	version *event.Version

	mu     sync.Mutex
	broken bool
	heads  heads
	state  liveState
	// stateBytes is the size of all of the room's state; see [StateSize].
	stateBytes int64
	last       atomic.Pointer[journal.Pending] // the newest write to the room; nil: none yet
	// lastState is the newest write of state. overtaken counts how often others have
	// moved the heads: events that were built before and are not committed yet are
	// stale.
	lastState *journal.Pending
	overtaken int
}

// heads are the events that the next one is built on.
type heads struct {
	IDs []string
	// Depth is the largest of theirs.
	Depth int64
	// Turn is how many events have moved the heads of the room.
	Turn int64
	// Hashes are the reference hashes in rooms of versions 1 and 2, where events state
	// them; else nil.
	Hashes map[string]string
}

// after returns the heads once an event is added that was built on all of them.
func (h *heads) after(e *event.Event) (next heads, err error) {
	next = heads{IDs: []string{e.ID}, Depth: e.Depth, Turn: h.Turn + 1}
	if e.Version.EventIDs == event.RandomEventID {
		hash, err := e.ReferenceHash()
		next.Hashes = map[string]string{e.ID: hash}
		return next, err
	}
	return next, nil
}

// referenceHashes reads what heads state in rooms of versions 1 and 2.
func (s *Service) referenceHashes(ctx context.Context, r *live) (map[string]string, error) {
	hashes := map[string]string{}
	for _, id := range r.heads.IDs {
		e, err := s.Timeline.EventByID(ctx, r.nid, id)
		if err != nil {
			return nil, err
		}
		if hashes[id], err = e.ReferenceHash(); err != nil {
			return nil, err
		}
	}
	return hashes, nil
}

// room returns the room in memory, loading it if need be. M_NOT_FOUND if there is no
// such room.
func (s *Service) room(ctx context.Context, roomID string) (*live, error) {
	if r, ok := s.live.Get(roomID); ok {
		if !r.isBroken() {
			return r, nil
		}
		s.removeBroken(r)
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
		heads: heads{IDs: row.Heads, Depth: row.Depth, Turn: row.Turn}, stateBytes: row.StateBytes, state: newLiveState(false),
	}
	if version.EventIDs == event.RandomEventID {
		if r.heads.Hashes, err = s.referenceHashes(ctx, r); err != nil {
			return nil, err
		}
	}
	r, _ = s.live.PutNew(roomID, r)
	return r, nil
}

// markBroken notes that events queued for a room may not be committed.
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

// follow moves the room to a change that another process has committed. Where state is
// queued here that will not be, the room is broken. Without an event the heads stay.
func (r *live) follow(c timeline.RoomChange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	if c.Event != nil {
		r.heads, err = r.heads.after(c.Event.Event)
	}
	if err != nil || r.lastState != nil && !r.lastState.Committed() {
		r.broken = true
	}
	r.overtaken++
	for at := range c.Line {
		r.followSize(at.Event)
		r.state.set(at.StateKey, at.Event, nil)
	}
}

// isWriting reports whether something is queued for the room.
func (r *live) isWriting() bool {
	last := r.last.Load()
	return last != nil && !last.Answered()
}

// stale reports, for the journal, whether the room has been overtaken since something
// was built.
func (r *live) stale(overtaken int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.broken || r.overtaken != overtaken
}

// removeBroken removes a broken room from memory once all that was queued for it is answered.
// Loaded before that, it would be built on heads that are about to move.
func (s *Service) removeBroken(r *live) {
	if last := r.last.Load(); last != nil {
		_ = last.Wait() // its own caller hears of the error
	}
	s.live.RemoveIf(r.id, func(current *live) bool { return current == r })
}

// prefetch loads the state entries that are not in memory yet. Entries written
// meanwhile replace those that were read. Entries may still be missing after it, if so
// much was going on that those that were read may be outdated already.
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
	r.addEntries(missing, found, round)
	return nil
}

// addEntries adds the state entries that were read in a round. After its end entries written
// meanwhile may have been forgotten again.
func (r *live) addEntries(keys []event.StateKey, found map[event.StateKey]*timeline.Event, round int) {
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

// redact applies a redaction to a state event in memory, for events that are authorised
// by it, or that replace it and are not committed yet.
func (r *live) redact(was *timeline.Staged, because *timeline.Event) {
	key := event.StateKey{Type: was.Target.Type, Key: *was.Target.StateKey}
	r.mu.Lock()
	defer r.mu.Unlock()
	// A reader that is about to add the entry may have the old form only.
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

// overlay is the state of a room with the events that are being added on top. It
// remembers the keys that it was asked for and did not have.
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

// newLiveRooms makes the cache of rooms that can be added to. One room may have half of
// what all have.
func newLiveRooms(share int) *cache.LRU[string, *live] {
	const structs = 500 // of the room and its empty state
	return cache.NewLRU(cache.Options[string, *live]{
		Share: share,
		Weigh: func(id string, r *live) int { return structs + cache.Text(id) + int(r.state.bytes.Load()) },
		// Loaded again while something is queued, it would be built on heads that are about to move.
		Spare: func(_ string, r *live) bool { return r.isWriting() },
	})
}

// weigh is called when a room's state in memory may have grown.
func (s *Service) weigh(r *live) {
	r.mu.Lock()
	r.state.trim(s.live.Share() / 2)
	r.mu.Unlock()
	s.live.Reweigh(r.id)
}

// Caches reports the use of the caches: rooms that can be added to, with the state that
// this needs, transactions, and those for reading. The bytes of the state are among those of
// the rooms.
func (s *Service) Caches() cache.Caches {
	all := s.Timeline.Caches()
	all["rooms"], all["room_state"], all["transactions"] = s.live.Stats, s.stateStats, s.recent.recent.Stats
	return all
}

func (s *Service) stateStats() cache.Stats {
	var entries, bytes int64
	s.live.Each(func(_ string, r *live) {
		entries += r.state.count.Load()
		bytes += r.state.bytes.Load()
	})
	return s.stateUses.Stats(int(entries), int(bytes))
}
