package rooms

import (
	"sync/atomic"

	"homeserver/internal/kept"
)

// What is usually kept in memory, for adding events to rooms.
const (
	liveRooms = 10_000
	// roomState is how many state events of one room are kept; beyond it the room is
	// forgotten, and loaded again as it is needed. allState is how many of all rooms
	// together; beyond it the rooms are forgotten that were not added to for longest.
	roomState = 20_000
	allState  = 100_000
)

// memory bounds the state of rooms in memory, and counts how it is used.
type memory struct {
	roomState, allState int

	state     atomic.Int64 // how many state events are kept
	roomUses  kept.Uses
	stateUses kept.Uses
}

func newMemory(scale kept.Scale) *memory {
	return &memory{roomState: scale.Of(roomState), allState: scale.Of(allState)}
}

// weigh is called when a room's state in memory has grown.
func (s *Service) weigh(r *live) {
	m := s.memory
	m.state.Add(int64(r.grown(m.roomState)))
	for m.state.Load() > int64(m.allState) {
		if _, oldest, ok := s.live.GetOldest(); !ok || oldest == r {
			return
		}
		s.live.RemoveOldest()
	}
}

// grown tells by how much the state has grown since it was asked last. The room is
// broken where that is too much: the simplest way to forget.
func (r *live) grown(most int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.evicted {
		return 0
	}
	more := len(r.state) - r.weight
	r.weight += more
	r.broken = r.broken || r.weight > most
	return more
}

// evict is called when a room has been let go of.
func (s *Service) evict(_ string, r *live) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.evicted = true
	s.memory.state.Add(int64(-r.weight))
}

// Caches tells how the caches are used: rooms that can be added to, and the state
// that is needed for that.
func (s *Service) Caches() kept.Caches {
	return kept.Caches{
		"rooms":        func() kept.Stats { return s.memory.roomUses.Stats(s.live.Len()) },
		"room_state":   func() kept.Stats { return s.memory.stateUses.Stats(int(s.memory.state.Load())) },
		"transactions": func() kept.Stats { return s.recent.uses.Stats(s.recent.recent.Len()) },
	}
}
