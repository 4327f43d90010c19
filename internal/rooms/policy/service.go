package policy

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/journal"
	"homeserver/internal/rooms/directory"
	"homeserver/internal/rooms/timeline"
)

// Options has all that a Service needs.
type Options struct {
	Pool *pgxpool.Pool
	// Journal brings the changes of rules; nil: there are none, as in the operator's commands.
	Journal    *journal.Journal
	Directory  *directory.Service
	ServerName string
	// Lists are the IDs or aliases of the rooms with rules; empty: there are no rules.
	Lists []string
	// DryRun: nothing is refused; the log says what would be.
	DryRun bool
	// Admins picks the administrators of this server out of a list of users; nil: there are
	// none.
	Admins func(ctx context.Context, userIDs []string) ([]string, error)
	Now    func() time.Time // the clock; nil: time.Now
	Log    *slog.Logger     // nil: slog.Default
}

// Service holds the rules, and applies them. Its methods may be called concurrently.
type Service struct {
	o       Options
	aliased bool // some lists are named by aliases
	metrics *metrics
	// turn is held while the rules are loaded.
	turn chan struct{}

	mu    sync.RWMutex
	table *table // nil: they have to be loaded
	lists []string
	// lookAgain is when aliases are to be resolved again.
	lookAgain time.Time
	// loading: they are being loaded, and what changes meanwhile is in changed. missed: more
	// has changed than is known.
	loading, missed bool
	changed         []timeline.RoomChange
}

const (
	// aliasesFor is how long a room counts as that of an alias, without another look.
	aliasesFor = time.Minute
	// maxChanged bounds the changes that are noted while rules are loaded.
	maxChanged = 10_000
)

// New makes a Service. Call it before the journal is started.
func New(o Options) *Service {
	s := &Service{o: o, metrics: newMetrics(o.DryRun), turn: make(chan struct{}, 1)}
	if s.o.Now == nil {
		s.o.Now = time.Now
	}
	if s.o.Log == nil {
		s.o.Log = slog.Default()
	}
	s.aliased = slices.ContainsFunc(o.Lists, isAlias)
	if o.Journal != nil && len(o.Lists) > 0 {
		o.Journal.Observe(journal.Observer{Committed: s.committed, Reset: s.reset})
	}
	return s
}

func isAlias(name string) bool { return strings.HasPrefix(name, "#") }

// Start loads the rules.
func (s *Service) Start(ctx context.Context) error { return s.ready(ctx) }

// ready loads the rules unless they are known, and looks from time to time whether the
// aliases of lists still name the same rooms.
func (s *Service) ready(ctx context.Context) error {
	if s.isReady() {
		return nil
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // the caller's own
	}
	for !s.isReady() { // unless another has loaded them, or so much has changed that it was missed
		if err := s.prepare(ctx); err != nil {
			return err
		}
	}
	return nil
}

// prepare resolves the names of lists, and loads the rules unless they are known.
func (s *Service) prepare(ctx context.Context) error {
	lists, err := s.resolve(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.lookAgain = s.o.Now().Add(aliasesFor)
	known := s.table != nil && slices.Equal(lists, s.lists)
	if !known {
		s.table, s.lists, s.loading, s.changed, s.missed = nil, lists, true, nil, false
	}
	s.mu.Unlock()
	if known {
		return nil
	}
	return s.load(ctx, lists)
}

func (s *Service) isReady() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.o.Lists) == 0 || s.table != nil && (!s.aliased || s.o.Now().Before(s.lookAgain))
}

// resolve returns the IDs of the lists' rooms.
func (s *Service) resolve(ctx context.Context) ([]string, error) {
	var aliases, lists []string
	for _, name := range s.o.Lists {
		if isAlias(name) {
			aliases = append(aliases, name)
		} else {
			lists = append(lists, name)
		}
	}
	if len(aliases) > 0 {
		found, err := s.o.Directory.RoomsOf(ctx, aliases)
		if err != nil {
			return nil, err
		}
		for _, alias := range aliases {
			if roomID := found[alias]; roomID != "" {
				lists = append(lists, roomID)
			} else {
				s.o.Log.WarnContext(ctx, "a policy list is not applied: there is no room with this alias", "alias", alias)
			}
		}
	}
	slices.Sort(lists)
	return slices.Compact(lists), nil
}

// load reads the rules, and then what has changed meanwhile.
func (s *Service) load(ctx context.Context, lists []string) error {
	t := newTable(s.o.ServerName)
	err := timeline.EachState(ctx, s.o.Pool, lists, typeNames(), func(e timeline.StoredState) {
		at := place{e.RoomID, e.StateKey}
		t.put(at, e.From, newRule(at, e.From, e.EventID, e.Content))
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loading = false
	if err != nil {
		return fmt.Errorf("load the rules of policy lists: %w", err)
	}
	if s.missed {
		return nil
	}
	s.table = t
	for _, c := range s.changed {
		t.change(c)
	}
	s.changed = nil
	s.report()
	return nil
}

// reset is called when entries were missed.
func (s *Service) reset(journal.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table, s.missed = nil, true
}

// committed brings the rules up to date. It runs inside the journal.
func (s *Service) committed(_ journal.View, entries []*journal.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, entry := range entries {
		if c := timeline.ChangeOf(entry); slices.Contains(s.lists, c.RoomID) {
			s.note(c)
		}
	}
}

// note applies a change of a list.
func (s *Service) note(c timeline.RoomChange) {
	switch {
	case s.loading && len(s.changed) < maxChanged:
		s.changed = append(s.changed, c)
	case s.loading:
		s.missed = true
	case s.table != nil:
		s.table.change(c)
		s.report()
	}
}

// change applies a change of a list.
func (t *table) change(c timeline.RoomChange) {
	if c.Event != nil && c.Event.Redacts != "" {
		if r := t.byEvent[c.Event.Redacts]; r != nil && r.List == c.RoomID {
			t.remove(r)
		}
	}
	for i := range c.Line {
		if _, ok := types[i.Type]; !ok {
			continue
		}
		at := place{c.RoomID, i.StateKey}
		var r *Rule
		if i.Event != nil {
			r = newRule(at, i.From, i.Event.ID, i.Event.Content())
		}
		t.put(at, i.From, r)
	}
}
