package push

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"homeserver/internal/cache"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// maxLatePushes is how many notifications, the newest, a pusher gets of what it has missed
// while its gateway could not be reached.
const maxLatePushes = 50

// PushQuery asks what is to be pushed to a user.
type PushQuery struct {
	UserID string
	// The notifications are those of events in (After, UpTo].
	After, UpTo journal.Position
	// Rooms are those that anything may have changed in for the user since After, with the
	// user's membership; nil: any may have.
	Rooms map[journal.RoomNID]string
	// Most is how many notifications are returned.
	Most int
	// Late asks for the newest maxLatePushes of all that is unread by now only.
	Late bool
	// Names asks for the display names of senders.
	Names bool
}

// Push is a notification that is to be pushed.
type Push struct {
	Event *timeline.Event
	Outcome
	// RoomName and RoomAlias are those of the event's room, and SenderName is the display
	// name of the sender there; "": there is none.
	RoomName, RoomAlias, SenderName string
	// AboutUser reports that the event is about the membership of the user.
	AboutUser bool
}

// PushPage is what is to be pushed to a user, oldest first, up to a position.
type PushPage struct {
	List []Push
	UpTo journal.Position
	// Unread is the number of notifications that the user has not read now: in all rooms
	// that the user is in, and one for each open invitation.
	Unread int
}

// Pushes returns what is to be pushed to a user, as of now: not what the user has read or
// what was redacted meanwhile.
func (s *Service) Pushes(ctx context.Context, q PushQuery) (*PushPage, error) {
	end, err := s.pushes.Take(ctx, q.UserID)
	if err != nil {
		return nil, err
	}
	defer end()
	p := &pushing{s: s, q: q, now: s.journal.Position(), page: PushPage{UpTo: q.UpTo}}
	if p.evaluation, err = s.newEvaluation(ctx, q.UserID); err != nil {
		return nil, err
	}
	if err := p.count(ctx); err != nil {
		return nil, fmt.Errorf("work out what to push to %s: %w", q.UserID, err)
	}
	if err := p.list(ctx); err != nil {
		return nil, fmt.Errorf("read what to push to %s: %w", q.UserID, err)
	}
	return &p.page, nil
}

// badge is how many unread notifications a user has in each room, where there are any, by
// the rules and the ignored users of that time. It does not change.
type badge struct {
	basis
	counts map[journal.RoomNID]int
}

// weighBadge estimates the bytes of a badge in memory.
func weighBadge(userID string, b *badge) int {
	const structs, each = 80, 40
	return structs + cache.Text(userID) + each*len(b.counts)
}

// pushing is the work of one call.
type pushing struct {
	*evaluation
	s      *Service
	q      PushQuery
	now    journal.Position
	counts map[journal.RoomNID]int
	due    []item // notifications after the position, in no order
	page   PushPage
}

// count brings the counts of all rooms up to date, and finds what is due.
func (p *pushing) count(ctx context.Context) error {
	rooms := p.q.Rooms
	p.counts = map[journal.RoomNID]int{}
	if known, ok := p.s.badges.Get(p.q.UserID); ok && known.basis == p.basis && rooms != nil {
		p.counts = maps.Clone(known.counts)
	} else {
		memberships, err := p.s.rooms.Memberships(ctx, p.q.UserID)
		if err != nil {
			return err
		}
		rooms = make(map[journal.RoomNID]string, len(memberships))
		for _, m := range memberships {
			rooms[m.Room] = m.Value
		}
	}
	var joined, invited []journal.RoomNID
	for nid, membership := range rooms {
		delete(p.counts, nid)
		switch membership {
		case event.Join:
			joined = append(joined, nid)
		case event.Invite:
			invited = append(invited, nid)
		}
	}
	slices.Sort(joined)
	if err := p.s.unread(ctx, p.q.UserID, joined, p.now, p.addUnread); err != nil {
		return err
	}
	if err := p.addInvites(ctx, invited); err != nil {
		return err
	}
	p.s.badges.Put(p.q.UserID, &badge{p.basis, p.counts})
	for _, n := range p.counts {
		p.page.Unread += n
	}
	return nil
}

// addUnread counts what is unread in a room.
func (p *pushing) addUnread(nid journal.RoomNID, items []item) {
	if len(items) > 0 {
		p.counts[nid] = len(items)
	}
	for _, i := range items {
		p.addDue(i)
	}
}

func (p *pushing) addDue(i item) {
	if at, _ := i.at.Live(); at > p.q.After {
		p.due = append(p.due, i)
	}
}

// invitesAtOnce is how many invitations are read together.
const invitesAtOnce = 50

// addInvites counts the invitations that are open and that the rules notify of.
func (p *pushing) addInvites(ctx context.Context, rooms []journal.RoomNID) error {
	for some := range slices.Chunk(rooms, invitesAtOnce) {
		if err := p.s.enterRooms(ctx, p.evaluation, some); err != nil {
			return err
		}
		members := make([]timeline.MemberAt, len(some))
		for i, nid := range some {
			members[i] = timeline.MemberAt{RoomAt: timeline.RoomAt{Room: nid, At: timeline.PlaceOf(p.now)}, User: p.q.UserID}
		}
		list, err := p.s.rooms.MemberEvents(ctx, members, nil)
		if err != nil {
			return err
		}
		for e, err := range p.s.rooms.Cursor(list.All()).All(ctx) {
			if err != nil {
				return err
			}
			if e.Membership() == event.Invite && !p.isUnwanted(e, p.q.UserID) && p.outcome(e).Notify {
				p.counts[e.Room] = 1
				p.addDue(item{at: e.Place, eventID: e.ID})
			}
		}
	}
	return nil
}

// list reads the events that are due, and applies the rules to them once more, for their
// tweaks.
func (p *pushing) list(ctx context.Context) error {
	slices.SortFunc(p.due, func(a, b item) int { return cmp.Compare(a.at, b.at) })
	if more := len(p.due) - maxLatePushes; p.q.Late && more > 0 {
		p.due = p.due[more:]
	}
	p.due = slices.DeleteFunc(p.due, func(i item) bool {
		at, _ := i.at.Live()
		return at > p.q.UpTo
	})
	if len(p.due) > p.q.Most {
		p.due = p.due[:p.q.Most]
		p.page.UpTo, _ = p.due[len(p.due)-1].at.Live()
	}
	if len(p.due) == 0 {
		return nil
	}
	events, err := p.s.eventsOf(ctx, p.due)
	if err != nil {
		return err
	}
	if err := p.s.enter(ctx, p.evaluation, events); err != nil {
		return err
	}
	names, err := p.senderNames(ctx, events)
	if err != nil {
		return err
	}
	for _, e := range events {
		outcome := p.outcome(e)
		if !outcome.Notify {
			continue
		}
		p.page.List = append(p.page.List, Push{
			Event: e, Outcome: outcome, RoomName: p.rooms[e.Room].Name, RoomAlias: p.rooms[e.Room].Alias,
			SenderName: names[tallyKey{e.Sender, e.Room}],
			AboutUser:  e.Type == event.TypeMember && e.StateKey != nil && *e.StateKey == p.q.UserID,
		})
	}
	return nil
}

func (p *pushing) senderNames(ctx context.Context, events []*timeline.Event) (map[tallyKey]string, error) {
	if !p.q.Names {
		return nil, nil
	}
	members := make([]tallyKey, len(events))
	for i, e := range events {
		members[i] = tallyKey{e.Sender, e.Room}
	}
	return p.s.memberNames(ctx, members)
}

// eventsOf returns the events of items, in their order: those in the live window without
// the database.
func (s *Service) eventsOf(ctx context.Context, items []item) ([]*timeline.Event, error) {
	found := make(map[string]*timeline.Event, len(items))
	s.journal.Read(func(v journal.View) {
		for _, i := range items {
			at, _ := i.at.Live()
			if entry := v.At(at); entry != nil {
				if e := timeline.EventOf(entry); e != nil && e.ID == i.eventID {
					found[e.ID] = e
				}
			}
		}
	})
	var missing []string
	for _, i := range items {
		if found[i.eventID] == nil {
			missing = append(missing, i.eventID)
		}
	}
	if missing != nil {
		read, err := s.rooms.EventsByID(ctx, missing)
		if err != nil {
			return nil, err
		}
		for _, e := range read {
			found[e.ID] = e
		}
	}
	events := make([]*timeline.Event, 0, len(items))
	for _, i := range items {
		if e := found[i.eventID]; e != nil {
			events = append(events, e)
		}
	}
	return events, nil
}

// MayNotify reports whether the rules of a user notify of any of some events in rooms that
// the user is in.
func (s *Service) MayNotify(ctx context.Context, userID string, events []*timeline.Event) (bool, error) {
	v, err := s.newEvaluation(ctx, userID)
	if err != nil {
		return false, err
	}
	if err := s.enter(ctx, v, events); err != nil {
		return false, err
	}
	return slices.ContainsFunc(events, func(e *timeline.Event) bool { return !v.isUnwanted(e, userID) && v.outcome(e).Notify }), nil
}
