package transactions

import (
	"context"
	"slices"

	"homeserver/internal/e2ee/todevice"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/personal/presence"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/personal/typing"
	"homeserver/internal/rooms/timeline"
)

// Bounds of one transaction. The last event, or the last entry with messages to devices, may
// go beyond the bytes.
const (
	maxEvents = 100
	maxBytes  = 1 << 20
	// besideJSON estimates what an event takes beside its JSON.
	besideJSON = 300
)

// batch is what concerns a service in a part of the journal, and what is not durable.
type batch struct {
	after, upTo journal.Position
	newest      journal.Position // of the journal then
	rooms       map[journal.RoomNID]*room
	picked      []timeline.Trace
	traces      []timeline.Trace // all that was looked at
	messages    []*todevice.Delivery
	receipts    map[journal.RoomNID][]*receipts.Receipt
	typing      []typing.Typing
	presence    []presence.State
	entered     []journal.RoomNID // rooms that did not concern the service before
	changed     []string          // users whose device lists have changed
	left        []string          // users who share no room with the service any more
}

func (b *batch) isEmpty() bool {
	return len(b.picked)+len(b.messages)+len(b.receipts)+len(b.typing)+len(b.presence)+len(b.changed)+len(b.left) == 0
}

// next looks along the journal until there is something for the service, and makes a
// transaction of it; nil: there is nothing up to the end.
func (l *lane) next(ctx context.Context) (*transaction, error) {
	for {
		l.forgetOutdated()
		b := &batch{after: l.position, newest: l.s.o.Journal.Position(), rooms: map[journal.RoomNID]*room{}}
		b.upTo = l.trail.Next(b.after)
		if err := l.look(ctx, b); err != nil {
			return nil, err
		}
		if !b.isEmpty() {
			return l.encode(ctx, b)
		}
		if b.upTo == b.after {
			return nil, nil
		}
		l.position = b.upTo
	}
}

// look fills a batch.
func (l *lane) look(ctx context.Context, b *batch) error {
	if b.upTo > b.after {
		if err := l.lookForMessages(ctx, b); err != nil {
			return err
		}
		if err := l.lookForEvents(ctx, b); err != nil {
			return err
		}
		if err := l.lookForReceipts(ctx, b); err != nil {
			return err
		}
		if err := l.lookForDevices(ctx, b); err != nil {
			return err
		}
	}
	if b.upTo < b.newest {
		return nil
	}
	return l.lookForEphemeral(ctx, b)
}

// lookForEvents picks the events that concern the service, as many as one transaction may
// have.
func (l *lane) lookForEvents(ctx context.Context, b *batch) error {
	traces, err := l.s.o.Rooms.Traces(ctx, b.after, b.upTo)
	if err != nil {
		return err
	}
	nids := make([]journal.RoomNID, len(traces))
	for i := range traces {
		nids[i] = traces[i].Room
	}
	if err := l.know(ctx, b.rooms, nids, b.after); err != nil {
		return err
	}
	bytes := 0
	for i := range traces {
		t := &traces[i]
		if len(b.picked) > 0 && (len(b.picked) == maxEvents || bytes >= maxBytes) {
			b.cut(traces[i-1].Position)
			traces = traces[:i]
			break
		}
		r := b.rooms[t.Room]
		was := r.concerns()
		concerned := l.follow(r, t)
		if r.concerns() && !was {
			b.entered = append(b.entered, t.Room)
		}
		if concerned && t.NID != 0 {
			b.picked = append(b.picked, *t)
			bytes += t.Size + besideJSON
		}
	}
	b.traces = traces
	return nil
}

// cut has the batch end at a position.
func (b *batch) cut(upTo journal.Position) {
	b.upTo = upTo
	b.messages = slices.DeleteFunc(b.messages, func(m *todevice.Delivery) bool { return m.Position > upTo })
}

// events reads the events of a batch that are not in memory, in the order of positions.
// Those that cannot be read are left out.
func (l *lane) events(ctx context.Context, b *batch) ([]*timeline.Event, error) {
	byNID := make(map[timeline.EventNID]*timeline.Event, len(b.picked))
	var unread []timeline.EventNID
	for _, t := range b.picked {
		if t.Event != nil {
			byNID[t.NID] = t.Event
		} else {
			unread = append(unread, t.NID)
		}
	}
	for len(unread) > 0 {
		list, err := l.s.o.Rooms.EventsOf(ctx, unread)
		if err != nil {
			return nil, err
		}
		for _, e := range list.Events {
			byNID[e.NID] = e
		}
		unread = unread[:0]
		for _, left := range list.Left {
			unread = append(unread, left.NID)
		}
	}
	events := make([]*timeline.Event, 0, len(b.picked))
	for _, t := range b.picked {
		if e := byNID[t.NID]; e != nil {
			events = append(events, e)
		}
	}
	return events, nil
}

// inviteStates reads the stripped state that goes with the invitations of the service's
// users.
func (l *lane) inviteStates(ctx context.Context, events []*timeline.Event) (map[timeline.EventNID][]*timeline.Event, error) {
	var invites []*timeline.Event
	for _, e := range events {
		if e.StateKey != nil && e.Type == event.TypeMember && e.Membership() == event.Invite && l.r.OwnsUser(*e.StateKey) {
			invites = append(invites, e)
		}
	}
	if len(invites) == 0 {
		return nil, nil
	}
	return l.s.o.Rooms.StrippedAt(ctx, invites)
}
