package rooms

import "homeserver/internal/cache"

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
// this needs, and transactions. The bytes of the state are among those of the rooms.
func (s *Service) Caches() cache.Caches {
	return cache.Caches{"rooms": s.live.Stats, "room_state": s.stateStats, "transactions": s.recent.recent.Stats}
}

func (s *Service) stateStats() cache.Stats {
	var entries, bytes int64
	s.live.Each(func(_ string, r *live) {
		entries += r.state.count.Load()
		bytes += r.state.bytes.Load()
	})
	return s.stateUses.Stats(int(entries), int(bytes))
}
