package timeline

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/cache"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/postgres"
)

// Options has all that a Store needs.
type Options struct {
	Pool    *pgxpool.Pool
	Journal *journal.Journal
	// Committed, unless it is nil, is called for each committed change of a room, in their
	// order, with what was staged for its event; nil where there is none.
	Committed func(c RoomChange, was *Staged)
	// Known, where it is not nil, knows the numbers of some rooms without the database.
	Known func(roomID string) (nid journal.RoomNID, ok bool)
	// ServerName is that of this server, and Keys reads the keys that it has ever signed
	// with, by their IDs. They are for the operator's doctor.
	ServerName string
	Keys       func(ctx context.Context, conn *pgx.Conn) (map[string]ed25519.PublicKey, error)
	// Shares bounds the caches.
	Shares Shares
	Log    *slog.Logger
}

// Shares is how many bytes may be used in memory for what users may read, and for the recent parts
// of rooms; 0: [cache.UsualShare].
type Shares struct{ Access, Recent int }

// Store reads and writes rooms. Its methods may be called concurrently.
type Store struct {
	pool    *pgxpool.Pool
	journal *journal.Journal
	o       Options
	damage  *postgres.Damage

	table, forgottenTable, erasureTable *journal.Table

	erased    *erasures
	relatives *relatives
	accesses  *knownAccess
	versions  *roomVersions
	recents   *recents
}

// Stored returns a Store that reads from the database alone: its events have the bytes that are
// federated.
func (s *Store) Stored() *Store {
	stored := *s
	stored.recents = nil
	return &stored
}

// New makes the store, and adds its tables to the journal. Call it before the journal is
// started.
func New(o Options) *Store {
	s := &Store{
		pool: o.Pool, journal: o.Journal, o: o, damage: postgres.NewDamage(o.Log),
		erased: newErasures(), relatives: newRelatives(), accesses: newKnownAccess(o.Shares.Access), versions: newRoomVersions(),
		recents: newRecents(o.Shares.Recent),
	}
	s.table = &journal.Table{Name: "events", Queue: queueEvents, Read: s.readOthers}
	o.Journal.Add(s.table)
	s.forgottenTable = &journal.Table{Name: "forgotten_rooms", Queue: queueForgotten, Read: s.readForgotten}
	o.Journal.Add(s.forgottenTable)
	s.erasureTable = &journal.Table{Name: "erased_users", Queue: queueErasures, Read: s.readErasures}
	o.Journal.Add(s.erasureTable)
	// All else that is missed here is found by the heads of rooms, which each commit
	// checks.
	o.Journal.Observe(journal.Observer{Committed: s.committed, Reset: s.reset})
	return s
}

// reset is called where entries were missed: what is kept by them is read anew.
func (s *Store) reset(p journal.Position) {
	s.erased.loaded.Store(false)
	s.relatives.reset(p)
	s.accesses.reset()
	s.recents.reset()
}

// Caches reports the use of the caches.
func (s *Store) Caches() cache.Caches {
	return cache.Caches{"access": s.accesses.kept.Stats, "recent_rooms": s.recents.stats}
}

// committed finishes the events of a group: it drops what was needed for writing them,
// and applies redactions to events that are in memory.
func (s *Store) committed(v journal.View, entries []*journal.Entry) {
	s.relatives.add(v, entries)
	s.accesses.committed(entries)
	for _, entry := range entries {
		if erasure, ok := entry.Value.(*Erasure); ok {
			s.erased.add(erasure.UserID, PlaceOf(entry.Position))
		}
		c, was := ChangeOf(entry), (*Staged)(nil)
		if c.Event != nil {
			was = c.Event.Settle()
			if was.Redacted != nil {
				showRedaction(v, was, c.Event)
			}
		}
		if c.RoomID != "" {
			s.recents.committed(c, was)
		}
		if s.o.Committed != nil && c.RoomID != "" {
			s.o.Committed(c, was)
		}
	}
}

// showRedaction applies a redaction wherever its target is in the window: to the event,
// and in the changes after it.
func showRedaction(v journal.View, was *Staged, because *Event) {
	if old := v.At(was.Target.Position); old != nil {
		if e := EventOf(old); e != nil {
			e.Redact(was.Redacted, because)
		}
	}
	if was.Target.StateKey != nil { // what has replaced it may be in the window where it is not
		for _, entry := range v.About(journal.Topic{Room: because.Room}, was.Target.Position) {
			redactIn(ChangeOf(entry), was, because)
		}
	}
}

// redactIn applies a redaction in a later change: to the content that its event has
// replaced, and to the target as it holds again.
func redactIn(c RoomChange, was *Staged, because *Event) {
	if e := c.Event; e != nil && e.Replaces != nil && e.Replaces.EventID == was.Target.ID {
		e.Replaces.show(was.Redacted.Content)
	}
	for _, at := range c.Intervals {
		if at.Event != nil && at.Event.ID == was.Target.ID {
			at.Event.Redact(was.Redacted, because)
		}
	}
}

// ErrNotInRoom is the M_FORBIDDEN for users outside of a room; it is the same if there
// is no such room.
func ErrNotInRoom() error {
	return matrix.Errorf(matrix.Forbidden, "you are not in this room")
}

// NewNumber reserves the number for a new room.
func (s *Store) NewNumber(ctx context.Context) (nid journal.RoomNID, err error) {
	if err := s.pool.QueryRow(ctx, `SELECT nextval('room_nids')`).Scan(&nid); err != nil {
		return 0, fmt.Errorf("number a new room: %w", err)
	}
	return nid, nil
}
