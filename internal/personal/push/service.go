package push

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/cache"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/journal/replica"
	"homeserver/internal/rooms/timeline"
)

// Options is what a Service is made of.
type Options struct {
	Pool    *pgxpool.Pool
	Journal *journal.Journal
	Rooms   *timeline.Store
	// ReadUpTo returns how far a user has read rooms; nil: nobody sends receipts.
	ReadUpTo func(ctx context.Context, userID string, rooms []journal.RoomNID) (map[journal.RoomNID]timeline.ReadMarks, error)
	// Ignored returns the users that a user ignores; nil: nobody ignores others.
	Ignored func(ctx context.Context, userID string) (map[string]bool, error)
	// HiddenInvites returns a function that reports whether invites by a sender are hidden from
	// the user; nil: none are. The stamp changes when the function does. HiddenInvites itself
	// is nil where no user hides invites.
	HiddenInvites func(ctx context.Context, userID string) (hides func(sender string) bool, stamp uint64, err error)
	// OwnsEmail reports whether an e-mail address belongs to a user's account; nil:
	// none does.
	OwnsEmail func(ctx context.Context, userID, address string) (bool, error)
	// PlainHTTP allows push gateways without TLS.
	PlainHTTP bool
	// Channel brings other processes the news that a user has set a pusher; nil: there are
	// no other processes.
	Channel *replica.Channel
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Shares is what caches may hold.
	Shares Shares
}

// Shares is how many bytes the rules of users, what rules ask about rooms, the names of
// members, budgets of rules, what is unread, and how much of it there is in all rooms, may
// take in memory; 0: [cache.UsualShare].
type Shares struct{ Rules, Rooms, Names, Budgets, Unread, Badges int }

// Service holds push rules, unread counts and pushers. Its methods may be called
// concurrently; they serve the user whom the caller has authenticated.
type Service struct {
	o       Options
	pool    *pgxpool.Pool
	journal *journal.Journal
	rooms   *timeline.Store
	table   *journal.Table
	turns   cache.Turns // of those who change rules
	reads   cache.Turns // of those who read tables to count
	pushes  cache.Turns // of those who work out what is to be pushed to a user
	now     func() time.Time

	rulesets *cache.Cache[string, Ruleset]
	contexts *cache.Cache[journal.RoomNID, RoomContext]
	names    *cache.Cache[tallyKey, string] // display names of users in rooms
	budgets  *cache.Cache[string, budget]
	tallies  *tallies
	badges   *cache.LRU[string, *badge]

	// onPusher is called with a user who may have set a pusher; "": all may have.
	onPusher []func(userID string)
}

// New makes the service on a migrated database. Call it before the journal is
// started.
func New(o Options) *Service {
	s := newService(o)
	o.Journal.Add(s.table)
	o.Journal.Observe(journal.Observer{Committed: s.committed, Reset: s.reset})
	if o.Channel != nil {
		o.Channel.Handle(kindPusher, s.pusherSet)
		o.Channel.OnMissed(func() { s.pusherSet("") })
	}
	return s
}

// newService makes a service that does not hear of what is committed.
func newService(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Service{
		o: o, pool: o.Pool, journal: o.Journal, rooms: o.Rooms, now: o.Now,
		rulesets: cache.New(o.Shares.Rules, weighRuleset),
		contexts: cache.New(o.Shares.Rooms, weighContext),
		names:    cache.New(o.Shares.Names, weighName),
		budgets:  cache.New(o.Shares.Budgets, weighBudget),
		tallies:  newTallies(o.Shares.Unread),
		badges:   cache.NewLRU(cache.Options[string, *badge]{Share: o.Shares.Badges, Weigh: weighBadge}),
	}
	s.table = &journal.Table{Name: "push_rules", Queue: queueRules, Read: s.readOthers}
	return s
}

// Caches returns how the caches are used.
func (s *Service) Caches() cache.Caches {
	return cache.Caches{
		"push_rules": s.rulesets.Stats, "push_rooms": s.contexts.Stats, "push_names": s.names.Stats, "push_budgets": s.budgets.Stats,
		"unread_counts": s.tallies.stats, "badges": s.badges.Stats,
	}
}

// committed forgets what a group of entries has changed. It runs inside the
// journal.
func (s *Service) committed(_ journal.View, entries []*journal.Entry) {
	for _, entry := range entries {
		if changed, ok := entry.Value.(*Changed); ok {
			s.rulesets.Forget(changed.UserID)
		}
		c := timeline.ChangeOf(entry)
		for at := range c.Line {
			switch at.Type {
			case event.TypeMember:
				s.names.Forget(tallyKey{at.Key, c.Room})
				s.contexts.Forget(c.Room)
			case event.TypePowerLevels, event.TypeCreate, event.TypeName, event.TypeCanonicalAlias:
				s.contexts.Forget(c.Room)
			}
		}
	}
}

// reset forgets everything that others may have changed. Tallies stay: each knows
// the position that it stands at.
func (s *Service) reset(journal.Position) {
	s.rulesets.ForgetAll()
	s.contexts.ForgetAll()
	s.names.ForgetAll()
}

// Ruleset returns all rules of a user.
func (s *Service) Ruleset(ctx context.Context, userID string) (*Ruleset, error) {
	place := s.rulesets.Place(userID)
	if r := place.Load(); r != nil {
		return r, nil
	}
	own, changed, err := s.loadRules(ctx, userID)
	if err != nil {
		return nil, err
	}
	r := newRuleset(userID, own, changed)
	place.Store(r)
	return r, nil
}

// RulesEvent returns the content of the account data m.push_rules of a user, and the
// position of its last change; 0: there was none.
// Client-server API, "Push Rules: Events".
func (s *Service) RulesEvent(ctx context.Context, userID string) (json.RawMessage, journal.Position, error) {
	r, err := s.Ruleset(ctx, userID)
	if err != nil {
		return nil, 0, err
	}
	rules, err := r.MarshalJSON()
	if err != nil {
		return nil, 0, fmt.Errorf("encode the push rules of %s: %w", userID, err)
	}
	return slices.Concat([]byte(`{"global":`), rules, []byte{'}'}), r.Changed, nil
}
