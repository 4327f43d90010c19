package httppusher

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"homeserver/internal/cache"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/personal/push"
	"homeserver/internal/rooms/timeline"
)

// news is whom some entries of the journal concern, of the users who have pushers.
type news struct {
	users map[string]string // those who have pushers, each by itself
	rooms map[journal.RoomNID]*roomNews
	by    map[string]*concern
}

// roomNews is what happened in a room.
type roomNews struct {
	events []*timeline.Event
	// redacts reports that something was redacted: the numbers of unread notifications of
	// all in the room may have fallen.
	redacts bool
}

// concern is what concerns a user.
type concern struct {
	// rooms are those in which something did, with the user's membership.
	rooms map[journal.RoomNID]string
	// events are those that may notify the user.
	events []*timeline.Event
	// mayFall reports that the user's number of unread notifications may have fallen, and
	// surely that the user is to be looked at, whatever the rules say.
	mayFall, surely bool
}

// of returns what concerns a user; nil for one without pushers.
func (n *news) of(userID string) *concern {
	if _, ok := n.users[userID]; !ok {
		return nil
	}
	c := n.by[userID]
	if c == nil {
		c = &concern{rooms: map[journal.RoomNID]string{}}
		n.by[userID] = c
	}
	return c
}

// addChange adds the change of a room.
func (n *news) addChange(c timeline.RoomChange) {
	for at := range c.Line {
		if at.Type != event.TypeMember {
			continue
		}
		if about := n.of(at.Key); about != nil {
			about.rooms[c.Room], about.mayFall, about.surely = at.Membership(), true, true
		}
	}
	e := c.Event
	if e == nil {
		return
	}
	in := n.rooms[c.Room]
	if in == nil {
		in = &roomNews{}
		n.rooms[c.Room] = in
	}
	in.events = append(in.events, e)
	in.redacts = in.redacts || e.Redacts != ""
	if by := n.of(e.Sender); by != nil && e.StateKey == nil {
		by.mayFall, by.surely = true, true // a user who writes has read what was there
	}
}

// addRead adds that less may be unread for a user in a room, 0: in any.
func (n *news) addRead(userID string, room journal.RoomNID) {
	if c := n.of(userID); c != nil {
		c.mayFall, c.surely = true, true
		if _, known := c.rooms[room]; !known && room != 0 {
			c.rooms[room] = event.Join
		}
	}
}

// addMember adds what happened in a room to what concerns a user who is in it.
func (n *news) addMember(userID string, room journal.RoomNID) {
	c := n.of(userID)
	if c == nil {
		return
	}
	if _, known := c.rooms[room]; !known { // else there is a change of the user's own
		c.rooms[room] = event.Join
	}
	in := n.rooms[room]
	if in.redacts {
		c.mayFall, c.surely = true, true
	}
	if c.events == nil {
		c.events = slices.Clip(in.events)
	} else {
		c.events = append(c.events, in.events...)
	}
}

// look finds the pushers that the entries in (after, upTo] concern.
func (w *work) look(ctx context.Context, after, upTo journal.Position) error {
	n := &news{users: w.users, rooms: map[journal.RoomNID]*roomNews{}, by: map[string]*concern{}}
	if len(w.users) > 0 {
		if err := w.readNews(ctx, n, after, upTo); err != nil {
			return err
		}
	}
	users := w.concerned(ctx, n)
	if len(users) == 0 {
		return nil
	}
	return w.s.o.Push.HTTPPushersOf(ctx, users, func(p *push.HTTPPusher) { w.owe(p, n.by[p.UserID], after, upTo) })
}

// readNews reads the entries in (after, upTo]: from the live window, or, after a crash, the
// events among them from the database.
func (w *work) readNews(ctx context.Context, n *news, after, upTo journal.Position) error {
	live := false
	w.s.o.Journal.Read(func(v journal.View) {
		if live = v.Covers(after); !live {
			return
		}
		for _, entry := range v.Between(after, upTo) {
			n.addChange(timeline.ChangeOf(entry))
			if userID, room := w.s.o.ReadBy(entry); userID != "" {
				n.addRead(userID, room)
			}
		}
	})
	if !live {
		events, err := w.s.o.Rooms.EventsBetween(ctx, after, upTo, nil)
		if err != nil {
			return fmt.Errorf("read what is to be pushed: %w", err)
		}
		for e, err := range events.All(ctx) {
			if err != nil {
				return fmt.Errorf("read what is to be pushed: %w", err)
			}
			n.addChange(timeline.ChangeBy(e))
		}
	}
	return w.addMembers(ctx, n)
}

// addMembers finds who is in the rooms in which something happened.
func (w *work) addMembers(ctx context.Context, n *news) error {
	places := map[journal.RoomNID]cache.Place[journal.RoomNID, []string]{}
	members := map[journal.RoomNID][]string{}
	for nid := range n.rooms {
		place := w.s.members.Place(nid)
		if known := place.Load(); known != nil {
			members[nid] = *known
			continue
		}
		places[nid] = place
	}
	if len(places) > 0 {
		err := w.s.o.Rooms.JoinedAmong(ctx, slices.Collect(maps.Keys(places)), slices.Collect(maps.Keys(w.users)),
			func(room journal.RoomNID, userID string) { members[room] = append(members[room], w.users[userID]) })
		if err != nil {
			return err
		}
	}
	for nid, place := range places {
		place.Store(new(members[nid]))
	}
	for nid, users := range members {
		for _, user := range users {
			n.addMember(user, nid)
		}
	}
	return nil
}

// concerned lists the users for whom something is to be done. Most events notify nobody,
// which needs no database to find out.
func (w *work) concerned(ctx context.Context, n *news) []string {
	var users []string
	for user, c := range n.by {
		if !c.surely {
			may, err := w.s.o.Push.MayNotify(ctx, user, c.events)
			if err == nil && !may {
				continue
			} // with an error the user is looked at again later
		}
		users = append(users, user)
	}
	return users
}
