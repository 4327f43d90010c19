package presence

import (
	"container/list"
	"time"

	"homeserver/internal/cache"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/profile"
	"homeserver/internal/rooms/timeline"
)

// user is the state of one user in memory. Guarded by Service.mu.
type user struct {
	State
	devices  map[string]*device // those that ask for news
	away     bool               // is unavailable because all devices say so
	lastSeen time.Time          // when the state was last set, if at all
	wasSet   message            // how
	changed  journal.Tick
	place    *list.Element // in Service.order
	bytes    int           // as it was weighed last
	// deviceIDs is how many bytes the IDs of devices have together.
	deviceIDs int

	// rooms are those that the user is in. Until they have been loaded, moved has the
	// rooms that the user has joined (true) or left since.
	rooms  map[journal.RoomNID]struct{}
	loaded bool
	moved  map[journal.RoomNID]bool
	era    int // counts how often they were forgotten
	// named reports that the profile is newer than the one that is being loaded.
	named bool
}

// device is one that asks for news.
type device struct {
	requests int       // that wait now
	lastSeen time.Time // when the last of them ended
	away     bool      // says that the user is unavailable
	told     time.Time // when other processes were told of it last
}

func (u *user) device(id string) *device {
	d := u.devices[id]
	if d == nil {
		d = &device{}
		u.devices[id] = d
		u.deviceIDs += len(id)
	}
	return d
}

// weigh estimates the bytes of the user in memory.
func (u *user) weigh() int {
	const structs, perDevice, perRoom = 800, 150, 32
	return structs + cache.Text(u.UserID, u.StatusMsg, u.DisplayName, u.AvatarURL) +
		perDevice*len(u.devices) + u.deviceIDs + perRoom*(len(u.rooms)+len(u.moved))
}

func (d *device) isHere(now time.Time) bool {
	return d.requests > 0 || now.Sub(d.lastSeen) < goneAfter
}

// sweep forgets the devices that are gone.
func (u *user) sweep(now time.Time) {
	for id, d := range u.devices {
		if !d.isHere(now) {
			delete(u.devices, id)
			u.deviceIDs -= len(id)
		}
	}
}

// allAway reports whether there are devices, and all say that the user is
// unavailable.
func (u *user) allAway(now time.Time) bool {
	here := false
	for _, d := range u.devices {
		if !d.isHere(now) {
			continue
		}
		if !d.away {
			return false
		}
		here = true
	}
	return here
}

// set is the user's own word, at a time.
func (u *user) set(presence, statusMsg string, at time.Time) {
	u.back()
	u.Presence, u.StatusMsg, u.lastSeen = presence, statusMsg, at
	u.wasSet = message{User: u.UserID, Presence: presence, StatusMsg: statusMsg, At: at.UnixMilli()}
	if presence == Online {
		u.LastActive = at
	}
}

// polls notes that one of the user's devices asks for news.
func (u *user) polls(d *device, away bool, now time.Time) {
	d.away, d.lastSeen = away, now
	switch {
	case u.allAway(now):
		u.Presence, u.away = Unavailable, true
	case !away && (u.Presence == Offline || u.away):
		u.Presence, u.LastActive, u.away = Online, now, false
	}
}

// back resets the states that devices have set, as the user has done something since.
func (u *user) back() {
	u.away = false
	for _, d := range u.devices {
		d.away = false
	}
}

// forget makes the rooms and the profile be loaded, perhaps again.
func (u *user) forget() {
	u.era++
	u.loaded, u.named, u.moved = false, false, map[journal.RoomNID]bool{}
	if u.rooms == nil {
		u.rooms = map[journal.RoomNID]struct{}{}
	}
}

// fill sets what was loaded in an era; values that came meanwhile are newer.
func (u *user) fill(era int, memberships []timeline.Membership, p profile.Profile) {
	if u.loaded || u.era != era {
		return
	}
	u.rooms = make(map[journal.RoomNID]struct{}, len(memberships))
	for _, m := range memberships {
		if m.Value == event.Join {
			u.rooms[m.Room] = struct{}{}
		}
	}
	u.loaded = true
	for nid, joins := range u.moved {
		u.moves(nid, joins)
	}
	u.moved = nil
	if !u.named {
		u.DisplayName, u.AvatarURL = p.DisplayName, p.AvatarURL
	}
}

// moves notes that the user is in a room, or is not, and reports whether they have
// come in.
func (u *user) moves(nid journal.RoomNID, joins bool) (comes bool) {
	if !u.loaded {
		u.moved[nid] = joins
	}
	_, was := u.rooms[nid]
	if joins {
		u.rooms[nid] = struct{}{}
	} else {
		delete(u.rooms, nid)
	}
	return joins && !was
}

func (u *user) shares(other *user) bool {
	small, large := u.rooms, other.rooms
	if len(small) > len(large) {
		small, large = large, small
	}
	for nid := range small {
		if _, ok := large[nid]; ok {
			return true
		}
	}
	return false
}

func (u *user) isIn(in func(journal.RoomNID) bool) bool {
	for nid := range u.rooms {
		if in(nid) {
			return true
		}
	}
	return false
}
