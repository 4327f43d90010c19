package typing

import (
	"cmp"
	"container/list"
	"context"
	"slices"
	"sync"
	"time"

	"homeserver/internal/cache"
	"homeserver/internal/clock"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/journal/replica"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

const (
	// defaultTimeout is how long a user is typing without a timeout in the request,
	// maxTimeout the longest that counts.
	defaultTimeout = 30 * time.Second
	maxTimeout     = 2 * time.Minute
	// roomBytes estimates the bytes of a room in memory, and typistBytes those of a
	// user who types.
	roomBytes, typistBytes = 500, 500
)

// Service has the users who are typing. Its methods may be called concurrently.
type Service struct {
	rooms   *timeline.Store
	journal *journal.Journal
	clock   *journal.Ticks
	others  *replica.Channel // nil: there are none
	time    *clock.Clock
	share   int

	mu     sync.Mutex
	byRoom map[journal.RoomNID]*room
	order  *list.List // of *room, by changed
	bytes  int        // of all rooms
}

// room has the users who are typing in one room.
type room struct {
	nid     journal.RoomNID
	users   []string // in the order of beginning; what was handed out stays as it is
	typists map[string]*typist
	changed journal.Tick
	place   *list.Element // in Service.order
	bytes   int
}

// typist is one user's typing, from its beginning to its end.
type typist struct {
	stop  *clock.Timer
	until time.Time // as was last said here; zero: another process was told
}

// New makes the service. It sends messages to other processes by the channel, if that
// is not nil. share bounds the bytes in memory; 0: [cache.UsualShare]. time says when typing ends;
// nil: the real time. Call it before
// the journal and the channel are started.
func New(r *timeline.Store, j *journal.Journal, clock *journal.Ticks, others *replica.Channel, share int, time *clock.Clock) *Service {
	s := &Service{
		rooms: r, journal: j, clock: clock, others: others, share: cmp.Or(share, cache.UsualShare), time: time,
		byRoom: map[journal.RoomNID]*room{}, order: list.New(),
	}
	j.Observe(journal.Observer{Committed: s.committed, Reset: func(journal.Position) {}})
	if others != nil {
		others.Handle(kindTyping, s.receive)
		others.OnJoined(s.sendAll)
	}
	return s
}

// Set notes that a user is typing in a room, for a time (0: the default; two minutes
// at most), or has stopped. M_INVALID_PARAM for a time below 0, M_FORBIDDEN for who
// is not in the room. Client-server API, PUT /rooms/{roomId}/typing/{userId}.
func (s *Service) Set(ctx context.Context, userID, roomID string, typing bool, timeout time.Duration) error {
	if timeout < 0 {
		return matrix.Errorf(matrix.InvalidParam, "timeout must not be negative")
	}
	if timeout == 0 {
		timeout = defaultTimeout
	}
	if err := s.rooms.For(userID).MustBeJoined(ctx, roomID); err != nil {
		return err
	}
	nid, err := s.rooms.Number(ctx, roomID)
	if err != nil {
		return err
	}
	if typing {
		timeout = min(timeout, maxTimeout)
		s.start(nid, userID, timeout, s.time.Now().Add(timeout))
		s.send(nid, userID, timeout)
	} else {
		s.end(nid, userID, nil)
		s.send(nid, userID, 0)
	}
	return nil
}

// start begins somebody's typing, or makes it last longer. until is when it ends if
// that was said here, else zero.
func (s *Service) start(nid journal.RoomNID, userID string, timeout time.Duration, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.byRoom[nid]
	if r == nil {
		r = s.add(nid)
	}
	before := r.typists[userID]
	if before != nil && before.stop.Stop() {
		before.stop.Reset(timeout)
		before.until = until
		return
	}
	if before == nil && !s.makeRoom(r, typistBytes+len(userID)) {
		return
	}
	t := &typist{until: until}
	t.stop = s.time.AfterFunc(timeout, func() { s.end(nid, userID, t) })
	r.typists[userID] = t
	if before == nil {
		r.users = append(r.users, userID)
		s.change(r)
	}
}

// add makes place for one more room. The lock is held.
func (s *Service) add(nid journal.RoomNID) *room {
	r := &room{nid: nid, typists: map[string]*typist{}}
	s.makeRoom(r, roomBytes)
	r.place = s.order.PushBack(r)
	s.byRoom[nid] = r
	return r
}

// makeRoom counts more bytes for a room. Where all rooms have too many, those are forgotten
// in which nothing has changed for the longest time; it reports false if none but this
// one is left. The lock is held.
func (s *Service) makeRoom(r *room, more int) bool {
	for s.bytes+more > s.share {
		front := s.order.Front()
		if front == nil || front.Value == r {
			return false
		}
		oldest := s.order.Remove(front).(*room)
		for _, t := range oldest.typists {
			t.stop.Stop()
		}
		delete(s.byRoom, oldest.nid)
		s.bytes -= oldest.bytes
	}
	s.bytes += more
	r.bytes += more
	return true
}

// Caches reports the use of the memory for users who are typing.
func (s *Service) Caches() cache.Caches {
	return cache.Caches{"typing": func() cache.Stats {
		s.mu.Lock()
		defer s.mu.Unlock()
		return cache.Stats{Entries: len(s.byRoom), Bytes: s.bytes}
	}}
}

// end ends the typing of a user, only that one if it is not nil.
func (s *Service) end(nid journal.RoomNID, userID string, only *typist) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.byRoom[nid]
	if r == nil || r.typists[userID] == nil || only != nil && r.typists[userID] != only {
		return
	}
	r.typists[userID].stop.Stop()
	delete(r.typists, userID)
	s.bytes -= typistBytes + len(userID)
	r.bytes -= typistBytes + len(userID)
	r.users = slices.DeleteFunc(slices.Clone(r.users), func(u string) bool { return u == userID })
	s.change(r)
}

func (s *Service) change(r *room) {
	r.changed = s.clock.Next()
	s.order.MoveToBack(r.place)
	s.journal.Wake(journal.Topic{Room: r.nid})
}

// committed ends the typing of who leaves a room. It runs inside the journal.
func (s *Service) committed(_ journal.View, entries []*journal.Entry) {
	for _, entry := range entries {
		c := timeline.ChangeOf(entry)
		for at := range c.Line {
			if at.Type == event.TypeMember && at.Membership() != event.Join {
				s.end(c.Room, at.Key, nil)
			}
		}
	}
}

// Typing is who is typing in a room, in the order of beginning. It must not be
// written to.
type Typing struct {
	Room  journal.RoomNID
	Users []string
}

// Changed lists the rooms, among those that in reports, in which that has changed
// after the tick; with a tick of 0, those in which somebody is typing; with Elsewhere,
// those in which somebody has lately, too. The cost is
// that of what has changed, however many rooms there are.
func (s *Service) Changed(since journal.Tick, in func(journal.RoomNID) bool) []Typing {
	if since > 0 && s.clock.Now() <= since {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var changed []Typing
	for at := s.order.Back(); at != nil; at = at.Prev() {
		r := at.Value.(*room)
		if r.changed <= since {
			break
		}
		if (since != 0 || len(r.users) > 0) && in(r.nid) {
			changed = append(changed, Typing{r.nid, r.users})
		}
	}
	return changed
}

// Now returns the users who are typing in a room.
func (s *Service) Now(nid journal.RoomNID) Typing {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.byRoom[nid]; r != nil {
		return Typing{nid, r.users}
	}
	return Typing{Room: nid}
}

// AppendJSON writes the m.typing event of who is typing.
func AppendJSON(dst []byte, users []string) []byte {
	dst = append(dst, `{"content":{"user_ids":[`...)
	for i, userID := range users {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = event.AppendString(dst, userID)
	}
	return append(dst, `]},"type":"m.typing"}`...)
}
