package syncstream

import (
	"context"

	lru "github.com/hashicorp/golang-lru/v2"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/kept"
	"homeserver/internal/rooms"
)

// rememberedMembers is how many members are usually remembered as sent, over all
// devices. A member that was forgotten is merely sent again.
const rememberedMembers = 200_000

// lazyMembers remembers which devices know which members of rooms: client-server
// API, "Lazy-loading room members".
type lazyMembers struct {
	sent *lru.Cache[knownMember, journal.Position]
	uses kept.Uses
}

// knownMember is a member that a device was told of. The value beside it is the
// token of that answer: a device that comes back with an older one has not got it.
type knownMember struct {
	user, device, member string
	room                 journal.RoomNID
}

func newLazyMembers(scale kept.Scale) (*lazyMembers, error) {
	sent, err := lru.New[knownMember, journal.Position](scale.Of(rememberedMembers))
	return &lazyMembers{sent: sent}, err
}

func (p *plan) knownMember(r *Room, member string) knownMember {
	return knownMember{user: p.UserID, device: p.DeviceID, member: member, room: r.nid}
}

// fillMembers adds the member events of those who sent something in a timeline,
// of the heroes, and, with a full state, of the reader; but for those whom the
// device knows.
func (s *Service) fillMembers(ctx context.Context, p *plan) error {
	if !p.filter.lazy() {
		return nil
	}
	rs := p.which(p.showsState)
	var missing []rooms.MemberAt
	for _, r := range rs {
		at := rooms.RoomAt{Room: r.nid, At: p.stateAt(r)}
		for member := range s.lazy.wanted(p, r) {
			missing = append(missing, rooms.MemberAt{RoomAt: at, User: member})
		}
	}
	if len(missing) > 0 {
		list, err := s.Rooms.MemberEvents(ctx, missing, p.filter.Room.State)
		if err != nil {
			return err
		}
		found := byRoom(list)
		for _, r := range rs {
			r.State = r.State.And(found[r.nid])
		}
	}
	for _, r := range rs {
		s.lazy.remember(p, r, r.Timeline)
		s.lazy.remember(p, r, r.State.Events)
	}
	return nil
}

// wanted lists the members that the device needs for a room, and may not know.
func (l *lazyMembers) wanted(p *plan, r *Room) map[string]struct{} {
	wanted := map[string]struct{}{}
	for _, e := range r.Timeline {
		wanted[e.Sender] = struct{}{}
	}
	if r.full {
		wanted[p.UserID] = struct{}{}
	}
	if r.Summary != nil {
		for _, hero := range r.Summary.Heroes {
			wanted[hero] = struct{}{}
		}
	}
	for _, e := range r.State.Events {
		if e.Type == event.TypeMember {
			delete(wanted, *e.StateKey)
		}
	}
	if r.full || p.filter.redundant() {
		return wanted
	}
	for member := range wanted {
		at, ok := l.sent.Get(p.knownMember(r, member))
		l.uses.Count(ok)
		if ok && at <= p.since {
			delete(wanted, member)
		}
	}
	return wanted
}

// remember notes the members among events that the answer tells of.
func (l *lazyMembers) remember(p *plan, r *Room, events []*rooms.Event) {
	for _, e := range events {
		if e.Type != event.TypeMember || e.StateKey == nil {
			continue
		}
		key := p.knownMember(r, *e.StateKey)
		if at, ok := l.sent.Peek(key); !ok || at > p.since {
			l.sent.Add(key, p.upTo)
		}
	}
}
