package syncstream

import (
	"cmp"
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"

	"homeserver/internal/cache"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// fillLazyMembers reads the states that come with no more members than are needed, and adds to
// other states the members who are: the senders in a timeline, the heroes, and, with a full state,
// the reader; except members that the device knows.
func (s *Service) fillLazyMembers(ctx context.Context, p *plan) error {
	if !p.filter.lazy() {
		return nil
	}
	rs := p.which(p.showsState)
	if len(rs) == 0 {
		return nil
	}
	p.known = s.lazy.of(p)
	var needing []*room
	var states []timeline.LazyState
	var missing []timeline.MemberAt
	for i, users := range p.known.wanted(p, rs) {
		r := rs[i]
		at := timeline.RoomAt{Room: r.nid, At: p.stateAt(r)}
		if r.stateIsLazy {
			states = append(states, timeline.LazyState{RoomAt: at, Members: users})
			continue
		}
		if len(users) > 0 {
			needing = append(needing, r)
		}
		for _, user := range users {
			missing = append(missing, timeline.MemberAt{RoomAt: at, User: user})
		}
	}
	if err := s.readLazyStates(ctx, p, rs, states); err != nil {
		return err
	}
	return s.addMembers(ctx, p, needing, missing)
}

// readLazyStates reads the states that are read together with their members.
func (s *Service) readLazyStates(ctx context.Context, p *plan, rs []*room, states []timeline.LazyState) error {
	if len(states) == 0 {
		return nil
	}
	found, err := s.roomsFor(p).LazyStates(ctx, states, p.filter.Room.State, p.filter.Room.State)
	for _, r := range rs {
		if r.stateIsLazy {
			r.state = found[r.nid]
		}
	}
	return err
}

// addMembers adds members to the states of the rooms that need some.
func (s *Service) addMembers(ctx context.Context, p *plan, needing []*room, missing []timeline.MemberAt) error {
	if len(missing) == 0 {
		return nil
	}
	// Others, whom the same event has woken, need the same members.
	if err := s.recall(ctx, p, needing, func(r *room) bool { return r.inWindow }); err != nil {
		return err
	}
	found, err := s.roomsFor(p).MemberEvents(ctx, missing, p.filter.Room.State)
	for _, r := range needing {
		r.state = r.state.And(found[r.nid])
	}
	return err
}

// lazyMembers remembers which devices know which members of rooms: client-server
// API, "Lazy-loading room members". A member that was forgotten is merely sent again.
type lazyMembers struct {
	devices *cache.LRU[device, *knownMembers]
	seed    maphash.Seed
}

// device is a device of a user.
type device struct{ user, id string }

func newLazyMembers(share int) *lazyMembers {
	return &lazyMembers{
		devices: cache.NewLRU(cache.Options[device, *knownMembers]{Share: share, Weigh: weighKnown}), seed: maphash.MakeSeed(),
	}
}

// of returns the members that the device of a plan knows: none if it asks for everything.
func (l *lazyMembers) of(p *plan) *knownMembers {
	if !p.initial {
		if known, ok := l.devices.Get(p.knownTo()); ok {
			return known
		}
	}
	return &knownMembers{seed: l.seed, rooms: make(map[journal.RoomNID][]knownMember, len(p.rooms))}
}

// knownTo is the device that knows the members: of sliding sync, each connection is one.
func (p *plan) knownTo() device {
	if p.sliding != nil {
		return device{p.userID, p.deviceID + "\x00" + p.sliding.request.ConnID}
	}
	return device{p.userID, p.deviceID}
}

// keep is called when an answer has been written, and keeps what the device knows by it.
func (l *lazyMembers) keep(p *plan) {
	if p.known != nil {
		l.devices.Put(p.knownTo(), p.known)
	}
}

// knownMembers are the members of rooms that a device knows.
type knownMembers struct {
	seed  maphash.Seed
	bytes atomic.Int64 // of the lists

	mu    sync.Mutex
	rooms map[journal.RoomNID][]knownMember // each in the order of members
}

// knownMember stands for a member who was sent to a device with the answer of a token: a device
// that comes back with an older one has not received it.
type knownMember struct {
	member uint64 // a hash: the text would need many times the memory
	token  journal.Position
}

// What a device takes that knows no member, a room in addition, and a member in it.
const (
	emptyKnown  = 450
	roomKnown   = 100
	memberKnown = 16
)

func weighKnown(d device, known *knownMembers) int {
	return emptyKnown + cache.Text(d.user, d.id) + int(known.bytes.Load())
}

// wanted returns for each room the members that the device needs, and may not know, each once.
func (k *knownMembers) wanted(p *plan, rs []*room) [][]string {
	k.mu.Lock()
	defer k.mu.Unlock()
	lists := make([][]string, len(rs))
	const usual = 8
	all := make([]string, 0, usual*len(rs))
	for i, r := range rs {
		begin := len(all)
		all = r.appendNeeded(all, p)
		if known := k.rooms[r.nid]; len(known) > 0 && !r.fullState && !p.filter.redundant() {
			all = all[:begin+len(k.without(known, all[begin:], p.since))]
		}
		lists[i] = all[begin:len(all):len(all)]
	}
	return lists
}

// without returns the members who were not sent up to a token.
func (k *knownMembers) without(known []knownMember, users []string, since journal.Position) []string {
	return slices.DeleteFunc(users, func(user string) bool {
		i, ok := find(known, maphash.String(k.seed, user))
		return ok && known[i].token <= since
	})
}

// appendNeeded appends the members that a device needs for a room and that its state does not have,
// each once.
func (r *room) appendNeeded(all []string, p *plan) []string {
	begin := len(all)
	add := func(user string) {
		const few = 8 // to look at: the rest is found when they are sorted
		if !slices.Contains(all[max(begin, len(all)-few):], user) {
			all = append(all, user)
		}
	}
	for _, e := range r.timeline {
		add(e.Sender)
	}
	if r.fullState {
		add(p.userID)
	}
	if r.summary != nil {
		for _, hero := range r.summary.Heroes {
			add(hero)
		}
	}
	users := all[begin:]
	slices.Sort(users)
	users = slices.Compact(users)
	for _, e := range r.state.Events {
		if e.Type == event.TypeMember {
			if i, ok := slices.BinarySearch(users, *e.StateKey); ok {
				users = slices.Delete(users, i, i+1)
			}
		}
	}
	return all[:begin+len(users)]
}

// noteMember notes that the answer shows an event of the room that is being written, be it a member.
func (p *plan) noteMember(e *timeline.Event) {
	if e.Type == event.TypeMember && e.StateKey != nil {
		p.shown = append(p.shown, knownMember{maphash.String(p.known.seed, *e.StateKey), p.upTo})
	}
}

// rememberMembers is called when a room has been written, and remembers the members that were shown.
func (p *plan) rememberMembers(r *room) {
	if p.known != nil {
		p.known.add(r, p.shown, p.since)
		p.shown = p.shown[:0]
	}
}

// add adds members whom an answer shows that begins at a token. With the whole state of a room a
// device begins anew: it is not told what has become of all others meanwhile.
func (k *knownMembers) add(r *room, shown []knownMember, since journal.Position) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.beginsAnew() {
		slices.SortFunc(shown, func(a, b knownMember) int { return cmp.Compare(a.member, b.member) })
		k.set(r.nid, slices.Clone(slices.Compact(shown)))
		return
	}
	known := k.rooms[r.nid]
	for _, m := range shown {
		switch i, ok := find(known, m.member); {
		case !ok:
			known = slices.Insert(known, i, m)
		case since == 0 || known[i].token > since:
			known[i] = m
		}
	}
	k.set(r.nid, known)
}

// set sets the known members of a room. The lock is held.
func (k *knownMembers) set(room journal.RoomNID, known []knownMember) {
	before, ok := k.rooms[room]
	if len(known) == 0 && !ok {
		return
	}
	grown := (cap(known) - cap(before)) * memberKnown
	if !ok {
		grown += roomKnown
	}
	k.bytes.Add(int64(grown))
	k.rooms[room] = known
}

func find(known []knownMember, member uint64) (at int, ok bool) {
	return slices.BinarySearchFunc(known, member, func(k knownMember, member uint64) int { return cmp.Compare(k.member, member) })
}
