package syncstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"homeserver/internal/cache"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/rooms/timeline"
)

// viewer has one user's standing in rooms, and the listener that the user's requests
// wait on. It does not change: when the user's standing does, it is gone, and the next
// request loads another.
type viewer struct {
	userID   string
	listener *journal.Listener
	rooms    []*standing // by number
	ignored  []string    // users whose messages are not shown

	// Guarded by viewers.mu: how many requests are at work on it, and wait on it; its
	// weight; and whether only its listener is left.
	users, waiting int
	bytes          int
	emptied        bool

	gone   atomic.Bool
	loaded chan struct{} // closed once rooms is there, or err
	err    error
}

// standing is a user's membership of a room over time, and access to it.
type standing struct {
	*timeline.Standing
	access *timeline.Access
}

// isJoined reports whether the user is in the room now.
func (st *standing) isJoined() bool { return st.Memberships.Last().Value == event.Join }

// accessAt returns the user's access as of a place. The standing may have been loaded
// when the database was ahead of this process.
func (st *standing) accessAt(p timeline.Place) *timeline.Access {
	if st.Memberships.Last().From <= p && st.Visibilities.Last().From <= p {
		return st.access
	}
	then := st.AccessChanges
	then.Visibilities, then.Memberships = st.Visibilities.UpTo(p), st.Memberships.UpTo(p)
	return then.Access()
}

// standing returns the user's standing in a room; nil if there is none.
func (v *viewer) standing(room journal.RoomNID) *standing {
	i, ok := slices.BinarySearchFunc(v.rooms, room, func(st *standing, room journal.RoomNID) int {
		return cmp.Compare(st.Room, room)
	})
	if !ok {
		return nil
	}
	return v.rooms[i]
}

// touchedBy returns the rooms that any of some entries are about, and may return others: a
// user in many rooms does not pay for each of them at each message, nor for more entries
// than there are rooms.
func (v *viewer) touchedBy(entries []*journal.Entry) []*standing {
	var touched []*standing
	topics := 0
	for _, entry := range entries {
		if topics += len(entry.Topics); topics > len(v.rooms) {
			return v.rooms
		}
		for _, t := range entry.Topics {
			if st := v.standing(t.Room); st != nil {
				touched = append(touched, st)
			}
		}
	}
	if len(touched) > 1 {
		slices.SortFunc(touched, func(a, b *standing) int { return cmp.Compare(a.Room, b.Room) })
		touched = slices.Compact(touched)
	}
	return touched
}

// weigh estimates the bytes of the viewer in memory.
func (v *viewer) weigh() int {
	const structs, perRoom, perChange = 1100, 450, 48
	bytes := structs + cache.Text(v.userID) + 16*len(v.ignored) + cache.Text(v.ignored...)
	for _, st := range v.rooms {
		bytes += perRoom + cache.Text(st.RoomID) + perChange*(len(st.Memberships)+len(st.Visibilities))
	}
	return bytes
}

// lightShare is the part of the memory for viewers that the viewer of a waiting request
// may use. A larger one may be dropped while it waits, except for its listener, and is
// loaded again after that.
const lightShare = 256

// viewers has the viewers of users who sync. Those that requests work on stay, and the
// light ones that requests wait on; of the others those that were used last, in a
// bounded number of bytes.
type viewers struct {
	rooms   *timeline.Store
	data    *accountdata.Service
	journal *journal.Journal

	uses cache.Uses

	mu     sync.Mutex
	byUser map[string]*viewer
	byRoom map[journal.RoomNID]map[*viewer]struct{}
	idle   *cache.LRU[string, *viewer]
	bytes  int // of all viewers
	// visibilities counts the changes of history visibility.
	visibilities int
}

func newViewers(r *timeline.Store, data *accountdata.Service, j *journal.Journal, share int) *viewers {
	vs := &viewers{
		rooms: r, data: data, journal: j, byUser: map[string]*viewer{}, byRoom: map[journal.RoomNID]map[*viewer]struct{}{},
	}
	vs.idle = cache.NewLRU(cache.Options[string, *viewer]{
		Share: share,
		Weigh: func(_ string, v *viewer) int { return v.bytes },
		Gone: func(_ string, v *viewer) {
			if v.waiting > 0 {
				vs.empty(v)
			} else {
				vs.drop(v)
			}
		},
	})
	return vs
}

func (vs *viewers) stats() cache.Stats {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	return vs.uses.Stats(len(vs.byUser), vs.bytes)
}

// use returns the viewer of a user, loading it if need be, until release. It may
// be gone by the time it is looked at.
func (vs *viewers) use(ctx context.Context, userID string) (*viewer, error) {
	for {
		v, fresh := vs.take(userID)
		if fresh {
			vs.load(ctx, v)
		}
		select {
		case <-v.loaded:
		case <-ctx.Done():
			vs.release(v)
			return nil, ctx.Err()
		}
		if v.err == nil {
			return v, nil
		}
		vs.release(v)
		if ctx.Err() != nil || !errors.Is(v.err, context.Canceled) && !errors.Is(v.err, context.DeadlineExceeded) {
			return nil, v.err
		}
		// The request that was loading it went away.
	}
}

// take finds or makes the viewer of a user, and reports whether it is yet to be
// loaded by the caller.
func (vs *viewers) take(userID string) (v *viewer, fresh bool) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	v, ok := vs.byUser[userID]
	if ok && v.emptied {
		vs.drop(v)
		ok = false
	}
	vs.uses.Count(ok)
	if !ok {
		v = &viewer{userID: userID, listener: vs.journal.Listen(), loaded: make(chan struct{})}
		v.listener.Follow(journal.Topic{User: userID})
		vs.byUser[userID] = v
	}
	vs.join(v)
	return v, !ok
}

// release ends the use of a viewer.
func (vs *viewers) release(v *viewer) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	vs.leave(v)
}

// rest is called when a request begins to wait on a viewer that it uses: then only the
// listener is looked at, until rise is called.
func (vs *viewers) rest(v *viewer) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	v.waiting++
	vs.leave(v)
}

// rise is called when a request has waited. The viewer may be gone, or emptied; that, too,
// is to be released.
func (vs *viewers) rise(v *viewer) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	v.waiting--
	vs.join(v)
}

// join adds a request to those at work on a viewer. The lock is held.
func (vs *viewers) join(v *viewer) {
	if v.users++; v.users == 1 {
		vs.unidle(v)
	}
}

// leave ends a request's work on a viewer. The lock is held.
func (vs *viewers) leave(v *viewer) {
	v.users--
	switch {
	case v.users > 0 || v.gone.Load():
	case v.waiting > 0 && (v.emptied || v.bytes <= vs.idle.Share()/lightShare):
	case v.emptied:
		vs.drop(v)
	default:
		vs.idle.Put(v.userID, v)
	}
}

func (vs *viewers) unidle(v *viewer) {
	vs.idle.RemoveIf(v.userID, func(idle *viewer) bool { return idle == v })
}

// load reads the user's standing in rooms. The viewer is known to the observer already,
// so that it is gone if something changes meanwhile.
func (vs *viewers) load(ctx context.Context, v *viewer) {
	defer close(v.loaded)
	vs.mu.Lock()
	visibilities := vs.visibilities
	vs.mu.Unlock()
	standings, err := vs.rooms.Standings(ctx, v.userID)
	var ignored map[string]bool
	if err == nil {
		ignored, err = vs.data.Ignored(ctx, v.userID)
	}
	list := make([]*standing, len(standings))
	for i, st := range standings {
		list[i] = &standing{st, st.Access()}
	}
	vs.mu.Lock()
	defer vs.mu.Unlock()
	switch {
	case v.gone.Load():
		v.err = err
		return
	case err != nil:
		v.err = fmt.Errorf("load how %s stands to rooms: %w", v.userID, err)
		vs.drop(v)
		return
	case visibilities != vs.visibilities: // perhaps of one of these rooms
		vs.drop(v)
		return
	}
	v.rooms, v.ignored = list, slices.Collect(maps.Keys(ignored))
	v.bytes = v.weigh()
	vs.bytes += v.bytes
	for _, st := range list {
		vs.follow(v, st)
	}
}

func (vs *viewers) follow(v *viewer, st *standing) {
	if vs.byRoom[st.Room] == nil {
		vs.byRoom[st.Room] = map[*viewer]struct{}{}
	}
	vs.byRoom[st.Room][v] = struct{}{}
	if st.isJoined() {
		v.listener.Follow(journal.Topic{Room: st.Room})
	}
}

// drop removes a viewer, and wakes the requests that wait on it. The lock is held.
func (vs *viewers) drop(v *viewer) {
	if v.gone.Swap(true) {
		return
	}
	vs.unidle(v)
	delete(vs.byUser, v.userID)
	vs.unfollow(v)
	v.listener.Close()
}

// empty drops all but the listener of a viewer that requests wait on. The lock is held.
func (vs *viewers) empty(v *viewer) {
	vs.unfollow(v)
	v.rooms, v.ignored, v.emptied = nil, nil, true
}

// unfollow is called for a viewer whose rooms are no longer known. The lock is held.
func (vs *viewers) unfollow(v *viewer) {
	vs.bytes -= v.bytes
	v.bytes = 0
	for _, st := range v.rooms {
		delete(vs.byRoom[st.Room], v)
		if len(vs.byRoom[st.Room]) == 0 {
			delete(vs.byRoom, st.Room)
		}
	}
}

// committed drops the viewers whose standing a group of entries changes. It
// runs inside the journal.
func (vs *viewers) committed(_ journal.View, entries []*journal.Entry) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	for _, entry := range entries {
		switch value := entry.Value.(type) {
		case *timeline.Forgotten:
			vs.dropUser(value.UserID)
		case *accountdata.Item:
			if value.Type == accountdata.TypeIgnoredUsers {
				vs.dropUser(value.UserID)
			}
		default:
			vs.observe(timeline.ChangeOf(entry))
		}
	}
}

func (vs *viewers) dropUser(userID string) {
	if v, ok := vs.byUser[userID]; ok {
		vs.drop(v)
	}
}

// observe drops the viewers whose standing a change of a room changes. The lock is held.
func (vs *viewers) observe(c timeline.RoomChange) {
	for at := range c.Line {
		switch {
		case at.Type == event.TypeMember:
			if v, ok := vs.byUser[at.Key]; ok && !v.staysJoined(c.Room, at) {
				vs.drop(v)
			}
		case at.Type == event.TypeHistoryVisibility && at.Key == "":
			vs.visibilities++
			for v := range vs.byRoom[c.Room] {
				vs.drop(v)
			}
		}
	}
}

// staysJoined reports whether a change of the user's membership in a room is one of nothing
// but the profile. A viewer that was loaded from a database which was ahead knows it
// already, and goes all the same, so that requests that wait on it are woken.
func (v *viewer) staysJoined(room journal.RoomNID, at timeline.Interval) bool {
	st := v.standing(room)
	if st == nil || at.Membership() != event.Join {
		return false
	}
	before := st.Memberships.Last()
	return before.Value == event.Join && before.From < at.From
}

// reset drops all viewers: the journal has moved over entries that are not known here.
func (vs *viewers) reset(journal.Position) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	for _, v := range vs.byUser {
		vs.drop(v)
	}
}
