package syncstream

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms/timeline"
)

// Chunk is what has happened between two tokens: client-server API, GET /events. Its plan
// is like that of /sync, without a filter; of the parts it has those that are not the
// history of rooms, and in place of that the events in the order of positions.
type Chunk struct {
	// Start and End are the tokens.
	Start, End string
	// V1 makes the chunk write its events in the format of api/v1.
	V1 bool

	plan        *plan
	ignored     []string // users whose messages and invites are not shown
	events      []*timeline.Event
	cut         bool // there are more events after the plan's upTo
	accountData []*accountdata.Item
}

// empty reports whether there is nothing worth ending a wait for.
func (c *Chunk) empty() bool {
	return len(c.events)+len(c.accountData) == 0 && c.plan.moreData == nil && c.plan.moreReceipts == nil &&
		!c.plan.othersPresenceChanged() &&
		!slices.ContainsFunc(c.plan.rooms, func(r *room) bool { return len(r.receipts) > 0 || r.typingChanged })
}

// chunk works out the answer as of now, or returns nil if the viewer is gone.
func (s *Service) chunk(ctx context.Context, f *following, choose roomChoice, ignored []string) (*Chunk, error) {
	p := &plan{
		userID: f.UserID, deviceID: f.DeviceID, filter: noFilter, now: s.Now(),
		since: f.since, tick: f.tick, tickUpTo: s.Ticks.Now(),
	}
	queue, err := s.ToDevice.Queue(ctx, f.UserID, f.DeviceID)
	if err != nil {
		return nil, err
	}
	known := false
	s.Journal.Read(func(view journal.View) {
		p.upTo = max(view.Position, p.since)
		if p.rooms, known = choose(p); !known {
			return
		}
		if p.covered = view.Covers(p.since); p.covered {
			for _, r := range p.rooms {
				r.inWindow, r.live = true, view.About(journal.Topic{Room: r.nid}, p.since)
			}
			p.own = view.About(journal.Topic{User: p.userID}, p.since)
		}
		p.waiting = queue.Look(view, f.toDevice)
	})
	if !known {
		return nil, nil
	}
	c := &Chunk{plan: p, ignored: ignored}
	if err := s.fillChunk(ctx, c, f.RoomID != ""); err != nil {
		return nil, fmt.Errorf("events for %s: %w", f.UserID, err)
	}
	p.skipToDevice(f.toDevice)
	c.Start = s.token(&plan{upTo: p.since, toDeviceUpTo: p.toDeviceUpTo, tickUpTo: p.tick}, f.From)
	c.End = s.token(p, f.From)
	return c, nil
}

// fillChunk fills the parts of the chunk: first the events, which may cut it off.
// Typing and presence are then left to the next one.
func (s *Service) fillChunk(ctx context.Context, c *Chunk, oneRoom bool) error {
	if err := s.readEvents(ctx, c); err != nil {
		return err
	}
	if err := s.readInvites(ctx, c); err != nil {
		return err
	}
	if err := s.fillReceipts(ctx, c.plan); err != nil {
		return err
	}
	var err error
	c.accountData, err = s.readItems(ctx, c.plan, nil, func(nid journal.RoomNID, _ string) bool {
		return nid == 0 && !oneRoom || c.plan.isJoined(nid)
	})
	if err != nil {
		return err
	}
	if c.cut || !slices.ContainsFunc(c.plan.rooms, func(r *room) bool { return r.section == joined }) {
		return nil
	}
	if err := s.fillTyping(ctx, c.plan); err != nil {
		return err
	}
	return s.fillPresence(ctx, c.plan)
}

// readEvents reads the events of rooms, and cuts the chunk off where there are too
// many or they are too large: all else is then shown up to there, too.
func (s *Service) readEvents(ctx context.Context, c *Chunk) error {
	var filter *timeline.EventFilter
	if len(c.ignored) > 0 {
		filter = filter.WithoutMessagesOf(c.ignored)
	}
	if c.plan.covered {
		c.events = c.liveEvents(filter)
	} else {
		list, err := s.storedEvents(ctx, c, filter)
		if err != nil {
			return err
		}
		c.events, c.cut = list.Events, len(list.Left) > 0
	}
	if len(c.events) > maxChunk {
		c.cut, c.events = true, c.events[:maxChunk]
	}
	if c.cut {
		c.plan.upTo, c.plan.tickUpTo = c.events[len(c.events)-1].Position, c.plan.tick
	}
	if !slices.ContainsFunc(c.events, c.isInvite) {
		return nil
	}
	hides, err := s.hiddenInvites(ctx, c.plan.userID, c.ignored)
	c.events = slices.DeleteFunc(c.events, func(e *timeline.Event) bool { return err == nil && c.isInvite(e) && hides(e.Sender) })
	return err
}

func (c *Chunk) liveEvents(filter *timeline.EventFilter) []*timeline.Event {
	var events []*timeline.Event
	for _, r := range c.plan.rooms {
		for _, entry := range r.live {
			if e := timeline.EventOf(entry); e != nil && r.showsAt(e.Place) && filter.Match(e) {
				events = append(events, e)
			}
		}
	}
	slices.SortFunc(events, func(a, b *timeline.Event) int { return cmp.Compare(a.Position, b.Position) })
	return events
}

func (s *Service) storedEvents(ctx context.Context, c *Chunk, filter *timeline.EventFilter) (timeline.List, error) {
	var windows []timeline.Window
	for _, r := range c.plan.rooms {
		for _, within := range r.ranges {
			windows = append(windows, timeline.Window{Room: r.nid, Range: within})
		}
	}
	if len(windows) == 0 {
		return timeline.List{}, nil
	}
	return s.Rooms.Oldest(ctx, windows, maxChunk, filter)
}

// showsAt reports whether the event at a place is shown.
func (r *room) showsAt(p timeline.Place) bool {
	return slices.ContainsFunc(r.ranges, func(within timeline.Range) bool { return within.From <= p && p <= within.To })
}

// isInvite reports whether an event invites the user.
func (c *Chunk) isInvite(e *timeline.Event) bool {
	return e.IsState(event.TypeMember, c.plan.userID) && e.Membership() == event.Invite
}

// isKnock reports whether by an event the user asks for an invite.
func (c *Chunk) isKnock(e *timeline.Event) bool {
	return e.IsState(event.TypeMember, c.plan.userID) && e.Membership() == event.Knock
}

// readInvites reads the stripped state that is added to invites and knocks, as far as one
// read can bring it.
func (s *Service) readInvites(ctx context.Context, c *Chunk) error {
	at := map[journal.RoomNID]timeline.Place{}
	for _, e := range c.events {
		if c.isInvite(e) || c.isKnock(e) {
			at[e.Room] = e.Place
		}
	}
	if len(at) == 0 {
		return nil
	}
	var invited []timeline.RoomAt
	for nid, place := range at {
		invited = append(invited, timeline.RoomAt{Room: nid, At: place})
	}
	state, err := s.Rooms.Stripped(ctx, invited, c.plan.userID)
	for nid, list := range state.ByRoom() {
		c.plan.planned(nid).state = list
	}
	return err
}

// WriteJSON writes the chunk: first the events of rooms in their order, then the rest,
// which has no order.
func (c *Chunk) WriteJSON(ctx context.Context, w *reserve.Writer) error {
	w.B = append(w.B, `{"chunk":[`...)
	l := &list{w: w}
	for _, e := range c.events {
		f := c.format(c.plan.planned(e.Room))
		if err := l.add(func(dst []byte) []byte { return f.AppendJSON(dst, e) }); err != nil {
			return err
		}
	}
	for _, r := range c.plan.rooms {
		if err := c.plan.writeEphemeralIn(ctx, l, r); err != nil {
			return err
		}
	}
	if err := c.writeAccountData(ctx, l); err != nil {
		return err
	}
	for i := range c.plan.presence {
		if err := l.add(func(dst []byte) []byte { return c.plan.presence[i].AppendOldJSON(dst, c.plan.now) }); err != nil {
			return err
		}
	}
	w.B = append(w.B, `],"end":`...)
	w.B = event.AppendString(w.B, c.End)
	w.B = append(w.B, `,"start":`...)
	w.B = append(event.AppendString(w.B, c.Start), '}')
	return nil
}

// writeAccountData adds the account data to a list, with room_id where it is of a room.
func (c *Chunk) writeAccountData(ctx context.Context, l *list) error {
	write := func(items []*accountdata.Item) error {
		for _, i := range items {
			err := l.add(func(dst []byte) []byte {
				if dst = i.AppendJSON(dst); i.Room != 0 {
					dst = event.AddRoomID(dst, c.plan.planned(i.Room).id)
				}
				return dst
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	for nid := range c.plan.moreData.Keys() {
		for items, err := range c.plan.moreData.Of(ctx, nid) {
			if err == nil {
				err = write(items)
			}
			if err != nil {
				return err
			}
		}
	}
	return write(c.accountData)
}

// format is how the events of a room are written for the reader.
func (c *Chunk) format(r *room) *timeline.Format {
	return &timeline.Format{
		WithRoomID: true, V1: c.V1, Now: c.plan.now, UserID: c.plan.userID, DeviceID: c.plan.deviceID,
		Access: r.access, InviteState: r.state.Events,
	}
}
