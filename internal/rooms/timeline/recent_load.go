package timeline

import (
	"cmp"
	"context"
	"math"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// Recall reads the recent parts of rooms into memory, for a caller that is about to read much of
// them: as many as have room there, many at once. Where others are reading some of them, it
// waits for that. All else stays in the database, and is read from there as it is asked for.
func (s *Store) Recall(ctx context.Context, rooms []journal.RoomNID) error {
	for s.recents != nil && len(rooms) > 0 {
		mine, others, room := s.recents.claim(rooms)
		if err := s.load(ctx, mine, room); err != nil {
			return err
		}
		rooms = nil
		for _, r := range others {
			select {
			case <-r.loaded:
			case <-ctx.Done():
				return ctx.Err() //nolint:wrapcheck // the request is gone
			}
			if r.failed { // the request that was reading it is gone
				rooms = append(rooms, r.room)
			}
		}
	}
	return nil
}

// Prefetch is Recall for rooms that nobody has asked for yet. It does nothing, and reports that, once
// recent parts occupy so many bytes, or half of their memory.
func (s *Store) Prefetch(ctx context.Context, rooms []journal.RoomNID, bytes int) (full bool, err error) {
	if s.recents.rooms.Stats().Bytes >= min(bytes, s.recents.rooms.Share()/2) {
		return true, nil
	}
	return false, s.Recall(ctx, rooms)
}

// claim returns those of the rooms that the caller is to load, and those that others are
// loading; and how many bytes the caller's may take, so that none of the other rooms has to go
// for them.
func (rs *recents) claim(rooms []journal.RoomNID) (mine, others []*recent, room int64) {
	room = int64(rs.rooms.Share())
	var refused []*recent
	for _, nid := range rooms {
		r, ok := rs.rooms.Get(nid)
		if !ok {
			if r, ok = rs.rooms.PutNew(nid, newRecent(nid)); ok {
				mine = append(mine, r)
				continue
			}
		}
		r.mu.RLock()
		switch r.status {
		case recentLoading:
			others = append(others, r)
		case recentRefused:
			refused = append(refused, r)
		}
		r.mu.RUnlock()
		room -= r.bytes.Load()
	}
	for _, r := range refused {
		if again := newRecent(r.room); r.refusedAt < room && rs.rooms.RemoveIf(r.room, func(now *recent) bool { return now == r }) {
			rs.rooms.Put(r.room, again)
			mine = append(mine, again)
		}
	}
	return mine, others, room
}

func newRecent(nid journal.RoomNID) *recent {
	r := &recent{room: nid, loaded: make(chan struct{}), latest: map[event.StateKey]*held{}, children: map[string][]*child{}}
	r.weigh()
	return r
}

// loadBytes is how much one statement reads, where no room takes more.
const loadBytes = 8 << 20

// load loads the rooms that the caller has claimed, as many at once as the memory for answers
// allows.
func (s *Store) load(ctx context.Context, claimed []*recent, room int64) error {
	for len(claimed) > 0 {
		bytes := min(room, max(loadBytes, s.recents.most()))
		found, tooLarge, err := s.readRecent(ctx, claimed, bytes)
		var left []*recent
		for _, r := range claimed {
			switch rows := found[r.room]; {
			case err != nil:
				s.recents.rooms.RemoveIf(r.room, func(now *recent) bool { return now == r })
				r.failed = true
			case rows == nil && r.room == tooLarge && bytes >= s.recents.most():
				r.refuse(math.MaxInt64)
			case rows == nil:
				left = append(left, r)
				continue
			case rows.damaged || !r.fill(rows) || r.bytes.Load() > s.recents.most():
				r.refuse(math.MaxInt64)
			}
			s.loaded(r)
			room -= r.bytes.Load()
		}
		if err != nil {
			return err
		}
		if len(left) == len(claimed) {
			for _, r := range left {
				r.refuse(room + room/8) // the weights of rooms are estimates
				s.loaded(r)
			}
			return nil
		}
		claimed = left
	}
	return nil
}

// loaded ends the loading of a room.
func (s *Store) loaded(r *recent) {
	close(r.loaded)
	s.recents.rooms.Reweigh(r.room)
}

// refuse notes that the room is too large where no more than so many bytes are left.
func (r *recent) refuse(room int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status, r.refusedAt = recentRefused, room
	r.floor, r.stateFloor, r.events, r.line, r.latest, r.children, r.missed = 0, 0, nil, nil, nil, nil, nil
	r.weigh()
}

// fill begins the recent part with what was read, and adds what has happened meanwhile. It
// reports false where that can't be.
func (r *recent) fill(rows *recentRows) bool {
	r.begin(rows) // without the lock, which those who commit would wait for
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.missed {
		if !r.apply(c.RoomChange, c.was) {
			return false
		}
	}
	r.status, r.missed = recentKept, nil
	r.trim()
	return true
}

// begin sets what was read, while nobody else looks at it.
func (r *recent) begin(rows *recentRows) {
	r.floor, r.stateFloor, r.events = rows.floor, rows.stateFloor, rows.events
	slices.SortFunc(r.events, func(a, b *Event) int { return cmp.Compare(a.Place, b.Place) })
	slices.SortFunc(rows.line, func(a, b *held) int { return cmp.Compare(a.from, b.from) })
	r.line = make([]*held, 0, len(rows.line))
	for _, h := range rows.line {
		h.before = r.latest[h.key()]
		r.hold(h)
		if r.changed = max(r.changed, h.from); h.until != unbounded {
			r.changed = max(r.changed, h.until)
		}
	}
	r.relateAll()
	r.weigh()
}
