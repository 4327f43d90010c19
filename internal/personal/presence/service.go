package presence

import (
	"cmp"
	"container/list"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/cache"
	"homeserver/internal/clock"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/journal/replica"
	"homeserver/internal/matrix"
	"homeserver/internal/profile"
	"homeserver/internal/rooms/timeline"
)

// The states of presence.
const (
	Online      = "online"
	Unavailable = "unavailable"
	Offline     = "offline"
)

const (
	// activeFor is how long after doing something a user counts as currently
	// active, idleAfter when one becomes unavailable, and goneAfter how long after
	// the last request for news one becomes offline.
	activeFor = time.Minute
	idleAfter = 5 * time.Minute
	goneAfter = 30 * time.Second
	// watchEvery is how often that is looked at.
	watchEvery = 5 * time.Second
	// maxStatusBytes bounds a status message.
	maxStatusBytes = 1000
)

// State is how a user is shown. It does not change.
type State struct {
	UserID          string
	Presence        string
	StatusMsg       string
	LastActive      time.Time // zero: never seen
	CurrentlyActive bool
	DisplayName     string
	AvatarURL       string
}

// Options has all that a Service needs. Only the clock may be missing.
type Options struct {
	Pool     *pgxpool.Pool
	Journal  *journal.Journal
	Rooms    *timeline.Store
	Profiles *profile.Service
	// Ticks is the clock that changes go by.
	Ticks *journal.Ticks
	// Others sends messages to other processes; nil: there are none.
	Others *replica.Channel
	// Log logs messages lost between processes; nil: they are not logged.
	Log *slog.Logger
	// Share bounds the bytes of users in memory; 0: [cache.UsualShare]. Beyond it the
	// user who has not changed for the longest time is forgotten.
	Share int
	// Now is the time, and Clock what it is looked at by; nil: that of Clock, and the real one.
	Now   func() time.Time
	Clock *clock.Clock
}

// Service holds the presence of users. Its methods may be called concurrently.
type Service struct {
	Options

	mu    sync.Mutex
	users map[string]*user
	order *list.List // of *user, by changed
	bytes int        // of users

	news    chan message // from other processes
	stop    context.CancelFunc
	running sync.WaitGroup
}

// New makes the service. Call it before the journal is started.
func New(o Options) *Service {
	s := &Service{
		Options: o, users: map[string]*user{}, order: list.New(), news: make(chan message, maxNews),
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.Now == nil {
		s.Now = o.Clock.Now
	}
	s.Share = cmp.Or(s.Share, cache.UsualShare)
	o.Journal.Observe(journal.Observer{Committed: s.committed, Reset: s.reset})
	o.Profiles.OnChange(s.profileChanged)
	if o.Others != nil {
		o.Others.Handle(kindPresence, s.receive)
		o.Others.OnJoined(s.sendAll)
	}
	return s
}

// Start begins to watch for users who become idle or go away, and to handle the
// messages of other processes. Call it once; Stop ends it, and not the end of the
// context.
func (s *Service) Start(ctx context.Context) {
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.running.Go(func() {
		next := s.Clock.NewTimer(watchEvery)
		defer next.Stop()
		for {
			select {
			case <-next.C:
				s.Watch()
				next.Reset(watchEvery)
			case <-ctx.Done():
				return
			}
		}
	})
	s.running.Go(func() { s.handleReceived(ctx) })
}

// Stop ends what Start has begun, and waits for its end.
func (s *Service) Stop() {
	s.stop()
	s.running.Wait()
}

// Set sets a user's own presence and status message. M_INVALID_PARAM for a text that is
// no presence, or a message of more than 1,000 bytes. Client-server API, PUT
// /presence/{userId}/status.
func (s *Service) Set(ctx context.Context, userID, presence, statusMsg string) error {
	switch presence {
	case Online, Unavailable, Offline:
	default:
		return matrix.Errorf(matrix.InvalidParam, "presence is online, unavailable or offline")
	}
	if len(statusMsg) > maxStatusBytes {
		return matrix.Errorf(matrix.InvalidParam, "a status message has at most %d bytes", maxStatusBytes)
	}
	now := s.Now()
	s.send(message{User: userID, Presence: presence, StatusMsg: statusMsg, At: now.UnixMilli()})
	return s.update(ctx, userID, func(u *user) { u.set(presence, statusMsg, now) })
}

// Polling notes that a user's device asks for news, and how that is to be shown:
// online, which is also the default, unavailable, or offline, which shows nothing. A
// user who is active with one device is not made unavailable by another. The caller
// calls done when the request has ended. Client-server API, GET /sync, set_presence.
func (s *Service) Polling(ctx context.Context, userID, deviceID, shown string) (done func(), err error) {
	if shown == Offline {
		return func() {}, nil
	}
	var d *device
	err = s.update(ctx, userID, func(u *user) {
		d = u.device(deviceID)
		d.requests++
		news := d.away != (shown == Unavailable)
		u.polls(d, shown == Unavailable, s.Now())
		s.sendPolling(u, deviceID, d, news)
	})
	if err != nil || d == nil {
		return func() {}, err
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		d.requests--
		d.lastSeen = s.Now()
	}, nil
}

// update changes the state of a user, and wakes the others if it shows.
func (s *Service) update(ctx context.Context, userID string, change func(*user)) error {
	if err := s.load(ctx, userID); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[userID]
	if u == nil { // forgotten in between: there are too many
		return nil
	}
	before := u.State
	change(u)
	s.show(u, before)
	s.weigh(u)
	return nil
}

// show wakes the others if they can see a change. The lock is held.
func (s *Service) show(u *user, before State) { s.Journal.Wake(s.shown(u, before)...) }

// shown notes a change that others can see, and returns the topics that it concerns.
// The lock is held.
func (s *Service) shown(u *user, before State) []journal.Topic {
	u.CurrentlyActive = u.Presence == Online && s.Now().Sub(u.LastActive) < activeFor
	after := u.State
	if after.Presence == Offline || after.CurrentlyActive && before.CurrentlyActive {
		after.LastActive = before.LastActive // not told alone
	}
	if after == before {
		return nil
	}
	s.touch(u)
	topics := make([]journal.Topic, 0, len(u.rooms)+1)
	topics = append(topics, journal.Topic{User: u.UserID})
	for nid := range u.rooms {
		topics = append(topics, journal.Topic{Room: nid})
	}
	return topics
}

// touch makes the state of a user new to those who may know of it. The lock is held.
func (s *Service) touch(u *user) {
	u.changed = s.Ticks.Next()
	s.order.MoveToBack(u.place)
}

// load makes the user known, with the rooms that the user is in.
func (s *Service) load(ctx context.Context, userID string) error {
	s.mu.Lock()
	u := s.users[userID]
	if u == nil {
		u = s.add(userID)
	}
	loaded, era := u.loaded, u.era
	s.mu.Unlock()
	if loaded {
		return nil
	}
	memberships, err := s.Rooms.Memberships(ctx, userID)
	if err != nil {
		return fmt.Errorf("load the rooms of %s for presence: %w", userID, err)
	}
	p, err := s.Profiles.Get(ctx, userID)
	if err != nil && !matrix.IsCode(err, matrix.NotFound) {
		return fmt.Errorf("load the profile of %s for presence: %w", userID, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u.fill(era, memberships, p)
	s.weigh(u)
	return nil
}

// Caches reports the use of the memory for users.
func (s *Service) Caches() cache.Caches {
	return cache.Caches{"presence": func() cache.Stats {
		s.mu.Lock()
		defer s.mu.Unlock()
		return cache.Stats{Entries: len(s.users), Bytes: s.bytes}
	}}
}

// weigh is called when a user may have become larger. If all of them are too large, it
// forgets others. The lock is held.
func (s *Service) weigh(u *user) {
	if s.users[u.UserID] != u {
		return // forgotten already
	}
	s.bytes -= u.bytes
	u.bytes = u.weigh()
	s.bytes += u.bytes
	for at := s.order.Front(); at != nil && s.bytes > s.Share; {
		next := at.Next()
		if oldest := at.Value.(*user); oldest != u {
			s.order.Remove(at)
			delete(s.users, oldest.UserID)
			s.bytes -= oldest.bytes
		}
		at = next
	}
}

// add makes place for one more user. The lock is held.
func (s *Service) add(userID string) *user {
	u := &user{State: State{UserID: userID, Presence: Offline}, devices: map[string]*device{}}
	u.forget()
	u.place = s.order.PushFront(u)
	s.users[userID] = u
	s.weigh(u)
	return u
}

// usersAtOnce is how many users are looked at before commits, which need the lock, too,
// get their chance.
const usersAtOnce = 100

// each calls f for all users while the lock is held, a few at a time, and wakes those
// whom it returns without the lock.
func (s *Service) each(f func(u *user) []journal.Topic) {
	s.mu.Lock()
	all := slices.Collect(maps.Keys(s.users))
	s.mu.Unlock()
	for some := range slices.Chunk(all, usersAtOnce) {
		var concerned []journal.Topic
		s.mu.Lock()
		for _, userID := range some {
			if u := s.users[userID]; u != nil {
				concerned = append(concerned, f(u)...)
			}
		}
		s.mu.Unlock()
		s.Journal.Wake(concerned...)
	}
}

// Watch makes idle users unavailable and absent ones offline. The service calls
// it every few seconds.
func (s *Service) Watch() {
	now := s.Now()
	s.each(func(u *user) []journal.Topic { return s.watch(u, now) })
}

// watch checks one user, and returns the topics that a change concerns. The lock is
// held.
func (s *Service) watch(u *user, now time.Time) []journal.Topic {
	if u.Presence == Offline {
		return nil
	}
	before := u.State
	u.sweep(now)
	for id, d := range u.devices {
		if d.requests > 0 {
			s.sendPolling(u, id, d, false)
		}
	}
	switch {
	case len(u.devices) == 0 && now.Sub(u.lastSeen) >= goneAfter:
		u.Presence, u.away = Offline, false
	case u.Presence == Online && u.allAway(now):
		u.Presence, u.away = Unavailable, true
	case u.Presence == Online && now.Sub(u.LastActive) >= idleAfter:
		u.Presence = Unavailable
	}
	return s.shown(u, before)
}

// committed notes the users who have sent something, and those who have joined rooms or
// left them. It runs inside the journal.
func (s *Service) committed(_ journal.View, entries []*journal.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, entry := range entries {
		c := timeline.ChangeOf(entry)
		if c.Event != nil && s.users[c.Event.Sender] != nil {
			s.active(s.users[c.Event.Sender])
		}
		for at := range c.Line {
			if at.Type == event.TypeMember && s.users[at.Key] != nil {
				s.move(s.users[at.Key], c.Room, at.Membership() == event.Join)
			}
		}
	}
}

// move notes that a user is now in a room, or not. The lock is held.
func (s *Service) move(u *user, room journal.RoomNID, in bool) {
	if u.moves(room, in) && u.Presence != Offline {
		s.touch(u) // those in the room are woken by the entry
	}
	s.weigh(u)
}

// active notes that a user has done something, which makes an idle user online. The
// lock is held.
func (s *Service) active(u *user) {
	before := u.State
	u.back()
	u.LastActive = s.Now()
	if u.Presence == Unavailable {
		u.Presence = Online
	}
	s.show(u, before)
}

// reset makes everybody's rooms be read anew.
func (s *Service) reset(journal.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.users {
		u.forget()
	}
}

// profileChanged shows a new name or avatar. Client-server API, "Events on
// Change of Profile Information".
func (s *Service) profileChanged(_ context.Context, userID string, p profile.Profile) error {
	s.rename(userID, p)
	s.send(message{User: userID, Renamed: true})
	return nil
}

func (s *Service) rename(userID string, p profile.Profile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.users[userID]; u != nil {
		before := u.State
		u.DisplayName, u.AvatarURL, u.named = p.DisplayName, p.AvatarURL, true
		s.show(u, before)
		s.weigh(u)
	}
}

// Get returns the presence of a user to another one. M_FORBIDDEN unless they share a
// room, M_NOT_FOUND for a user who does not exist. Client-server API, GET
// /presence/{userId}/status.
func (s *Service) Get(ctx context.Context, asker, userID string) (State, error) {
	if _, err := s.Profiles.Get(ctx, userID); err != nil {
		return State{}, err
	}
	if err := s.load(ctx, userID); err != nil {
		return State{}, err
	}
	if err := s.load(ctx, asker); err != nil {
		return State{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	state, ok := s.stateFor(asker, userID)
	if !ok {
		return State{}, matrix.Errorf(matrix.Forbidden, "you share no room with this user")
	}
	return state, nil
}

// stateFor returns the state of a user as the asker may see it, and reports whether the
// asker may. The lock is held.
func (s *Service) stateFor(asker, userID string) (State, bool) {
	u, a := s.users[userID], s.users[asker]
	switch {
	case u != nil && (asker == userID || a != nil && a.shares(u)):
		return u.State, true
	case asker == userID: // forgotten in between: there are too many
		return State{UserID: userID, Presence: Offline}, true
	}
	return State{UserID: userID, Presence: Offline}, false
}

// Changed lists the users whose presence has changed after the tick and who are in one
// of the rooms that in reports, or are the reader; and those who are not offline and in
// one of the rooms that fresh reports, if that is not nil. A tick of 0 means all who
// are not offline, Elsewhere also those who have gone offline lately. The latest change
// comes first.
func (s *Service) Changed(reader string, since journal.Tick, in, fresh func(journal.RoomNID) bool) []State {
	if since > 0 && fresh == nil && s.Ticks.Now() <= since {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var changed []State
	for at := s.order.Back(); at != nil; at = at.Prev() {
		u := at.Value.(*user)
		if u.changed == 0 || u.changed <= since && fresh == nil {
			break
		}
		told := u.Presence != Offline || since != 0 && u.changed > since
		if told && (u.changed > since && (u.UserID == reader || u.isIn(in)) || fresh != nil && u.isIn(fresh)) {
			changed = append(changed, u.State)
		}
	}
	return changed
}
