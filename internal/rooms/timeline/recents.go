package timeline

import (
	"slices"

	"homeserver/internal/cache"
	"homeserver/internal/journal"
)

// recents are the recent parts of rooms that were used last, in a bounded number of bytes. A
// nil *recents has none.
type recents struct {
	rooms *cache.LRU[journal.RoomNID, *recent]
	uses  cache.Uses
}

// The part of all recent parts that one room may take.
const recentShare = 8

func newRecents(share int) *recents {
	return &recents{rooms: cache.NewLRU(cache.Options[journal.RoomNID, *recent]{
		Share: share, Weigh: func(_ journal.RoomNID, r *recent) int { return int(r.bytes.Load()) },
	})}
}

// most returns how many bytes one room may take.
func (rs *recents) most() int64 { return int64(rs.rooms.Share() / recentShare) }

func (rs *recents) stats() cache.Stats {
	all := rs.rooms.Stats()
	return rs.uses.Stats(all.Entries, all.Bytes)
}

// of returns the recent part of a room, locked for reading; nil: it is not in memory.
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

// fromRecent reads what is asked of rooms, each once, as far as their recent parts have it, and
// returns the rest.
func fromRecent[Q any](
	rs *recents, asked []Q, room func(Q) journal.RoomNID, read func(r *recent, q Q) (events []*Event, ok bool),
) (found Lists, rest []Q) {
	found = make(Lists, len(asked))
	for _, q := range asked {
		if r := rs.of(room(q)); r != nil {
			events, ok := read(r, q)
			r.mu.RUnlock()
			if ok {
				if len(events) > 0 {
					found[r.room] = List{Events: events}
				}
				continue
			}
		}
		rest = append(rest, q)
	}
	return found, rest
}

// timelines reads the newest events in windows as far as recent parts have them, at most so many of
// each room, newest first, and returns the other windows. Those of a room follow each other, in
// the order of places.
func (rs *recents) timelines(windows []Window, most int, f *EventFilter) (found Lists, rest []Window) {
	found = Lists{}
	for len(windows) > 0 {
		of := sameRoom(windows, func(w Window) journal.RoomNID { return w.Room })
		windows = windows[len(of):]
		known := false
		if r := rs.of(of[0].Room); r != nil {
			var events []*Event
			if events, known = r.newestIn(of, most, f); len(events) > 0 {
				found[r.room] = List{Events: events}
			}
			r.mu.RUnlock()
		}
		if !known {
			rest = append(rest, of...)
		}
	}
	return found, rest
}

// members reads member events as far as recent parts have them, and returns the others.
func (rs *recents) members(members []MemberAt, f *EventFilter) (found Lists, rest []MemberAt) {
	found = Lists{}
	for len(members) > 0 {
		of := sameRoom(members, MemberAt.room)
		members = members[len(of):]
		r := rs.of(of[0].Room)
		if r == nil {
			rest = append(rest, of...)
			continue
		}
		events := slices.Grow(found[r.room].Events, len(of))
		for _, m := range of {
			switch e, ok := r.memberAt(m.At, m.User); {
			case !ok:
				rest = append(rest, m)
			case e != nil && f.Match(e):
				events = append(events, e)
			}
		}
		r.mu.RUnlock()
		found[r.room] = List{Events: byPlace(events)}
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
