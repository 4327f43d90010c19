package timeline

import (
	"context"
	"strings"
	"sync"
	"unsafe"

	"homeserver/internal/cache"
	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// knownAccess keeps in memory what users may read of the rooms that they are in, until a
// commit changes that: the user's membership of the room, or its history visibility. A
// reader who takes a position of the journal first finds nothing from before that.
//
// Of a room that a user is not in nothing is kept. Another process may let the user in, and
// the user may ask this one before it knows: a refusal is always that of the database. So
// nothing depends on rooms that were forgotten, either, which a user must have left.
type knownAccess struct {
	kept *cache.LRU[accessKey, *roomAccess]

	mu sync.Mutex
	// users are the users for whom an access is kept, by room.
	users map[string]map[string]struct{}
	loads map[*accessLoad]struct{}
}

type accessKey struct{ roomID, userID string }

// roomAccess is the access of one user to a room.
type roomAccess struct {
	room   journal.RoomNID
	access *Access
}

// accessLoad is an access that is being read from the database.
type accessLoad struct {
	accessKey
	outdated bool // something has changed since it began
}

func newKnownAccess(share int) *knownAccess {
	k := &knownAccess{users: map[string]map[string]struct{}{}, loads: map[*accessLoad]struct{}{}}
	k.kept = cache.NewLRU(cache.Options[accessKey, *roomAccess]{
		Share: share,
		Weigh: func(key accessKey, of *roomAccess) int {
			const perUser, perRoom = 64, 450 // in users
			return cache.Text(key.roomID) + perUser + perRoom + of.access.memorySize()
		},
		Gone: func(key accessKey, _ *roomAccess) { k.removeUser(key) }, // by end alone, which holds the lock
	})
	return k
}

// memorySize estimates how many bytes the access occupies in memory.
func (a *Access) memorySize() int {
	return int(unsafe.Sizeof(roomAccess{})+unsafe.Sizeof(*a)) + cap(a.ranges)*int(unsafe.Sizeof(Range{})) +
		(cap(a.visibilities)+cap(a.memberships))*int(unsafe.Sizeof(Change{})+changeValue)
}

// changeValue is the memory of the value of a change.
const changeValue = 16

// begin is called before an access is read from the database, and end after that.
func (k *knownAccess) begin(key accessKey) *accessLoad {
	load := &accessLoad{accessKey: key}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.loads[load] = struct{}{}
	return load
}

// end keeps what was read, unless it is nil, the user is not in the room, or something has
// changed meanwhile.
func (k *knownAccess) end(load *accessLoad, read *roomAccess) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.loads, load)
	if read == nil || load.outdated || read.access.MustBeJoined() != nil {
		return
	}
	key := accessKey{strings.Clone(load.roomID), load.userID}
	if k.users[key.roomID] == nil {
		k.users[key.roomID] = map[string]struct{}{}
	}
	k.users[key.roomID][key.userID] = struct{}{}
	k.kept.Put(key, read)
}

// committed forgets what a group of entries changes.
func (k *knownAccess) committed(entries []*journal.Entry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, entry := range entries {
		c := ChangeOf(entry)
		for at := range c.Line {
			switch {
			case at.Type == event.TypeMember:
				k.forget(accessKey{c.RoomID, at.Key})
			case at.Type == event.TypeHistoryVisibility && at.Key == "":
				k.forgetRoom(c.RoomID)
			}
		}
	}
}

// forget forgets the access of one user to a room. The lock is held.
func (k *knownAccess) forget(key accessKey) {
	for load := range k.loads {
		load.outdated = load.outdated || load.accessKey == key
	}
	if k.kept.Remove(key) {
		k.removeUser(key)
	}
}

// forgetRoom forgets the access of all users to a room. The lock is held.
func (k *knownAccess) forgetRoom(roomID string) {
	for load := range k.loads {
		load.outdated = load.outdated || load.roomID == roomID
	}
	for userID := range k.users[roomID] {
		k.kept.Remove(accessKey{roomID, userID})
	}
	delete(k.users, roomID)
}

func (k *knownAccess) removeUser(key accessKey) {
	users := k.users[key.roomID]
	delete(users, key.userID)
	if len(users) == 0 {
		delete(k.users, key.roomID)
	}
}

// reset forgets all: entries were missed.
func (k *knownAccess) reset() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for load := range k.loads {
		load.outdated = true
	}
	k.kept.RemoveAll(nil)
	clear(k.users)
}

// accessTo returns the number of a room and a user's access to it, as of now or later; nil
// if there is no such room.
func (s *Store) accessTo(ctx context.Context, key accessKey) (known *roomAccess, err error) {
	known, ok := s.accesses.kept.Get(key)
	if ok {
		return known, s.erased.load(ctx, s.pool)
	}
	load := s.accesses.begin(key)
	defer func() { s.accesses.end(load, known) }()
	return s.readRoomAccess(ctx, key)
}
