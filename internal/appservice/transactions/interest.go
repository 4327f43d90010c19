package transactions

import (
	"context"
	"slices"

	"homeserver/internal/cache"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// room is what a service needs to know of a room, as of a position of the journal.
type room struct {
	id string
	// named: its ID or an alias is in a namespace.
	named bool
	// joined is how many users of the service are in it.
	joined int
}

// concerns reports whether what happens in the room concerns the service.
func (r *room) concerns() bool { return r.named || r.joined > 0 }

func newRooms(share int) *cache.LRU[journal.RoomNID, *room] {
	const fixed = 48
	return cache.NewLRU(cache.Options[journal.RoomNID, *room]{
		Share: share, Weigh: func(_ journal.RoomNID, r *room) int { return fixed + cache.Text(r.id) },
	})
}

// outdate has a room be looked up anew; 0: all rooms.
func (l *lane) outdate(room journal.RoomNID) {
	const most = 1000
	l.mu.Lock()
	defer l.mu.Unlock()
	if room == 0 || len(l.outdated) >= most {
		l.allOutdated = true
		clear(l.outdated)
	}
	if !l.allOutdated {
		l.outdated[room] = true
	}
}

// forgetOutdated forgets what is not up to date.
func (l *lane) forgetOutdated() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.allOutdated {
		l.rooms.RemoveAll(nil)
	}
	for room := range l.outdated {
		l.rooms.Remove(room)
	}
	clear(l.outdated)
	l.allOutdated = false
}

// know adds rooms to those that are known, as they are at a position.
func (l *lane) know(ctx context.Context, known map[journal.RoomNID]*room, rooms []journal.RoomNID, at journal.Position) error {
	var unknown []journal.RoomNID
	for _, nid := range rooms {
		if known[nid] != nil {
			continue
		}
		if r, ok := l.rooms.Get(nid); ok {
			known[nid] = r
		} else {
			unknown = append(unknown, nid)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return l.load(ctx, known, slices.Compact(unknown), at)
}

// load reads rooms.
func (l *lane) load(ctx context.Context, known map[journal.RoomNID]*room, rooms []journal.RoomNID, at journal.Position) error {
	ids, err := l.s.o.Rooms.RoomIDs(ctx, rooms)
	if err != nil {
		return err
	}
	var aliases map[journal.RoomNID][]string
	if len(l.r.Aliases) > 0 {
		if aliases, err = l.s.o.Aliases(ctx, rooms); err != nil {
			return err
		}
	}
	found := make(map[journal.RoomNID]*room, len(rooms))
	for _, nid := range rooms {
		id := ids[nid]
		found[nid] = &room{id: id, named: l.r.Rooms.Match(id) || slices.ContainsFunc(aliases[nid], l.r.OwnsAlias)}
	}
	err = l.s.o.Rooms.JoinedUpTo(ctx, rooms, at, func(nid journal.RoomNID, userID string) {
		if l.r.OwnsUser(userID) {
			found[nid].joined++
		}
	})
	if err != nil {
		return err
	}
	for nid, r := range found {
		known[nid] = r
		l.rooms.Put(nid, r)
	}
	return nil
}

// follow applies a change of a room, and reports whether it concerns the service.
func (l *lane) follow(r *room, t *timeline.Trace) (concerned bool) {
	concerned = r.concerns() || l.r.OwnsUser(t.Sender)
	for _, c := range t.Members {
		if !l.r.OwnsUser(c.UserID) {
			continue
		}
		concerned = true
		switch {
		case c.Joins():
			r.joined++
		case c.Leaves():
			r.joined--
		}
	}
	return concerned
}
