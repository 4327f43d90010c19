package syncstream

import (
	"context"
	"fmt"
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
	// From is a token of any answer; "": from now on.
	From string
	// RoomID asks for one room alone, which the user need not be in if anybody may
	// read it; "": for all that the user is in.
	RoomID string
	// Timeout is how long to wait if there is nothing.
	Timeout time.Duration
}

// Stream gives what has happened after a token, waiting for it if there is nothing:
// the events of the rooms that the user was in at the time of each, how the user's
// own membership changed, receipts, account data, who is typing and who is online.
// Whoever goes on from the end of each answer gets each event once, in the order of
// positions, however often the answers are asked for. M_INVALID_PARAM for a token
// that is none; M_FORBIDDEN for a room that the user may not watch.
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
	return s.Journal.CatchUp(ctx, f.since)
}

// watchAll looks at all rooms of the user. If there is nothing it waits, and gives
// nil where there may be more to see then.
func (s *Service) watchAll(ctx context.Context, f *following, deadline <-chan time.Time) (*Chunk, error) {
	v, err := s.viewers.use(ctx, f.UserID)
	if err != nil {
		return nil, err
	}
	defer s.viewers.release(v)
	woken := v.listener.Woken() // before the journal is looked at
	return s.chunkOrWait(ctx, f, woken, deadline, v.sources, v.ignored)
}

// watchRoom does the same with one room, in which the user need not be. Who may not
// watch it any longer is told what came before that first.
func (s *Service) watchRoom(ctx context.Context, f *following, deadline <-chan time.Time) (*Chunk, error) {
	nid, _, err := s.Rooms.Access(ctx, f.UserID, f.RoomID)
	if err != nil {
		return nil, err
	}
	listener := s.Journal.Listen()
	defer listener.Close()
	listener.Follow(journal.Topic{Room: nid})
	listener.Follow(journal.Topic{User: f.UserID})
	woken := listener.Woken()
	// Once more, so that it cannot change between looking and listening.
	_, access, err := s.Rooms.Access(ctx, f.UserID, f.RoomID)
	if err != nil {
		return nil, err
	}
	ignored, err := s.Data.Ignored(ctx, f.UserID)
	if err != nil {
		return nil, err
	}
	from := func(since, upTo journal.Position) ([]*source, bool) {
		src := &source{nid: nid, roomID: f.RoomID, access: access, told: access.Ranges(since, upTo)}
		if membership, _ := access.Membership(); membership == event.Join {
			src.joinedAt = 1 // since ever: the room is all that is asked for
		}
		return []*source{src}, true
	}
	if refused := access.MayWatch(); refused != nil {
		c, err := s.chunk(ctx, f, from, slices.Collect(maps.Keys(ignored)))
		if err == nil && c.empty() {
			return nil, refused
		}
		return c, err
	}
	return s.chunkOrWait(ctx, f, woken, deadline, from, slices.Collect(maps.Keys(ignored)))
}

func (s *Service) chunkOrWait(
	ctx context.Context, f *following, woken <-chan struct{}, deadline <-chan time.Time, from sources, ignored []string,
) (*Chunk, error) {
	c, err := s.chunk(ctx, f, from, ignored)
	if c == nil || err != nil || !c.empty() || f.Timeout <= 0 {
		return c, err
	}
	if again, err := s.wait(ctx, woken, deadline); again || err != nil {
		return nil, err
	}
	return c, nil
}

// sources chooses what is told of which rooms in (since, upTo], as of upTo; false
// if that is not known any more.
type sources func(since, upTo journal.Position) ([]*source, bool)

// source is a room whose events are told.
type source struct {
	nid    journal.RoomNID
	roomID string
	access *timeline.Access
	told   []timeline.Range // of positions
	// joinedAt is the position since which the user is in; 0: is not.
	joinedAt journal.Position
	live     []*journal.Entry // of the window, if that reaches back far enough
}

// sources chooses the rooms of the viewer. It runs inside the journal: no I/O.
func (v *viewer) sources(since, upToNow journal.Position) ([]*source, bool) {
	if v.gone.Load() {
		return nil, false
	}
	var list []*source
	for _, st := range v.rooms {
		memberships := st.Memberships.UpTo(upToNow)
		src := &source{nid: st.Room, roomID: st.RoomID, told: membersSee(memberships, since, upToNow)}
		if now := memberships.Last(); now.Value == event.Join {
			src.joinedAt = memberships.HeldSince()
		}
		if src.joinedAt > 0 || len(src.told) > 0 {
			src.access = st.accessAt(upToNow)
			list = append(list, src)
		}
	}
	return list, true
}

// membersSee gives the positions in (since, upTo] at which a user was in a room, or
// became anything else. Later changes don't alter what it says of earlier
// positions, so it doesn't matter at which of them an answer ends.
func membersSee(memberships timeline.Changes, since, upTo journal.Position) []timeline.Range {
	var told []timeline.Range
	for i, m := range memberships {
		to := m.From
		if m.Value == event.Join {
			to = upTo
			if i+1 < len(memberships) {
				to = memberships[i+1].From - 1
			}
		}
		if from := max(m.From, since+1); from <= min(to, upTo) {
			told = append(told, timeline.Range{From: from, To: min(to, upTo)})
		}
	}
	return told
}

func (src *source) tells(p journal.Position) bool {
	for _, r := range src.told {
		if r.From <= p && p <= r.To {
			return true
		}
	}
	return false
}

// chunk works out the answer as of now, or gives nil if the viewer is gone.
func (s *Service) chunk(ctx context.Context, f *following, from sources, ignored []string) (*Chunk, error) {
	c := &Chunk{following: f, ignored: ignored, now: s.Now()}
	known := false
	c.tickUpTo = s.Ticks.Now()
	s.Journal.Read(func(view journal.View) {
		c.upTo = max(view.Position, f.since)
		if c.sources, known = from(f.since, c.upTo); !known {
			return
		}
		if c.covered = view.Covers(f.since); c.covered {
			for _, src := range c.sources {
				src.live = view.About(journal.Topic{Room: src.nid}, f.since)
			}
			c.own = view.About(journal.Topic{User: f.UserID}, f.since)
		}
	})
	if !known {
		return nil, nil
	}
	for _, step := range []func(context.Context, *Chunk) error{
		s.readEvents, s.readInvites, s.readReceipts, s.readAccountData,
	} {
		if err := step(ctx, c); err != nil {
			return nil, fmt.Errorf("events for %s: %w", f.UserID, err)
		}
	}
	s.readEphemeral(c)
	c.Start = s.token(f.since, f.tick, f.From)
	c.End = s.token(c.upTo, c.tickUpTo, f.From)
	return c, nil
}
