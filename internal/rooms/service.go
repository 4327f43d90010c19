package rooms

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/cache"
	"homeserver/internal/event"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/profile"
	"homeserver/internal/rooms/directory"
	"homeserver/internal/rooms/timeline"
)

// Options has all that a Service needs.
type Options struct {
	Pool     *pgxpool.Pool
	Journal  *journal.Journal
	Profiles *profile.Service
	// Signer signs events as this server; its name is that of the server.
	Signer *event.Signer
	// Keys reads the keys that the server has ever signed with, by their IDs, for the
	// operator's doctor.
	Keys func(ctx context.Context, conn *pgx.Conn) (map[string]ed25519.PublicKey, error)
	// Limits is how much callers may write; nil: as much as they like.
	Limits *ratelimit.Limits
	// Guests picks the guests out of a list of users; nil: there are none.
	Guests func(ctx context.Context, userIDs []string) ([]string, error)
	// BeforeInvites is called with users who are about to be invited; nil: nothing is.
	BeforeInvites func(ctx context.Context, userIDs []string)
	// MayName returns whether a room alias may be made or deleted by an application service,
	// "": by anybody else; nil: any may.
	MayName func(service, alias string) error
	// Shares bounds the caches.
	Shares Shares
	// Now is the clock; nil: the real one.
	Now func() time.Time
	Log *slog.Logger
}

// Shares is how many bytes the state of rooms, transactions, what users may read, and the recent
// parts of rooms may take in memory; 0: [cache.UsualShare].
type Shares struct{ State, Transactions, Access, Recent int }

// Service holds the rules of rooms. Its methods may be called concurrently. The user ID
// that they are given is that of the user who asks, authenticated by the caller.
type Service struct {
	pool       *pgxpool.Pool
	journal    *journal.Journal
	profiles   *profile.Service
	signer     *event.Signer
	serverName string
	limits     *ratelimit.Limits
	guests     func(ctx context.Context, userIDs []string) ([]string, error)
	mayName    func(service, alias string) error
	// beforeInvites is called with users who are about to be invited.
	beforeInvites func(ctx context.Context, userIDs []string)
	now           func() time.Time

	// Timeline reads rooms.
	Timeline *timeline.Store
	// Directory finds rooms by their names.
	Directory *directory.Service

	live      *cache.LRU[string, *live]
	stateUses cache.Uses
	recent    *transactions
	screens   []Screen
	// annotating are the annotations that are being sent.
	annotating claims
	// lastCreation is when the newest room was created here.
	lastCreation atomic.Int64
}

// New makes the service. Call it before the journal is started.
func New(o Options) *Service {
	s := &Service{
		pool: o.Pool, journal: o.Journal, profiles: o.Profiles, signer: o.Signer,
		serverName: o.Signer.ServerName, limits: o.Limits, guests: o.Guests, mayName: o.MayName, beforeInvites: o.BeforeInvites, now: o.Now,
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.beforeInvites == nil {
		s.beforeInvites = func(context.Context, []string) {}
	}
	s.live = newLiveRooms(o.Shares.State)
	s.recent = newTransactions(o.Shares.Transactions)
	s.Timeline = timeline.New(timeline.Options{
		Pool: o.Pool, Journal: o.Journal, Committed: s.committed, Known: s.known, ServerName: s.serverName, Keys: o.Keys,
		Shares: timeline.Shares{Access: o.Shares.Access, Recent: o.Shares.Recent}, Log: o.Log,
	})
	s.Directory = directory.New(o.Pool, s.serverName)
	return s
}

// committed brings a committed change to the room in memory: it applies redactions of state
// there, and changes that were not staged in this process.
func (s *Service) committed(c timeline.RoomChange, was *timeline.Staged) {
	r, ok := s.live.Peek(c.RoomID)
	if !ok {
		return
	}
	if was != nil && was.Redacted != nil && was.Target.StateKey != nil {
		r.redact(was, c.Event)
	}
	if was == nil || was.Elsewhere {
		r.follow(c)
		s.weigh(r)
	}
}

// known returns the number of a room that is in memory.
func (s *Service) known(roomID string) (journal.RoomNID, bool) {
	if r, ok := s.live.Peek(roomID); ok {
		return r.nid, true
	}
	return 0, false
}

// isLocal reports whether a user is of this server.
func (s *Service) isLocal(userID string) bool {
	_, server, err := matrix.ParseUserID(userID)
	return err == nil && server == s.serverName
}
