package transactions

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/appservice"
	"homeserver/internal/appservice/registration"
	"homeserver/internal/cache"
	"homeserver/internal/clock"
	"homeserver/internal/e2ee/devicekeys"
	"homeserver/internal/e2ee/todevice"
	"homeserver/internal/journal"
	"homeserver/internal/journal/replica"
	"homeserver/internal/personal/presence"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/personal/typing"
	"homeserver/internal/rooms/timeline"
)

// Options is what a Service is made of.
type Options struct {
	Pool    *pgxpool.Pool
	Journal *journal.Journal
	// Channel carries signs of life to the process that leads; nil: there is no other.
	Channel *replica.Channel
	Rooms   *timeline.Store
	// Aliases returns the aliases of this server that point to rooms now.
	Aliases  func(ctx context.Context, rooms []journal.RoomNID) (map[journal.RoomNID][]string, error)
	Receipts *receipts.Service
	Typing   *typing.Service
	Presence *presence.Service
	ToDevice *todevice.Service
	Keys     *devicekeys.Service
	// Ticks is the clock of typing and presence.
	Ticks *journal.Ticks
	// Services are those that there are.
	Services *appservice.Service
	// RoomBytes is what may be kept in memory of which rooms concern services; 0:
	// [cache.UsualShare].
	RoomBytes int
	Log       *slog.Logger
	// Clock is the time; nil: the real one.
	Clock *clock.Clock
}

// Service sends transactions. Of all processes on a database one does.
type Service struct {
	o        Options
	follower *journal.Follower // nil: there is nobody to send to
	lanes    []*lane
	byID     map[string]*lane
	metrics  *metrics
	now      func() time.Time
	backoff  backoff
	saveEach time.Duration
	// reading bounds how many services have the database read at the same time.
	reading chan struct{}
	leading atomic.Bool

	mu     sync.Mutex
	signed map[string]time.Time // when other processes were told last that a service lives
}

// readingAtOnce is how many connections to the database the work takes at most.
const readingAtOnce = 4

// New makes the service. Call it before the journal and the channel are started.
func New(o Options) *Service {
	if o.RoomBytes == 0 {
		o.RoomBytes = cache.UsualShare
	}
	s := &Service{
		o: o, byID: map[string]*lane{}, metrics: newMetrics(), now: o.Clock.Now, backoff: usualBackoff, saveEach: 5 * time.Second,
		reading: make(chan struct{}, readingAtOnce), signed: map[string]time.Time{},
	}
	called := slices.DeleteFunc(slices.Clone(o.Services.Registrations()), func(r *registration.Registration) bool { return r.URL == "" })
	if len(called) == 0 {
		return s
	}
	for _, r := range called {
		s.metrics.know(r.ID)
		l := newLane(s, r, o.RoomBytes/len(called))
		s.lanes = append(s.lanes, l)
		s.byID[r.ID] = l
	}
	s.follower = o.Journal.FollowerOutside("app_services", s.lead)
	o.Journal.Observe(journal.Observer{
		Committed: func(journal.View, []*journal.Entry) {},
		Reset: func(journal.Position) { // which may be because the database was set back
			for _, l := range s.lanes {
				l.outdate(0)
			}
		},
	})
	o.Ticks.OnNext(func() { s.wake((*lane).getsEphemeral) })
	if o.Channel != nil {
		o.Channel.Handle(kindAlive, func(id string) { s.live(id, false) })
		o.Channel.Handle(kindAlias, s.onAlias)
		o.Channel.OnMissed(func() { s.aliasesChanged(0) })
	}
	return s
}

// Start begins to send, until Stop, and forgets services that there are no more. Call it
// after the journal has been started.
func (s *Service) Start(ctx context.Context) error {
	if s.follower == nil {
		return s.forgetOthers(ctx)
	}
	s.follower.Start(ctx)
	return nil
}

// Stop ends the work. Requests that are under way get a little time to be answered.
func (s *Service) Stop() {
	if s.follower != nil {
		s.follower.Stop()
	}
}

// Caches reports the use of the memory for rooms.
func (s *Service) Caches() cache.Caches {
	return cache.Caches{"app_service_rooms": func() (all cache.Stats) {
		for _, l := range s.lanes {
			one := l.rooms.Stats()
			all.Entries, all.Bytes = all.Entries+one.Entries, all.Bytes+one.Bytes
			all.Hits, all.Misses = all.Hits+one.Hits, all.Misses+one.Misses
		}
		return all
	}}
}

// wake has services look for news.
func (s *Service) wake(which func(*lane) bool) {
	for _, l := range s.lanes {
		if which(l) {
			signal(l.more)
		}
	}
}

func (l *lane) getsEphemeral() bool { return l.r.ReceiveEphemeral }

// signal puts a signal into a channel that holds one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// errDeposed says that another process leads.
var errDeposed = errors.New("another process sends to application services")

// lead sends to all services for as long as this process leads.
func (s *Service) lead(ctx context.Context, t *journal.Trail) error {
	leader := rand.Text()
	if err := s.forgetOthers(ctx); err != nil {
		return err
	}
	stored, err := s.claim(ctx, leader)
	if err != nil {
		return err
	}
	s.leading.Store(true)
	defer func() {
		s.leading.Store(false)
		for _, l := range s.lanes {
			s.metrics.stands(l.r.ID, 0, false) // another process knows
		}
	}()
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, len(s.lanes))
	for _, l := range s.lanes {
		go func() { ended <- l.lead(running, t, leader, stored[l.r.ID]) }()
	}
	left, save := len(s.lanes), time.NewTicker(s.saveEach)
	defer save.Stop()
	for left == len(s.lanes) && err == nil && ctx.Err() == nil {
		select {
		case <-t.More():
			s.wake(func(*lane) bool { return true })
		case <-save.C:
			err = s.save(ctx, t)
		case err = <-ended:
			left--
		case <-ctx.Done():
		}
	}
	cancel()
	for ; left > 0; left-- {
		err = errors.Join(err, <-ended)
	}
	return errors.Join(err, s.save(context.WithoutCancel(ctx), t))
}

// save stores how far the slowest service has come, and reports how all stand: that is for
// the operator.
func (s *Service) save(ctx context.Context, t *journal.Trail) error {
	now := s.o.Journal.Position()
	slowest := now
	for _, l := range s.lanes {
		reached := journal.Position(l.reached.Load())
		slowest = min(slowest, reached)
		s.metrics.stands(l.r.ID, now-reached, l.failing.Load())
	}
	if slowest == t.Taken() {
		return nil
	}
	t.PutBack(slowest)
	return t.Save(ctx, func(pgx.Tx) error { return nil })
}
