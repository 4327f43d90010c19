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

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"homeserver/internal/accountdata"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/kept"
	"homeserver/internal/rooms"
)

// maxIdleViewers and maxIdleStandings usually bound what is kept in memory of users who
// have no request at the moment. The one who has not asked for the longest time
// goes first.
const (
	maxIdleViewers   = 2000
	maxIdleStandings = 100_000
)

// viewer is how one user stands to rooms, and the listener that the user's
// requests wait on. It does not change: when the user's standing does, it is
// gone, and the next request loads another.
type viewer struct {
	userID   string
	listener *journal.Listener
	rooms    []*standing // by number
	ignored  []string    // users whose messages are not shown
	users    int         // how many requests use it; guarded by viewers.mu

	gone   atomic.Bool
	loaded chan struct{} // closed once rooms is there, or err
	err    error
}

// ignores reports whether the user ignores another.
func (v *viewer) ignores(userID string) bool { return slices.Contains(v.ignored, userID) }

// standing is how a user stands to a room, and what the user may read of it.
type standing struct {
	*rooms.Standing
	access *rooms.Access
}

// accessAt gives what the user may read as of a position. The standing may have
// been loaded when the database was ahead of this process.
func (st *standing) accessAt(p journal.Position) *rooms.Access {
	if last(st.Memberships).From <= p && last(st.Visibilities).From <= p {
		return st.access
	}
	then := st.AccessChanges
	then.Visibilities, then.Memberships = upTo(st.Visibilities, p), upTo(st.Memberships, p)
	return then.Access()
}

// viewers keeps the viewers of users who sync. Those in use stay; of the others
// as many as there is room for.
type viewers struct {
	rooms   *rooms.Service
	data    *accountdata.Service
	journal *journal.Journal

	most, mostStandings int // of the idle ones
	uses                kept.Uses

	mu            sync.Mutex
	byUser        map[string]*viewer
	byRoom        map[journal.RoomNID]map[*viewer]struct{}
	idle          *simplelru.LRU[string, *viewer]
	idleStandings int
	// visibilities counts the changes of history visibility.
	visibilities int
}

func newViewers(r *rooms.Service, data *accountdata.Service, j *journal.Journal, scale kept.Scale) (*viewers, error) {
	most := scale.Of(maxIdleViewers)
	idle, err := simplelru.NewLRU[string, *viewer](most+1, nil)
	return &viewers{
		rooms: r, data: data, journal: j, idle: idle, most: most, mostStandings: scale.Of(maxIdleStandings),
		byUser: map[string]*viewer{}, byRoom: map[journal.RoomNID]map[*viewer]struct{}{},
	}, err
}

func (vs *viewers) stats() kept.Stats {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	return vs.uses.Stats(len(vs.byUser))
}

// use gives the viewer of a user, loading it if need be, until release. It may
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
		// Whoever was loading it went away.
	}
}

// take finds or makes the viewer of a user, and reports whether it is yet to be
// loaded by the caller.
func (vs *viewers) take(userID string) (v *viewer, fresh bool) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	v, ok := vs.byUser[userID]
	vs.uses.Count(ok)
	if !ok {
		v = &viewer{userID: userID, listener: vs.journal.Listen(), loaded: make(chan struct{})}
		v.listener.Follow(journal.Topic{User: userID})
		vs.byUser[userID] = v
	}
	if v.users++; v.users == 1 {
		vs.unidle(v)
	}
	return v, !ok
}

// release ends the use of a viewer.
func (vs *viewers) release(v *viewer) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if v.users--; v.users > 0 || v.gone.Load() {
		return
	}
	vs.idle.Add(v.userID, v)
	vs.idleStandings += len(v.rooms)
	for vs.idle.Len() > vs.most || vs.idleStandings > vs.mostStandings {
		_, oldest, _ := vs.idle.GetOldest()
		vs.drop(oldest)
	}
}

func (vs *viewers) unidle(v *viewer) {
	if vs.idle.Remove(v.userID) {
		vs.idleStandings -= len(v.rooms)
	}
}

// load reads how the user stands to rooms. The viewer is known to the observer
// already, so that it is gone if something changes meanwhile.
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
	for _, st := range list {
		vs.follow(v, st)
	}
}

func (vs *viewers) follow(v *viewer, st *standing) {
	if vs.byRoom[st.Room] == nil {
		vs.byRoom[st.Room] = map[*viewer]struct{}{}
	}
	vs.byRoom[st.Room][v] = struct{}{}
	if last(st.Memberships).Value == event.Join {
		v.listener.Follow(journal.Topic{Room: st.Room})
	}
}

// drop lets go of a viewer; whoever waits on it is woken. The lock is held.
func (vs *viewers) drop(v *viewer) {
	if v.gone.Swap(true) {
		return
	}
	vs.unidle(v)
	delete(vs.byUser, v.userID)
	for _, st := range v.rooms {
		delete(vs.byRoom[st.Room], v)
		if len(vs.byRoom[st.Room]) == 0 {
			delete(vs.byRoom, st.Room)
		}
	}
	v.listener.Close()
}

// committed drops the viewers whose standing a group of entries changes. It
// runs inside the journal.
func (vs *viewers) committed(_ journal.View, entries []*journal.Entry) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	for _, entry := range entries {
		switch value := entry.Value.(type) {
		case *rooms.Event:
			vs.observe(value)
		case *rooms.Forgotten:
			vs.dropUser(value.UserID)
		case *accountdata.Item:
			if value.Type == accountdata.TypeIgnoredUsers {
				vs.dropUser(value.UserID)
			}
		}
	}
}

func (vs *viewers) dropUser(userID string) {
	if v, ok := vs.byUser[userID]; ok {
		vs.drop(v)
	}
}

func (vs *viewers) observe(e *rooms.Event) {
	switch {
	case e.StateKey == nil:
	case e.Type == event.TypeMember:
		if v, ok := vs.byUser[*e.StateKey]; ok && !v.staysJoined(e) {
			vs.drop(v)
		}
	case e.Type == typeHistoryVisibility && *e.StateKey == "":
		vs.visibilities++
		for v := range vs.byRoom[e.Room] {
			vs.drop(v)
		}
	}
}

// typeHistoryVisibility is the type of the event that says who may read history.
const typeHistoryVisibility = "m.room.history_visibility"

// staysJoined reports whether a member event of the user changes nothing but
// the profile. A viewer that was loaded from a database which was ahead knows
// the event already; it goes all the same, so that who waits on it is woken.
func (v *viewer) staysJoined(e *rooms.Event) bool {
	i, ok := slices.BinarySearchFunc(v.rooms, e.Room, func(st *standing, room journal.RoomNID) int {
		return cmp.Compare(st.Room, room)
	})
	if !ok || e.Membership() != event.Join {
		return false
	}
	before := last(v.rooms[i].Memberships)
	return before.Value == event.Join && before.From < e.Position
}

// reset drops everybody: the journal has moved over what is not known here.
func (vs *viewers) reset(journal.Position) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	for _, v := range vs.byUser {
		vs.drop(v)
	}
}

// last gives the latest change; before there was any, "leave" from 0 on.
func last(changes []rooms.Change) rooms.Change {
	if len(changes) == 0 {
		return rooms.Change{Value: event.Leave}
	}
	return changes[len(changes)-1]
}
