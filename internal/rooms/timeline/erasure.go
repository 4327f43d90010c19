package timeline

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// Erasure says that a user wants to be forgotten. It is the value of its journal
// entry, and does not change.
type Erasure struct{ UserID string }

// Erase marks a user as erased: from then on the user's messages are shown redacted to
// those who have not been in the room by now: see Access. To repeat it changes nothing.
// Client-server API, POST /account/deactivate, erase.
func (s *Store) Erase(ctx context.Context, userID string) error {
	var wasInRooms bool
	err := s.pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM room_state WHERE type = 'm.room.member' AND state_key = $1)
			AND NOT EXISTS (SELECT FROM erased_users WHERE user_id = $1)`, userID).Scan(&wasInRooms)
	if err != nil {
		return fmt.Errorf("find the events of %s: %w", userID, err)
	}
	if !wasInRooms {
		return nil
	}
	return s.journal.Commit(ctx, &journal.Write{Entries: []*journal.Entry{s.erasureEntry(&Erasure{userID})}})
}

// ErasedIn lists the erased users who have been in rooms, by room.
func (s *Store) ErasedIn(ctx context.Context, rooms []journal.RoomNID) (map[journal.RoomNID][]string, error) {
	if err := s.erased.load(ctx, s.pool); err != nil || !s.erased.any() {
		return nil, err
	}
	return s.erasedMembers(ctx, rooms)
}

// erasures has the erased users, and the place in every room since which they are. No
// user is ever taken out.
type erasures struct {
	loaded atomic.Bool
	number atomic.Int64 // of users, so that nobody looks further where there are none

	mu    sync.RWMutex
	users map[string]Place
}

func newErasures() *erasures { return &erasures{users: map[string]Place{}} }

// load reads the erased users, unless they are in memory already.
func (r *erasures) load(ctx context.Context, pool *pgxpool.Pool) error {
	if r.loaded.Load() {
		return nil
	}
	users, err := loadErasures(ctx, pool)
	if err != nil {
		return err
	}
	for userID, at := range users {
		r.add(userID, PlaceOf(at))
	}
	r.loaded.Store(true)
	return nil
}

func (r *erasures) add(userID string, at Place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.users[userID]; !known {
		r.users[userID] = at
		r.number.Add(1)
	}
}

func (r *erasures) any() bool { return r.number.Load() > 0 }

// since returns the place of a user's erasure. A nil *erasures has no users.
func (r *erasures) since(userID string) (at Place, erased bool) {
	if r == nil || !r.any() {
		return 0, false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	at, erased = r.users[userID]
	return at, erased
}

// shown returns an event as the reader is to see it, and the event that has redacted
// it. A nil Access shows everything.
func (a *Access) shown(e *Event) (*event.Event, *Event) {
	shown, because := e.Seen()
	if e.Redacted() || !a.hides(e.Sender, e.Type, e.StateKey != nil, e.Place) {
		return shown, because
	}
	return redactedCopy(shown), nil
}

// ContentOf returns the content of an event as the reader is to see it, a JSON object.
func (a *Access) ContentOf(e *Event) []byte {
	shown, _ := a.shown(e)
	return shown.Content
}

// hides reports whether an event that the reader may see is shown redacted: its sender
// is erased, and the reader could not see it before that. State that is not about
// members is the room's and not its sender's: rooms would lose their names and, worse,
// their encryption.
func (a *Access) hides(sender, typ string, isState bool, p Place) bool {
	if a == nil || isState && typ != event.TypeMember {
		return false
	}
	erased, ok := a.erased.since(sender)
	// Events about the reader's own membership are always shown in full.
	return ok && !a.memberships.isByEventAt(p) && !a.couldSee(p, erased)
}

// couldSee reports whether the reader could see the messages at a place at the time of
// another, having been in the room by then.
func (a *Access) couldSee(p, by Place) bool {
	membership, visibility := a.MembershipAt(p), a.visibilities.At(p, event.VisibilityShared)
	switch {
	case membership == event.Join:
		return true
	case visibility == event.VisibilityInvited:
		return membership == event.Invite
	case visibility == event.VisibilityJoined:
		return false
	}
	return slices.ContainsFunc(a.memberships, func(c Change) bool { return c.Value == event.Join && p < c.From && c.From <= by })
}

// Hidden returns the ranges in which the messages of a user are shown redacted; none
// for a user who is not erased.
func (a *Access) Hidden(userID string) []Range {
	erased, ok := a.erased.since(userID)
	if !ok {
		return nil
	}
	bounds := a.bounds()
	var hidden []Range
	for i, from := range bounds {
		to := unbounded
		if i+1 < len(bounds) {
			to = bounds[i+1] - 1
		}
		if !a.couldSee(from, erased) {
			hidden = append(hidden, Range{from, to})
		}
	}
	return hidden
}

// redactedCopy returns the redacted form of an event that has not been redacted.
func redactedCopy(e *event.Event) *event.Event {
	if e.JSON == nil { // it is kept as clients get it
		redacted := &event.Event{
			ID: e.ID, RoomID: e.RoomID, Type: e.Type, Sender: e.Sender, StateKey: e.StateKey, OriginServerTS: e.OriginServerTS, Version: e.Version,
			Content: event.RedactContent(e.Version, e.Type, e.Content),
		}
		if e.Version.RedactsInContent {
			redacted.Redacts = e.Redacts
		}
		return redacted
	}
	raw, err := event.Redact(e.Version, e.JSON)
	if err == nil {
		if redacted, err := event.ParseTrusted(e.Version, e.ID, raw); err == nil {
			return redacted
		}
	}
	// Every event that could be read has a redacted form; if not, nothing of it is shown.
	return &event.Event{
		ID: e.ID, RoomID: e.RoomID, Type: e.Type, Sender: e.Sender, StateKey: e.StateKey,
		Content: []byte(`{}`), JSON: []byte(`{}`), Version: e.Version,
	}
}
