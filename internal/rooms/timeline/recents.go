package timeline

import (
	"slices"
	"sync"

	"homeserver/internal/cache"
	"homeserver/internal/journal"
)

// recents are the recent parts of rooms that were used last, in a bounded number of bytes. A
// nil *recents has none.
type recents struct {
	rooms *cache.LRU[journal.RoomNID, *recent]
	uses  cache.Uses
	// asking has whose turn it is to ask for members of rooms that are too large to be kept.
	asking cache.Turns

	mu     sync.Mutex
	missed map[journal.RoomNID]struct{} // the rooms of which something was read from the database
}

// The part of all recent parts that one room may take.
const recentShare = 8

func newRecents(share int) *recents {
	return &recents{missed: map[journal.RoomNID]struct{}{}, rooms: cache.NewLRU(cache.Options[journal.RoomNID, *recent]{
		Share: share, Weigh: func(_ journal.RoomNID, r *recent) int { return int(r.bytes.Load()) },
	})}
}

// most returns how many bytes one room may take.
func (rs *recents) most() int64 { return int64(rs.rooms.Share() / recentShare) }

func (rs *recents) stats() cache.Stats {
	all := rs.rooms.Stats()
	return rs.uses.Stats(all.Entries, all.Bytes)
}

// inRecent returns what a function reads from the recent part of a room. It reports false where
// the room is not in memory, and where the function does.
func inRecent[A any](rs *recents, room journal.RoomNID, read func(r *recent) (A, bool)) (answer A, ok bool) {
	r := rs.of(room)
	if r == nil {
		return answer, false
	}
	defer r.mu.RUnlock() // after a panic, too, or commits would wait for ever
	return read(r)
}

// of returns the recent part of a room, locked for reading; nil: it is not in memory. It is for
// inRecent.
func (rs *recents) of(room journal.RoomNID) *recent {
	if rs == nil {
		return nil
	}
	if r, ok := rs.rooms.Get(room); ok {
		r.mu.RLock()
		if r.status == recentKept {
			rs.uses.Count(true)
			return r
		}
		r.mu.RUnlock()
	}
	rs.uses.Count(false)
	return nil
}

// mostMissed is how many rooms are remembered that something was read of. Then all are forgotten.
const mostMissed = 1000

// missesAgain reports whether a room is not in memory of which something was read before: then it
// is worth more to read its recent part than the little that is asked for. Where more rooms are
// read by turns than there is memory for, hardly any is read again so soon.
func (rs *recents) missesAgain(room journal.RoomNID) bool {
	if rs == nil {
		return false
	}
	if _, ok := rs.rooms.Peek(room); ok {
		return false
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if _, again := rs.missed[room]; again {
		delete(rs.missed, room)
		return true
	}
	if len(rs.missed) >= mostMissed {
		clear(rs.missed)
	}
	rs.missed[room] = struct{}{}
	return false
}

// fromRecent reads what is asked of rooms, each once, as far as their recent parts have it, and
// returns the rest.
func fromRecent[Q any](
	rs *recents, asked []Q, room func(Q) journal.RoomNID, read func(r *recent, q Q) (events []*Event, ok bool),
) (found Lists, rest []Q) {
	found = make(Lists, len(asked))
	for _, q := range asked {
		events, ok := inRecent(rs, room(q), func(r *recent) ([]*Event, bool) { return read(r, q) })
		switch {
		case !ok:
			rest = append(rest, q)
		case len(events) > 0:
			found[room(q)] = List{Events: events}
		}
	}
	return found, rest
}

// withStored adds to lists what a function reads of the rest, if there is any.
func withStored[Q any](found Lists, rest []Q, read func(rest []Q) (List, error)) (Lists, error) {
	if len(rest) == 0 {
		return found, nil
	}
	stored, err := read(rest)
	return found.and(stored.ByRoom()), err
}

// timelines reads the newest events in windows for which a condition is true as far as recent parts
// have them, at most so many of each room, newest first, and returns the other windows. Those of a
// room follow each other, in the order of places.
func (rs *recents) timelines(windows []Window, most int, match func(*Event) bool) (found Lists, rest []Window) {
	found = Lists{}
	for len(windows) > 0 {
		of := sameRoom(windows, func(w Window) journal.RoomNID { return w.Room })
		windows = windows[len(of):]
		events, ok := inRecent(rs, of[0].Room, func(r *recent) ([]*Event, bool) { return r.newestIn(of, most, match) })
		switch {
		case !ok:
			rest = append(rest, of...)
		case len(events) > 0:
			found[of[0].Room] = List{Events: events}
		}
	}
	return found, rest
}

// page returns the events on a page of a room, in its direction, and one more if there is one, as
// far as they are in memory, and the ranges of those that follow and are not.
func (rs *recents) page(room journal.RoomNID, ranges []Range, p *Page) (events []*Event, rest []Range) {
	rest, ok := inRecent(rs, room, func(r *recent) (rest []Range, ok bool) {
		if !p.Backward {
			events, ok = r.oldestIn(ranges, p.Limit+1, p.Filter)
			return nil, ok
		}
		if events, ok = r.newestIn(windowsOf(room, ranges), p.Limit+1, p.Filter.Match); !ok {
			rest = cutRanges(ranges, 0, r.floor)
		}
		return rest, true
	})
	if !ok {
		return nil, ranges
	}
	return events, rest
}

func windowsOf(room journal.RoomNID, ranges []Range) []Window {
	windows := make([]Window, len(ranges))
	for i, of := range ranges {
		windows[i] = Window{room, of}
	}
	return windows
}

// children returns the events that are aggregated with another, the oldest first, and whether they
// are known: those of an event in memory are, since a child comes after its parent.
func (rs *recents) children(of *Event) (children []*child, known bool) {
	return inRecent(rs, of.Room, func(r *recent) ([]*child, bool) { return r.children[of.ID], of.Place > r.floor })
}

// members reads member events as far as recent parts have them, and returns the others.
func (rs *recents) members(members []MemberAt, f *EventFilter) (found Lists, rest []MemberAt) {
	found = Lists{}
	for len(members) > 0 {
		of := sameRoom(members, MemberAt.room)
		members = members[len(of):]
		room := of[0].Room
		events, ok := inRecent(rs, room, func(r *recent) ([]*Event, bool) {
			events := slices.Grow(found[room].Events, len(of))
			for _, m := range of {
				switch e, ok := r.memberAt(m.At, m.User); {
				case !ok:
					rest = append(rest, m)
				case e != nil && f.Match(e):
					events = append(events, e)
				}
			}
			return events, true
		})
		if !ok {
			rest = append(rest, of...)
			continue
		}
		found[room] = List{Events: byPlace(events)}
	}
	return found, rest
}

// sameRoom returns the first of some questions that are about the same room.
func sameRoom[Q any](all []Q, room func(Q) journal.RoomNID) []Q {
	n := 1
	for n < len(all) && room(all[n]) == room(all[0]) {
		n++
	}
	return all[:n]
}

// committed brings recent parts up to a committed change.
func (rs *recents) committed(c RoomChange, was *Staged) {
	r, ok := rs.rooms.Peek(c.Room)
	if !ok {
		return
	}
	if !r.follow(c, was) || r.bytes.Load() > rs.most() {
		rs.rooms.Remove(c.Room)
		return
	}
	rs.rooms.Reweigh(c.Room)
}

// reset forgets all.
func (rs *recents) reset() { rs.rooms.RemoveAll(nil) }
