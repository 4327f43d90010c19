package syncstream

import (
	"cmp"
	"context"
	"slices"
	"time"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/presence"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/rooms/timeline"
)

// Chunk is what has happened between two tokens: client-server API, GET /events.
type Chunk struct {
	// Start and End are the tokens.
	Start, End string
	// Events are those of rooms, in the order of positions.
	Events []*timeline.Event
	// V1 makes the chunk write its events in the format of api/v1.
	V1 bool

	*following
	now      time.Time
	upTo     journal.Position
	tickUpTo journal.Tick
	cut      bool // there are more events after upTo
	sources  []*source
	ignored  []string
	// covered tells that the live window holds everything; own are then the user's
	// own entries in it.
	covered bool
	own     []*journal.Entry

	invites     map[journal.RoomNID]timeline.List // stripped state
	receipts    map[journal.RoomNID][]*receipts.Receipt
	accountData []*accountdata.Item
	typing      map[journal.RoomNID][]string
	presence    []presence.State
}

// empty reports whether there is nothing worth ending a wait for: that the user's
// own presence has changed is told with the next thing that is, since most often it
// did by asking.
func (c *Chunk) empty() bool {
	others := slices.ContainsFunc(c.presence, func(st presence.State) bool { return st.UserID != c.UserID })
	return len(c.Events)+len(c.receipts)+len(c.accountData)+len(c.typing) == 0 && !others
}

// readEvents gives the events of rooms, and cuts the chunk off where there are too
// many or they are too large: all else is then told up to there, too.
func (s *Service) readEvents(ctx context.Context, c *Chunk) error {
	var filter *timeline.EventFilter
	if len(c.ignored) > 0 {
		filter = filter.WithoutMessagesOf(c.ignored)
	}
	if c.covered {
		c.Events = c.liveEvents(filter)
	} else {
		list, err := s.storedEvents(ctx, c, filter)
		if err != nil {
			return err
		}
		c.Events, c.cut = list.Events, len(list.Left) > 0
	}
	if len(c.Events) > maxChunk {
		c.cut, c.Events = true, c.Events[:maxChunk]
	}
	if c.cut {
		c.upTo, c.tickUpTo = c.Events[len(c.Events)-1].Position, c.tick
	}
	c.Events = slices.DeleteFunc(c.Events, c.isIgnoredInvite)
	return nil
}

func (c *Chunk) liveEvents(filter *timeline.EventFilter) []*timeline.Event {
	var events []*timeline.Event
	for _, src := range c.sources {
		for _, entry := range src.live {
			if e := timeline.EventOf(entry); e != nil && src.tells(e.Position) && filter.Match(e) {
				events = append(events, e)
			}
		}
	}
	slices.SortFunc(events, func(a, b *timeline.Event) int { return cmp.Compare(a.Position, b.Position) })
	return events
}

func (s *Service) storedEvents(ctx context.Context, c *Chunk, filter *timeline.EventFilter) (timeline.List, error) {
	var windows []timeline.Window
	for _, src := range c.sources {
		for _, told := range src.told {
			windows = append(windows, timeline.Window{Room: src.nid, Range: told})
		}
	}
	if len(windows) == 0 {
		return timeline.List{}, nil
	}
	return s.Rooms.Oldest(ctx, windows, maxChunk, filter)
}

// isInvite reports whether an event invites the user.
func (c *Chunk) isInvite(e *timeline.Event) bool {
	return e.IsState(event.TypeMember, c.UserID) && e.Membership() == event.Invite
}

// isIgnoredInvite reports whether an event invites the user in the name of somebody
// whom the user ignores: client-server API, "Ignoring Users".
func (c *Chunk) isIgnoredInvite(e *timeline.Event) bool {
	return c.isInvite(e) && slices.Contains(c.ignored, e.Sender)
}

// readInvites gives the stripped state that goes with invites, as far as one read can
// bring it.
func (s *Service) readInvites(ctx context.Context, c *Chunk) error {
	at := map[journal.RoomNID]journal.Position{}
	for _, e := range c.Events {
		if c.isInvite(e) {
			at[e.Room] = e.Position
		}
	}
	if len(at) == 0 {
		return nil
	}
	var invited []timeline.RoomAt
	for nid, position := range at {
		invited = append(invited, timeline.RoomAt{Room: nid, At: position})
	}
	state, err := s.Rooms.Stripped(ctx, invited, c.UserID)
	c.invites = state.ByRoom()
	return err
}

// readReceipts gives the receipts in rooms that the user is in.
func (s *Service) readReceipts(ctx context.Context, c *Chunk) error {
	c.receipts = map[journal.RoomNID][]*receipts.Receipt{}
	add := func(after journal.Position, entry *journal.Entry) {
		if r, ok := entry.Value.(*receipts.Receipt); ok && entry.Position > after && entry.Position <= c.upTo {
			c.receipts[r.Room] = append(c.receipts[r.Room], r)
		}
	}
	var stored []receipts.Since
	joinedAt := map[journal.RoomNID]journal.Position{}
	for _, src := range c.sources {
		if src.joinedAt == 0 || src.joinedAt > c.upTo {
			continue
		}
		joinedAt[src.nid] = src.joinedAt
		stored = append(stored, receipts.Since{Room: src.nid, After: max(c.since, src.joinedAt)})
		for _, entry := range src.live {
			add(src.joinedAt, entry)
		}
	}
	if c.covered {
		for _, entry := range c.own {
			if r, ok := entry.Value.(*receipts.Receipt); ok && joinedAt[r.Room] > 0 {
				add(joinedAt[r.Room], entry)
			}
		}
		return nil
	}
	if len(stored) == 0 || c.since >= c.upTo {
		return nil
	}
	found, err := s.Receipts.Changes(ctx, c.UserID, stored, c.upTo)
	for _, r := range found {
		c.receipts[r.Room] = append(c.receipts[r.Room], r)
	}
	return err
}

// readAccountData gives what the user has stored: for the account, unless one room
// is asked for, and for rooms that the user is in.
func (s *Service) readAccountData(ctx context.Context, c *Chunk) (err error) {
	var items []*accountdata.Item
	if c.covered {
		for _, entry := range c.own {
			if i, ok := entry.Value.(*accountdata.Item); ok && entry.Position <= c.upTo {
				items = append(items, i)
			}
		}
	} else if items, err = s.Data.Changes(ctx, c.UserID, c.since, c.upTo); err != nil {
		return err
	}
	for _, i := range items {
		src := c.source(i.Room)
		if i.Room == 0 && c.RoomID == "" || src != nil && src.joinedAt > 0 {
			c.accountData = append(c.accountData, i)
		}
	}
	return nil
}

// readEphemeral gives who is typing and who is online, as far as it has changed. A
// chunk that was cut off leaves that to the next.
func (s *Service) readEphemeral(c *Chunk) {
	c.typing = map[journal.RoomNID][]string{}
	if c.cut || c.tick > 0 && c.tickUpTo <= c.tick {
		return
	}
	joined := map[journal.RoomNID]bool{}
	for _, src := range c.sources {
		if src.joinedAt == 0 {
			continue
		}
		joined[src.nid] = true
	}
	if len(joined) == 0 {
		return
	}
	in := func(nid journal.RoomNID) bool { return joined[nid] }
	for _, now := range s.Typing.Changed(c.tick, in) {
		c.typing[now.Room] = now.Users
	}
	c.presence = s.Presence.Changed(c.UserID, c.tick, in, nil)
}

func (c *Chunk) source(nid journal.RoomNID) *source {
	i := slices.IndexFunc(c.sources, func(src *source) bool { return src.nid == nid })
	if i < 0 {
		return nil
	}
	return c.sources[i]
}

// AppendJSON writes the chunk: first the events of rooms in their order, then what
// has none.
func (c *Chunk) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"chunk":[`...)
	begin := len(dst)
	next := func() {
		if len(dst) > begin {
			dst = append(dst, ',')
		}
	}
	byNID := make(map[journal.RoomNID]*source, len(c.sources))
	for _, src := range c.sources {
		byNID[src.nid] = src
	}
	for _, e := range c.Events {
		next()
		dst = c.format(byNID[e.Room]).AppendJSON(dst, e)
	}
	for _, src := range c.sources {
		if list := c.receipts[src.nid]; len(list) > 0 {
			next()
			dst = appendReceiptsIn(dst, src.roomID, list)
		}
		if users, changed := c.typing[src.nid]; changed {
			next()
			dst = appendTypingIn(dst, src.roomID, users)
		}
	}
	for _, i := range c.accountData {
		next()
		if dst = i.AppendJSON(dst); i.Room != 0 {
			dst = appendRoomID(dst, byNID[i.Room].roomID)
		}
	}
	for i := range c.presence {
		next()
		dst = c.presence[i].AppendOldJSON(dst, c.now)
	}
	dst = append(dst, `],"end":`...)
	dst = event.AppendString(dst, c.End)
	dst = append(dst, `,"start":`...)
	return append(event.AppendString(dst, c.Start), '}')
}

// format is how the events of a room are written for the reader.
func (c *Chunk) format(src *source) *timeline.Format {
	return &timeline.Format{
		WithRoomID: true, V1: c.V1, Now: c.now, UserID: c.UserID, DeviceID: c.DeviceID,
		Access: src.access, InviteState: c.invites[src.nid].Events,
	}
}
