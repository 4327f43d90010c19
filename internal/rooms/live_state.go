package rooms

import (
	"sync/atomic"

	"homeserver/internal/cache"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// liveState is what is known in memory of the current state of a room: what
// authorisation has asked for, and what was written here. It is bounded in bytes: what
// is not asked for is forgotten, and read again when it is. Its owner guards it, but
// for the counts.
type liveState struct {
	entries map[event.StateKey]*knownState
	// complete tells that what is not in entries is absent: the room was made here, and
	// nothing of it was forgotten.
	complete bool
	// round counts the rounds of forgetting. What was used in the current one stays; so
	// whatever is written or read in it is still there in its end.
	round int

	bytes, count atomic.Int64 // of entries
}

// knownState is what is known of one state entry.
type knownState struct {
	event *timeline.Event  // nil: it is known to be absent
	write *journal.Pending // of the event; nil: it was committed before
	used  int              // the round in which it was used last
	bytes int
}

func newLiveState(complete bool) liveState {
	return liveState{entries: map[event.StateKey]*knownState{}, complete: complete}
}

// get returns an entry, which may be known to be absent.
func (s *liveState) get(k event.StateKey) (e *timeline.Event, isKnown bool) {
	if known := s.entries[k]; known != nil {
		known.used = s.round
		return known.event, true
	}
	return nil, s.complete
}

// set notes an entry, which a write is about to commit that is not nil.
func (s *liveState) set(k event.StateKey, e *timeline.Event, write *journal.Pending) {
	s.forget(k)
	known := &knownState{event: e, write: write, used: s.round}
	s.entries[k] = known
	s.count.Add(1)
	s.weigh(k, known)
}

func (s *liveState) forget(k event.StateKey) {
	if known := s.entries[k]; known != nil {
		delete(s.entries, k)
		s.count.Add(-1)
		s.bytes.Add(int64(-known.bytes))
	}
}

// weigh is called when an entry has changed.
func (s *liveState) weigh(k event.StateKey, known *knownState) {
	const structs = 180 // of the entry, and its place in the map
	bytes := structs + cache.Text(k.Type, k.Key)
	if known.event != nil {
		bytes += known.event.MemorySize()
	}
	s.bytes.Add(int64(bytes - known.bytes))
	known.bytes = bytes
}

// trim forgets what was not used in this round until the rest has not much more than
// three quarters of so many bytes, if it has more than all of them. What is not committed
// yet is nowhere else, and stays. Where too much is left, another round begins.
func (s *liveState) trim(most int) {
	if s.bytes.Load() <= int64(most) {
		return
	}
	goal := int64(most / 4 * 3)
	for k, known := range s.entries {
		if s.bytes.Load() <= goal {
			return
		}
		if known.used < s.round && (known.write == nil || known.write.Committed()) {
			s.forget(k)
			s.complete = false
		}
	}
	s.round++
}
