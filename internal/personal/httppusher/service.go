package httppusher

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"homeserver/internal/cache"
	"homeserver/internal/clock"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/personal/push"
	"homeserver/internal/rooms/timeline"
	"homeserver/internal/safehttp"
)

// Options is what a Service is made of.
type Options struct {
	Journal *journal.Journal
	Rooms   *timeline.Store
	Push    *push.Service
	// Client sends the requests.
	Client *safehttp.Client
	// ReadBy returns the user for whom less may be unread after a journal entry that is no
	// event, and in which room, 0: in any; "": nobody.
	ReadBy func(*journal.Entry) (userID string, room journal.RoomNID)
	// MemberBytes and CountBytes are what may be kept in memory of who is in rooms and has
	// pushers, and of the counts that pushers were sent; 0: [cache.UsualShare].
	MemberBytes, CountBytes int
	Log                     *slog.Logger
	// Clock is the time; nil: the real one.
	Clock *clock.Clock
}

// Service sends notifications. Of all processes on a database one does.
type Service struct {
	o        Options
	follower *journal.Follower
	metrics  *metrics
	now      func() time.Time
	backoff  backoff
	saveEach time.Duration
	// maxInMemory is deliveriesInMemory but in tests.
	maxInMemory int
	// members are the users with pushers who are in a room.
	members *cache.Cache[journal.RoomNID, []string]
	// told is the number of unread notifications that a pusher was sent last.
	told *cache.LRU[push.PusherKey, int]
	// reviews bounds how many at the same time work out what is owed.
	reviews chan struct{}

	changed chan struct{} // somebody has set a pusher
	mu      sync.Mutex
	setters map[string]bool // who; "": anybody
}

// reviewsAtOnce is how many connections to the database the work takes at most.
const reviewsAtOnce = 4

// New makes the service. Call it before the journal is started.
func New(o Options) *Service {
	s := &Service{
		o: o, metrics: newMetrics(), now: o.Clock.Now, backoff: usualBackoff, saveEach: time.Second, maxInMemory: deliveriesInMemory,
		members: cache.New(o.MemberBytes, weighMembers),
		told:    cache.NewLRU(cache.Options[push.PusherKey, int]{Share: o.CountBytes, Weigh: weighTold}),
		reviews: make(chan struct{}, reviewsAtOnce),
		changed: make(chan struct{}, 1), setters: map[string]bool{},
	}
	s.follower = o.Journal.FollowerOutside("http_pushers", s.lead)
	o.Journal.Observe(journal.Observer{
		Committed: s.committed,
		Reset:     func(journal.Position) { s.members.ForgetAll() },
	})
	o.Push.OnPusherSet(s.pusherSet)
	return s
}

// Start begins to send, until Stop. Call it after the journal has been started.
func (s *Service) Start(ctx context.Context) { s.follower.Start(ctx) }

// Stop ends the work. Requests that are under way get a little time to be answered.
func (s *Service) Stop() { s.follower.Stop() }

// Caches reports the use of the caches.
func (s *Service) Caches() cache.Caches {
	return cache.Caches{"push_members": s.members.Stats, "pushed_counts": s.told.Stats}
}

// committed forgets who is in rooms where that changes.
func (s *Service) committed(_ journal.View, entries []*journal.Entry) {
	for _, entry := range entries {
		c := timeline.ChangeOf(entry)
		for at := range c.Line {
			if at.Type == event.TypeMember {
				s.members.Forget(c.Room)
			}
		}
	}
}

// pusherSet is called when a user has set a pusher; "": any may have.
func (s *Service) pusherSet(userID string) {
	s.mu.Lock()
	s.setters[userID] = true
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *Service) takeSetters() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	setters := s.setters
	s.setters = map[string]bool{}
	return setters
}

func weighMembers(_ journal.RoomNID, users *[]string) int {
	const structs = 24
	if users == nil {
		return structs
	}
	return structs + 16*len(*users) // the texts belong to all rooms
}

func weighTold(key push.PusherKey, _ int) int { return cache.Text(key.AppID, key.Pushkey, key.UserID) }
