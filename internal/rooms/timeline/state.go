package timeline

import (
	"context"
	"fmt"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

// errNoEvent answers for an event that is not there, or not for this reader.
func errNoEvent() error { return matrix.Errorf(matrix.NotFound, "there is no such event") }

// readable finds a room and what a user may read of it. M_FORBIDDEN if there is
// no such room, as for a room that the user has nothing to do with.
func (s *Store) readable(ctx context.Context, userID, roomID string) (journal.RoomNID, *Access, error) {
	if !matrix.IsRoomID(roomID) {
		return 0, nil, matrix.Errorf(matrix.InvalidParam, "this is not a room ID")
	}
	changes, err := s.readAccess(ctx, `r.room_id = $1`, roomID, userID)
	if err != nil {
		return 0, nil, err
	}
	for nid, c := range changes {
		return nid, c.Access(), nil
	}
	return 0, nil, ErrNotInRoom()
}

// MustBeJoined refuses who is not in a room: M_FORBIDDEN, also if there is no
// such room.
func (s *Store) MustBeJoined(ctx context.Context, userID, roomID string) error {
	_, access, err := s.readable(ctx, userID, roomID)
	if err != nil {
		return err
	}
	return access.MustBeJoined()
}

func (a *Access) MustBeJoined() error {
	if membership, _ := a.Membership(); membership != event.Join {
		return ErrNotInRoom()
	}
	return nil
}

// stateReader finds a room and the position at which a user may read its state:
// now for who is in it or may look in, the time of leaving for who was.
// M_FORBIDDEN for others.
func (s *Store) stateReader(ctx context.Context, userID, roomID string) (journal.RoomNID, *Access, journal.Position, error) {
	now := s.journal.Position()
	nid, access, err := s.readable(ctx, userID, roomID)
	if err != nil {
		return 0, nil, 0, err
	}
	at, ok := access.StateUpTo(now)
	if !ok {
		return 0, nil, 0, ErrNotInRoom()
	}
	return nid, access, at, nil
}

// State lists the state of a room as the user may know it. Client-server API,
// GET /rooms/{roomId}/state.
func (s *Store) State(ctx context.Context, userID, roomID string) (*Cursor, *Access, error) {
	nid, access, at, err := s.stateReader(ctx, userID, roomID)
	if err != nil {
		return nil, nil, err
	}
	events, err := s.cursor(ctx, stateAt, "", []journal.RoomNID{nid}, []journal.Position{at})
	return events, access, err
}

// StateEvent gives one entry of a room's state as the user may know it.
// M_NOT_FOUND if the room has none. Client-server API,
// GET /rooms/{roomId}/state/{eventType}/{stateKey}.
func (s *Store) StateEvent(ctx context.Context, userID, roomID, evType, stateKey string) (*Event, *Access, error) {
	nid, access, at, err := s.stateReader(ctx, userID, roomID)
	if err != nil {
		return nil, nil, err
	}
	var events []*Event
	if matrix.IsText(evType) && matrix.IsText(stateKey) {
		events, err = s.events(ctx, atPositions(stateAt+`WHERE s.type = $3 AND s.state_key = $4`), []journal.RoomNID{nid}, []journal.Position{at}, evType, stateKey)
	}
	if err != nil {
		return nil, nil, err
	}
	if len(events) == 0 {
		return nil, nil, matrix.Errorf(matrix.NotFound, "the room has no such state")
	}
	return events[0], access, nil
}

// MemberFilter chooses members: those with Membership, or those without
// NotMembership; all if both are "". At is the time; nil: the latest that the
// user may know. Before the room was there it counts as the moment of the creation:
// that is what clients mean by the prev_batch of a timeline that begins with it.
type MemberFilter struct {
	Membership, NotMembership string
	At                        *journal.Position
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
func (s *Store) Members(ctx context.Context, userID, roomID string, f MemberFilter) (*Cursor, *Access, error) {
	if err := f.check(); err != nil {
		return nil, nil, err
	}
	nid, access, at, err := s.stateReader(ctx, userID, roomID)
	if err != nil {
		return nil, nil, err
	}
	if f.At != nil {
		created, err := s.creatorJoined(ctx, nid)
		if err != nil {
			return nil, nil, err
		}
		at = min(at, max(created, *f.At))
	}
	events, err := s.cursor(ctx, stateAt+`
		WHERE s.type = 'm.room.member'
			AND ($3 = '' AND $4 = '' OR $3 <> '' AND s.value = $3 OR $4 <> '' AND s.value <> $4)`,
		"", []journal.RoomNID{nid}, []journal.Position{at}, f.Membership, f.NotMembership)
	return events, access, err
}

// creatorJoined gives the position at which a room got its first member.
func (s *Store) creatorJoined(ctx context.Context, nid journal.RoomNID) (at journal.Position, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT coalesce(min(position), 0) FROM (
			SELECT position FROM room_state WHERE room_nid = $1 AND type = 'm.room.member' ORDER BY position LIMIT 1) m`,
		nid).Scan(&at)
	if err != nil {
		return 0, fmt.Errorf("find the first member of a room: %w", err)
	}
	return at, nil
}

// JoinedMembers lists the member events of those who are in a room now.
// M_FORBIDDEN unless the user is, too. Client-server API,
// GET /rooms/{roomId}/joined_members.
func (s *Store) JoinedMembers(ctx context.Context, userID, roomID string) (*Cursor, error) {
	nid, access, err := s.readable(ctx, userID, roomID)
	if err != nil {
		return nil, err
	}
	if err := access.MustBeJoined(); err != nil {
		return nil, err
	}
	return s.cursor(ctx, `
		SELECT position FROM room_state
		WHERE room_nid = $1 AND type = 'm.room.member' AND value = 'join' AND replaced_at IS NULL`, "", nid)
}
