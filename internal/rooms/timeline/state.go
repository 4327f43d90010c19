package timeline

import (
	"context"
	"fmt"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

// State lists the state of a room as the user may know it. Client-server API,
// GET /rooms/{roomId}/state.
func (r Reader) State(ctx context.Context, roomID string) (*Cursor, *Access, error) {
	v, at, err := r.stateView(ctx, roomID)
	if err != nil {
		return nil, nil, err
	}
	events, err := r.store.wholeState(ctx, v.room, func(of *recent) ([]*Event, bool) {
		return of.stateAt(at, nil, true)
	}, stateAt, []journal.RoomNID{v.room}, []Place{at})
	return events, v.access, err
}

// wholeState lists the state of a room, or its members: from its recent part, which is read if
// it is not in memory, and else the events with the numbers of a query.
func (s *Store) wholeState(
	ctx context.Context, room journal.RoomNID, read func(of *recent) ([]*Event, bool), numbers string, args ...any,
) (*Cursor, error) {
	if err := s.Recall(ctx, []journal.RoomNID{room}); err != nil {
		return nil, err
	}
	if events, ok := inRecent(s.recents, room, read); ok {
		return s.Cursor(List{Events: events}), nil
	}
	return s.cursor(ctx, numbers, args...)
}

// StateEvent returns one entry of a room's state as the user may know it. M_NOT_FOUND
// if the room has none. Client-server API, GET
// /rooms/{roomId}/state/{eventType}/{stateKey}.
func (r Reader) StateEvent(ctx context.Context, roomID, evType, stateKey string) (*Event, *Access, error) {
	v, at, err := r.stateView(ctx, roomID)
	if err != nil {
		return nil, nil, err
	}
	e, err := r.store.stateEntry(ctx, v.room, at, event.StateKey{Type: evType, Key: stateKey})
	if err == nil && e == nil {
		err = matrix.Errorf(matrix.NotFound, "the room has no such state")
	}
	return e, v.access, err
}

// stateEntry returns an entry of the state of a room at a place; nil: there is none.
func (s *Store) stateEntry(ctx context.Context, room journal.RoomNID, at Place, key event.StateKey) (*Event, error) {
	if e, ok := inRecent(s.recents, room, func(of *recent) (*Event, bool) { return of.entryAt(at, key) }); ok {
		return e, nil
	}
	if !matrix.IsText(key.Type) || !matrix.IsText(key.Key) {
		return nil, nil
	}
	events, err := s.events(ctx, byNumbers(stateAt+`WHERE s.type = $3 AND s.state_key = $4`), []journal.RoomNID{room}, []Place{at}, key.Type, key.Key)
	if err != nil || len(events) == 0 {
		return nil, err
	}
	return events[0], nil
}

// MemberFilter chooses members: those with Membership, or those without NotMembership;
// all if both are "". At is the time; nil: the latest that the user may know. A time
// before the room existed counts as the moment of its creation: clients mean that by
// the prev_batch of a timeline that begins with it.
type MemberFilter struct {
	Membership, NotMembership string
	At                        *Place
}

func (f *MemberFilter) check() error {
	known := []string{"", event.Join, event.Invite, event.Leave, event.Ban, event.Knock}
	if !slices.Contains(known, f.Membership) || !slices.Contains(known, f.NotMembership) {
		return matrix.Errorf(matrix.InvalidParam, "a membership is join, invite, knock, leave or ban")
	}
	return nil
}

// match reports whether the filter chooses a membership. It agrees with the SQL of membersAt.
func (f *MemberFilter) match(membership string) bool {
	switch {
	case f.Membership == "" && f.NotMembership == "":
		return true
	case membership == "":
		return false
	}
	return membership == f.Membership || f.NotMembership != "" && membership != f.NotMembership
}

// Members lists the member events of a room. M_INVALID_PARAM for a membership
// that does not exist. Client-server API, GET /rooms/{roomId}/members.
func (r Reader) Members(ctx context.Context, roomID string, f MemberFilter) (*Cursor, *Access, error) {
	if err := f.check(); err != nil {
		return nil, nil, err
	}
	v, at, err := r.stateView(ctx, roomID)
	if err != nil {
		return nil, nil, err
	}
	if f.At != nil {
		since, err := r.store.sinceCreation(ctx, v.room, *f.At)
		if err != nil {
			return nil, nil, err
		}
		at = min(at, since)
	}
	events, err := r.store.membersAt(ctx, v.room, at, f)
	return events, v.access, err
}

// membersAt lists the member events of a room at a place that a filter chooses.
func (s *Store) membersAt(ctx context.Context, room journal.RoomNID, at Place, f MemberFilter) (*Cursor, error) {
	return s.wholeState(ctx, room, func(of *recent) ([]*Event, bool) { return of.membersAt(at, f) }, stateAt+`
		WHERE s.type = 'm.room.member'
			AND ($3 = '' AND $4 = '' OR $3 <> '' AND s.value = $3 OR $4 <> '' AND s.value <> $4)`,
		[]journal.RoomNID{room}, []Place{at}, f.Membership, f.NotMembership)
}

// sinceCreation returns a place, or that at which the room got its first member, if it is later.
// PostgreSQL is to go by the order of places, and not to look at all members, of which it does not
// see here that there are any.
func (s *Store) sinceCreation(ctx context.Context, room journal.RoomNID, at Place) (Place, error) {
	if created, ok := inRecent(s.recents, room, func(of *recent) (Place, bool) { return of.firstMember(at) }); ok {
		return max(created, at), nil
	}
	err := s.pool.QueryRow(ctx, `
		SELECT greatest($2, (
			SELECT place FROM room_state WHERE room_nid = $1 AND type || '' = 'm.room.member' ORDER BY place LIMIT 1))`,
		room, at).Scan(&at)
	if err != nil {
		return 0, fmt.Errorf("find the first member of a room: %w", err)
	}
	return at, nil
}

// JoinedMembers lists the member events of the users in a room now. M_FORBIDDEN unless
// the asker is one of them. Client-server API, GET /rooms/{roomId}/joined_members.
func (r Reader) JoinedMembers(ctx context.Context, roomID string) (*Cursor, error) {
	v, err := r.view(ctx, roomID)
	if err != nil {
		return nil, err
	}
	if err := v.access.MustBeJoined(); err != nil {
		return nil, err
	}
	return r.store.membersAt(ctx, v.room, v.now, MemberFilter{Membership: event.Join})
}
