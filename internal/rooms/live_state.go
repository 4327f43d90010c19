package rooms

import (
	"sync/atomic"

	"homeserver/internal/cache"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// liveState is the part of the current state of a room that is in memory: the entries
// that authorisation has asked for, and those written here. It is bounded in bytes:
// unused entries are forgotten, and read again when they are needed. Its owner guards
// it, but for the counts.
type liveState struct {
	entries map[event.StateKey]*knownState
	// complete reports that the room has no state but entries: the room was made here,
	// and nothing of it was forgotten.
	complete bool
	// round counts the rounds of forgetting. Entries used in the current one stay; so
	// all that is written or read in a round is still there at its end.
	round int

	bytes, count atomic.Int64 // of entries
}

// knownState is one state entry in memory.
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

// trim, if the state is larger than most, forgets entries that were not used in this
// round until not much more than three quarters of that is left. Entries that are not
// committed yet are nowhere else, and stay. Where too much is left, another round
// begins.
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
