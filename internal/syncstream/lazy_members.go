package syncstream

import (
	"context"
	"hash/maphash"

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
	var missing []timeline.MemberAt
	for _, r := range rs {
		at := timeline.RoomAt{Room: r.nid, At: p.stateAt(r)}
		for member := range s.lazy.wanted(p, r) {
			missing = append(missing, timeline.MemberAt{RoomAt: at, User: member})
		}
	}
	if len(missing) > 0 {
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

// wanted lists the members that the device needs for a room, and may not know.
func (l *lazyMembers) wanted(p *plan, r *room) map[string]struct{} {
	wanted := map[string]struct{}{}
	for _, e := range r.timeline {
		wanted[e.Sender] = struct{}{}
	}
	if r.fullState {
		wanted[p.userID] = struct{}{}
	}
	if r.summary != nil {
		for _, hero := range r.summary.Heroes {
			wanted[hero] = struct{}{}
		}
	}
	for _, e := range r.state.Events {
		if e.Type == event.TypeMember {
			delete(wanted, *e.StateKey)
		}
	}
	if r.fullState || p.filter.redundant() {
		return wanted
	}
	for member := range wanted {
		at, ok := l.sent.Get(l.key(p, r, member))
		if ok && at <= p.since {
			delete(wanted, member)
		}
	}
	return wanted
}

// remember notes the members among events of the answer.
func (l *lazyMembers) remember(p *plan, r *room, events []*timeline.Event) {
	for _, e := range events {
		if e.Type != event.TypeMember || e.StateKey == nil {
			continue
		}
		key := l.key(p, r, *e.StateKey)
		if at, ok := l.sent.Peek(key); !ok || at > p.since {
			l.sent.Put(key, p.upTo)
		}
	}
}
