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
	events, err := r.store.cursor(ctx, stateAt, []journal.RoomNID{v.room}, []Place{at})
	return events, v.access, err
}

// StateEvent returns one entry of a room's state as the user may know it. M_NOT_FOUND
// if the room has none. Client-server API, GET
// /rooms/{roomId}/state/{eventType}/{stateKey}.
func (r Reader) StateEvent(ctx context.Context, roomID, evType, stateKey string) (*Event, *Access, error) {
	v, at, err := r.stateView(ctx, roomID)
	if err != nil {
		return nil, nil, err
	}
	var events []*Event
	if matrix.IsText(evType) && matrix.IsText(stateKey) {
		events, err = r.store.events(ctx, byNumbers(stateAt+`WHERE s.type = $3 AND s.state_key = $4`), []journal.RoomNID{v.room}, []Place{at}, evType, stateKey)
	}
	if err != nil {
		return nil, nil, err
	}
	if len(events) == 0 {
		return nil, nil, matrix.Errorf(matrix.NotFound, "the room has no such state")
	}
	return events[0], v.access, nil
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
		created, err := r.store.creatorJoined(ctx, v.room)
		if err != nil {
			return nil, nil, err
		}
		at = min(at, max(created, *f.At))
	}
	events, err := r.store.membersAt(ctx, v.room, at, f)
	return events, v.access, err
}

// membersAt lists the member events of a room at a place that a filter chooses.
func (s *Store) membersAt(ctx context.Context, nid journal.RoomNID, at Place, f MemberFilter) (*Cursor, error) {
	return s.cursor(ctx, stateAt+`
		WHERE s.type = 'm.room.member'
			AND ($3 = '' AND $4 = '' OR $3 <> '' AND s.value = $3 OR $4 <> '' AND s.value <> $4)`,
		[]journal.RoomNID{nid}, []Place{at}, f.Membership, f.NotMembership)
}

// creatorJoined returns the place at which a room got its first member. PostgreSQL is to go by the
// order of places, and not to look at all members, of which it does not see here that there are any.
func (s *Store) creatorJoined(ctx context.Context, nid journal.RoomNID) (at Place, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT coalesce(min(place), 0) FROM (
			SELECT place FROM room_state WHERE room_nid = $1 AND type || '' = 'm.room.member' ORDER BY place LIMIT 1) m`,
		nid).Scan(&at)
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
