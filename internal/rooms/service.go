package rooms

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/cache"
	"homeserver/internal/event"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/postgres"
	"homeserver/internal/profile"
)

// Options is what a Service is made of.
type Options struct {
	Pool     *pgxpool.Pool
	Journal  *journal.Journal
	Profiles *profile.Service
	// Signer signs events as this server; its name is that of the server.
	Signer *event.Signer
	// Limits is how much callers may write; nil: as much as they like.
	Limits *ratelimit.Limits
	// Guests picks the guests out of a list of users; nil: there are none.
	Guests func(ctx context.Context, userIDs []string) ([]string, error)
	// Shares is what caches may hold.
	Shares Shares
	// Now is the clock; nil: the real one.
	Now func() time.Time
	Log *slog.Logger
	// Damage is told of rows that cannot be read; nil: Log is.
	Damage *postgres.Damage
}

// Shares is how many bytes the state of rooms, and transactions, may take in memory;
// 0: [cache.UsualShare].
type Shares struct{ State, Transactions int }

// Service holds the rules of rooms. Its methods may be called concurrently.
// They take the ID of the user who asks, whom the caller has authenticated.
type Service struct {
	pool       *pgxpool.Pool
	journal    *journal.Journal
	profiles   *profile.Service
	signer     *event.Signer
	serverName string
	limits     *ratelimit.Limits
	guests     func(ctx context.Context, userIDs []string) ([]string, error)
	now        func() time.Time
	log        *slog.Logger
	damage     *postgres.Damage

	table, forgottenTable, erasureTable *journal.Table

	live      *cache.LRU[string, *live]
	stateUses cache.Uses
	recent    *transactions
	erased    *erasures
	// lastCreation is when the newest room was created here.
	lastCreation atomic.Int64
}

// New makes the service. Call it before the journal is started.
func New(o Options) *Service {
	s := &Service{
		pool: o.Pool, journal: o.Journal, profiles: o.Profiles, signer: o.Signer,
		serverName: o.Signer.ServerName, limits: o.Limits, guests: o.Guests, now: o.Now, log: o.Log, damage: o.Damage,
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.damage == nil {
		s.damage = postgres.NewDamage(o.Log)
	}
	s.erased = newErasures()
	s.live = newLiveRooms(o.Shares.State)
	s.recent = newTransactions(o.Shares.Transactions)
	s.table = &journal.Table{Name: "events", Queue: queueEvents, Read: s.readOthers}
	o.Journal.Add(s.table)
	s.forgottenTable = &journal.Table{Name: "forgotten_rooms", Queue: queueForgotten, Read: s.readForgotten}
	o.Journal.Add(s.forgottenTable)
	s.erasureTable = &journal.Table{Name: "erased_users", Queue: queueErasures, Read: s.readErasures}
	o.Journal.Add(s.erasureTable)
	// What else is missed here shows in the heads of rooms, which each commit checks.
	o.Journal.Observe(journal.Observer{Committed: s.committed, Reset: func(journal.Position) { s.erased.loaded.Store(false) }})
	return s
}

// committed finishes the events of a group: it lets go of what was needed for
// writing them, and shows redactions on events that are in memory. What another
// process has written moves the room in memory along.
func (s *Service) committed(v journal.View, entries []*journal.Entry) {
	for _, entry := range entries {
		if erasure, ok := entry.Value.(*Erasure); ok {
			s.erased.add(erasure.UserID, entry.Position)
		}
		e := eventOf(entry)
		if e == nil {
			continue
		}
		written := e.draft
		e.draft = nil
		if e.Replaces != nil {
			e.Replaces.settle()
		}
		if written.redacted != nil {
			s.showRedaction(v, written, e)
		}
		if r, ok := s.live.Peek(e.RoomID); ok && written.elsewhere {
			r.follow(e)
			s.weigh(r)
		}
	}
}

// showRedaction shows a redaction wherever its target stands in memory: in the
// window, as the state of its room, and in the event that has replaced it.
func (s *Service) showRedaction(v journal.View, w *staged, because *Event) {
	became := &redaction{redacted: w.redacted, because: because}
	if old := v.At(w.target.Position); old != nil {
		if e := eventOf(old); e != nil {
			e.redaction.CompareAndSwap(nil, became)
		}
	}
	if w.target.StateKey == nil {
		return
	}
	if r, ok := s.live.Peek(because.RoomID); ok {
		r.redact(w.target, became)
	}
	if v.Covers(w.target.Position) {
		redactReplaced(v.About(journal.Topic{Room: because.Room}, w.target.Position), w)
	}
}

// redactReplaced finds the event that replaced the target of a redaction.
func redactReplaced(after []*journal.Entry, w *staged) {
	for _, entry := range after {
		if e := eventOf(entry); e != nil && e.Replaces != nil && e.Replaces.EventID == w.target.ID {
			e.Replaces.show(w.redacted.Content)
			return
		}
	}
}

// errNotInRoom is what somebody gets who has no business in a room, whether
// there is one or not.
func errNotInRoom() error {
	return matrix.Errorf(matrix.Forbidden, "you are not in this room")
}

// isLocal reports whether a user is of this server.
func (s *Service) isLocal(userID string) bool {
	_, server, err := matrix.ParseUserID(userID)
	return err == nil && server == s.serverName
}

// newNID takes the number for a new room.
func (s *Service) newNID(ctx context.Context) (nid journal.RoomNID, err error) {
	if err := s.pool.QueryRow(ctx, `SELECT nextval('room_nids')`).Scan(&nid); err != nil {
		return 0, fmt.Errorf("number a new room: %w", err)
	}
	return nid, nil
}
