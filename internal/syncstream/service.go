package syncstream

import (
	"cmp"
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/cache"
	"homeserver/internal/e2ee/devicekeys"
	"homeserver/internal/e2ee/todevice"
	"homeserver/internal/journal"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/presence"
	"homeserver/internal/personal/push"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/personal/typing"
	"homeserver/internal/rooms/timeline"
)

// Options has all that a Service needs. Only the last two may be missing.
type Options struct {
	Pool    *pgxpool.Pool
	Journal *journal.Journal
	Rooms   *timeline.Store
	Data    *accountdata.Service
	// HiddenInvites returns whether invites by another user are not shown to a user; nil: all
	// are, as where HiddenInvites is nil. The stamp changes with the answers.
	HiddenInvites func(ctx context.Context, userID string) (hides func(sender string) bool, stamp uint64, err error)
	Receipts      *receipts.Service
	Push          *push.Service
	Typing        *typing.Service
	Presence      *presence.Service
	Keys          *devicekeys.Service
	ToDevice      *todevice.Service
	// Ticks is the clock that typing and presence go by.
	Ticks *journal.Ticks
	// Shares bounds the caches.
	Shares Shares
	// Now is the clock; nil: the real one.
	Now func() time.Time
}

// Shares are the bytes that may be used in memory for the standing of users in rooms,
// for the members that their devices know, for their filters, and for connections of sliding sync
// with what their lists need; 0:
// [cache.UsualShare].
type Shares struct{ Viewers, Members, Filters, Connections int }

// Service answers /sync. Its methods may be called concurrently.
type Service struct {
	Options
	viewers *viewers
	lazy    *lazyMembers
	// What sliding sync needs beside the others.
	facts       *roomFacts
	labels      *roomLabels
	connections *connections
	seed        maphash.Seed
	filters     *cache.LRU[storedFilter, *keptFilter]
	// inline are the filters of requests for /sync, and inlineEvents those of others.
	inline       *inlineFilters[Filter]
	inlineEvents *inlineFilters[timeline.EventFilter]
	metrics      *metrics

	stopOnce sync.Once
	stopping chan struct{}
}

// New makes the service. Call it before the journal is started.
func New(o Options) *Service {
	s := &Service{Options: o, metrics: newMetrics(), stopping: make(chan struct{})}
	if s.Now == nil {
		s.Now = time.Now
	}
	s.viewers = newViewers(o.Rooms, o.Data, o.Journal, o.Shares.Viewers)
	s.lazy = newLazyMembers(o.Shares.Members)
	filters := cmp.Or(o.Shares.Filters, cache.UsualShare)
	s.filters = cache.NewLRU(cache.Options[storedFilter, *keptFilter]{Share: filters / 2, Weigh: weighStored})
	s.inline = newInlineFilters(filters/4, parseFilter, func(f *Filter) int { return f.fields.weigh() })
	s.inlineEvents = newInlineFilters(filters/4, parseEventFilter, func(*timeline.EventFilter) int { return 0 })
	connections := cmp.Or(o.Shares.Connections, cache.UsualShare)
	s.facts, s.labels = newRoomFacts(o.Rooms, connections/4), newRoomLabels(o.Data, connections/4)
	s.connections = newConnections(&connectionStore{o.Pool}, connections/2, s.Now)
	s.seed = maphash.MakeSeed()
	for _, observer := range []journal.Observer{
		{Committed: s.facts.committed, Reset: func(journal.Position) { s.facts.known.ForgetAll() }},
		{Committed: s.labels.committed, Reset: func(journal.Position) { s.labels.known.ForgetAll() }},
		{Committed: s.viewers.committed, Reset: s.viewers.reset},
	} {
		o.Journal.Observe(observer)
	}
	return s
}

// Release makes waiting requests answer at once, and later ones not wait.
func (s *Service) Release() { s.stopOnce.Do(func() { close(s.stopping) }) }
