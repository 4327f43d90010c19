package syncstream

import (
	"context"
	"maps"
	"slices"
	"time"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// maxChunk is how many room events one answer of /events holds at most. Those that
// come after them are in the next.
const maxChunk = 1000

// EventsQuery is a request for the events after a token: client-server API,
// GET /events.
type EventsQuery struct {
	UserID, DeviceID string
	// From is a token of any answer; "": the events after this request.
	From string
	// RoomID asks for one room alone, which the user need not be in if anybody may
	// read it; "": for all that the user is in.
	RoomID string
	// Timeout is how long to wait if there is nothing.
	Timeout time.Duration
}

// Stream returns what has happened after a token, waiting for it if there is nothing:
// the events of the rooms that the user was in at the time of each, how the user's own
// membership changed, receipts, account data, typing and presence. A client that goes
// on from the end of each answer gets each event once, in the order of positions,
// however often the answers are asked for. M_INVALID_PARAM for a text that is no token;
// M_FORBIDDEN for a room that the user may not watch.
func (s *Service) Stream(ctx context.Context, q EventsQuery) (*Chunk, error) {
	// The user is shown as online before it is worked out what "now" is: one's own
	// coming online is no news.
	polled, err := s.Presence.Polling(ctx, q.UserID, q.DeviceID, "")
	if err != nil {
		return nil, err
	}
	defer polled()
	f := &following{EventsQuery: q}
	if err := s.begin(ctx, f); err != nil {
		return nil, err
	}
	watch := s.watchAll
	if q.RoomID != "" {
		watch = s.watchRoom
	}
	var deadline <-chan time.Time
	if q.Timeout > 0 {
		timer := time.NewTimer(min(q.Timeout, maxTimeout))
		defer timer.Stop()
		deadline = timer.C
	}
	for {
		c, err := watch(ctx, f, deadline)
		if c != nil || err != nil {
			return c, err
		}
	}
}

// following is a query with where it begins.
type following struct {
	EventsQuery
	since journal.Position
	tick  journal.Tick
	// toDevice is how far messages to the device were given, by /sync before; 0: none were.
	toDevice journal.Position
}

// begin reads the token, and waits until this process has come as far.
func (s *Service) begin(ctx context.Context, f *following) error {
	if f.From == "" {
		f.tick, f.since = s.Ticks.Now(), s.Journal.Position()
		return nil
	}
	var err error
	if f.since, err = ParseToken(f.From); err != nil {
		return err
	}
	f.tick = s.Ticks.Parse(tickOf(f.From))
	f.toDevice = toDeviceOf(f.From, f.since)
	return s.Journal.CatchUp(ctx, f.since)
}

// watchAll looks at all rooms of the user. If there is nothing it waits, and returns
// nil where there may be more to see then.
func (s *Service) watchAll(ctx context.Context, f *following, deadline <-chan time.Time) (*Chunk, error) {
	v, err := s.viewers.use(ctx, f.UserID)
	if err != nil {
		return nil, err
	}
	defer s.viewers.release(v)
	woken := v.listener.Woken() // before the journal is looked at
	return s.chunkOrWait(ctx, f, woken, deadline, v.roomsToWatch, v.ignored)
}

// watchRoom does the same with one room, in which the user need not be. A user who may not
// watch it any longer is shown what came before that first.
func (s *Service) watchRoom(ctx context.Context, f *following, deadline <-chan time.Time) (*Chunk, error) {
	nid, _, err := s.Rooms.For(f.UserID).Access(ctx, f.RoomID)
	if err != nil {
		return nil, err
	}
	listener := s.Journal.Listen()
	defer listener.Close()
	listener.Follow(journal.Topic{Room: nid})
	listener.Follow(journal.Topic{User: f.UserID})
	woken := listener.Woken()
	// Once more, so that it cannot change between looking and listening.
	_, access, err := s.Rooms.For(f.UserID).Access(ctx, f.RoomID)
	if err != nil {
		return nil, err
	}
	ignored, err := s.Data.Ignored(ctx, f.UserID)
	if err != nil {
		return nil, err
	}
	choose := func(p *plan) ([]*room, bool) {
		since, upTo := p.gaps()
		r := &room{section: left, id: f.RoomID, nid: nid, access: access, since: since, ranges: access.Ranges(since, upTo)}
		if membership, _ := access.Membership(); membership == event.Join {
			r.section = joined
		}
		return []*room{r}, true
	}
	if refused := access.MayWatch(); refused != nil {
		c, err := s.chunk(ctx, f, choose, slices.Collect(maps.Keys(ignored)))
		if err == nil && c.empty() {
			return nil, refused
		}
		return c, err
	}
	return s.chunkOrWait(ctx, f, woken, deadline, choose, slices.Collect(maps.Keys(ignored)))
}

func (s *Service) chunkOrWait(
	ctx context.Context, f *following, woken <-chan struct{}, deadline <-chan time.Time, choose roomChoice, ignored []string,
) (*Chunk, error) {
	c, err := s.chunk(ctx, f, choose, ignored)
	if c == nil || err != nil || !c.empty() || f.Timeout <= 0 {
		return c, err
	}
	if again, err := s.wait(ctx, woken, deadline); again || err != nil {
		return nil, err
	}
	return c, nil
}

// roomChoice returns the rooms that are shown in the plan; false if that is not known
// any more. It runs inside the journal: no I/O.
type roomChoice func(p *plan) ([]*room, bool)

// roomsToWatch returns the rooms that the user is in, or was in after the token.
func (v *viewer) roomsToWatch(p *plan) ([]*room, bool) {
	if v.gone.Load() {
		return nil, false
	}
	var list []*room
	since, upTo := p.gaps()
	for _, st := range v.rooms {
		memberships := st.Memberships.UpTo(upTo)
		r := &room{section: left, id: st.RoomID, nid: st.Room, since: since, ranges: rangesOfMember(memberships, since, upTo)}
		if memberships.Last().Value == event.Join {
			r.section, r.since = joined, max(since, memberships.HeldSince())
		}
		if r.section == joined || len(r.ranges) > 0 {
			r.access = st.accessAt(upTo)
			list = append(list, r)
		}
	}
	return list, true
}

// rangesOfMember returns the places in (since, upTo] at which a user was in a room, or
// became anything else. Later changes don't alter the ranges at earlier positions, so
// it doesn't matter at which of them an answer ends.
func rangesOfMember(memberships timeline.Changes, since, upTo timeline.Place) []timeline.Range {
	var shown []timeline.Range
	for i, m := range memberships {
		to := m.From
		if m.Value == event.Join {
			to = upTo
			if i+1 < len(memberships) {
				to = memberships[i+1].From - 1
			}
		}
		if from := max(m.From, since+1); from <= min(to, upTo) {
			shown = append(shown, timeline.Range{From: from, To: min(to, upTo)})
		}
	}
	return shown
}
