package syncstream

import (
	"context"
	"hash/maphash"
	"slices"

	"homeserver/internal/cache"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// lazyMembers remembers which devices know which members of rooms: client-server
// API, "Lazy-loading room members". A member that was forgotten is merely sent again.
type lazyMembers struct {
	sent *cache.LRU[knownMember, journal.Position]
	seed maphash.Seed
}

// knownMember stands for a member that was sent to a device; the four texts would need
// many times the memory. Its value is the token of that answer: a device that comes
// back with an older one has not received it.
type knownMember uint64

func newLazyMembers(share int) *lazyMembers {
	return &lazyMembers{
		sent: cache.NewLRU(cache.Options[knownMember, journal.Position]{Share: share}), seed: maphash.MakeSeed(),
	}
}

func (l *lazyMembers) key(p *plan, r *room, member string) knownMember {
	type sent struct {
		user, device, member string
		room                 journal.RoomNID
	}
	return knownMember(maphash.Comparable(l.seed, sent{p.userID, p.deviceID, member, r.nid}))
}

// fillLazyMembers adds the member events of the senders in a timeline, of the heroes,
// and, with a full state, of the reader; except members that the device knows.
func (s *Service) fillLazyMembers(ctx context.Context, p *plan) error {
	if !p.filter.lazy() {
		return nil
	}
	rs := p.which(p.showsState)
	var needing []*room
	var missing []timeline.MemberAt
	var users []string
	for _, r := range rs {
		at := timeline.RoomAt{Room: r.nid, At: p.stateAt(r)}
		if users = s.lazy.wanted(users[:0], p, r); len(users) > 0 {
			needing = append(needing, r)
		}
		for _, user := range users {
			missing = append(missing, timeline.MemberAt{RoomAt: at, User: user})
		}
	}
	if len(missing) > 0 {
		// Others, whom the same event has woken, need the same members.
		if err := s.recall(ctx, p, needing, func(r *room) bool { return r.inWindow }); err != nil {
			return err
		}
		found, err := s.roomsFor(p).MemberEvents(ctx, missing, p.filter.Room.State)
		if err != nil {
			return err
		}
		for _, r := range rs {
			r.state = r.state.And(found[r.nid])
		}
	}
	for _, r := range rs {
		s.lazy.remember(p, r, r.timeline)
		s.lazy.remember(p, r, r.state.Events)
	}
	return nil
}

// wanted appends the members that the device needs for a room, and may not know, each once.
func (l *lazyMembers) wanted(users []string, p *plan, r *room) []string {
	for _, e := range r.timeline {
		users = append(users, e.Sender)
	}
	if r.fullState {
		users = append(users, p.userID)
	}
	if r.summary != nil {
		users = append(users, r.summary.Heroes...)
	}
	slices.Sort(users)
	users = slices.Compact(users)
	for _, e := range r.state.Events {
		if e.Type == event.TypeMember {
			if i, ok := slices.BinarySearch(users, *e.StateKey); ok {
				users = slices.Delete(users, i, i+1)
			}
		}
	}
	if r.fullState || p.filter.redundant() {
		return users
	}
	return slices.DeleteFunc(users, func(member string) bool {
		at, ok := l.sent.Get(l.key(p, r, member))
		return ok && at <= p.since
	})
}

// remember notes the members among events of the answer.
func (l *lazyMembers) remember(p *plan, r *room, events []*timeline.Event) {
	for _, e := range events {
		if e.Type != event.TypeMember || e.StateKey == nil {
			continue
		}
		key := l.key(p, r, *e.StateKey)
		if p.since > 0 {
			if at, ok := l.sent.Peek(key); ok && at <= p.since {
				continue // that the device knows it is known
			}
		}
		l.sent.Put(key, p.upTo)
	}
}
