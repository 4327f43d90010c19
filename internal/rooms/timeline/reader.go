package timeline

import (
	"context"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

// Reader reads rooms for one user, and returns nothing that the user may not read. The
// Store's own methods are for callers that ensure that in another way, as by the ranges
// of an [Access], or that show nobody what they read.
type Reader struct {
	store  *Store
	userID string
}

// For returns the Reader of a user, whom the caller has authenticated.
func (s *Store) For(userID string) Reader { return Reader{s, userID} }

// Access returns the number of a room and the user's access to it. M_FORBIDDEN if there
// is no such room, as for a room that the user has nothing to do with; M_INVALID_PARAM
// for a text that is no room ID.
func (r Reader) Access(ctx context.Context, roomID string) (journal.RoomNID, *Access, error) {
	if !matrix.IsRoomID(roomID) {
		return 0, nil, matrix.Errorf(matrix.InvalidParam, "this is not a room ID")
	}
	known, err := r.store.accessTo(ctx, accessKey{roomID, r.userID})
	if err == nil && known == nil {
		err = ErrNotInRoom()
	}
	if err != nil {
		return 0, nil, err
	}
	return known.room, known.access, nil
}

// Peek returns the user's access to a room that the user may watch. M_FORBIDDEN for
// other rooms, and if there is no such room. Client-server API, "Room Previews".
func (r Reader) Peek(ctx context.Context, roomID string) (*Access, error) {
	_, access, err := r.Access(ctx, roomID)
	if err != nil {
		return nil, err
	}
	return access, access.MayWatch()
}

// MustBeJoined returns M_FORBIDDEN for a user who is not in a room, also if there is no
// such room.
func (r Reader) MustBeJoined(ctx context.Context, roomID string) error {
	_, access, err := r.Access(ctx, roomID)
	if err != nil {
		return err
	}
	return access.MustBeJoined()
}

// view is a room as a user may read it, at one moment.
type view struct {
	accessKey
	room journal.RoomNID
	// access is that of now, or later. It says nothing of places after now.
	access *Access
	now    Place
}

// view returns a room with the user's access to it: errors of Access. The recent part of a room
// that is read again is read into memory.
func (r Reader) view(ctx context.Context, roomID string) (*view, error) {
	now := PlaceOf(r.store.journal.Position())
	nid, access, err := r.Access(ctx, roomID)
	if err == nil && access.SeesAny() && r.store.recents.missesAgain(nid) {
		err = r.store.Recall(ctx, []journal.RoomNID{nid})
	}
	return &view{accessKey: accessKey{roomID, r.userID}, room: nid, access: access, now: now}, err
}

// stateView returns a room and the place at which the user may read its state: now for
// a user who is in it or may watch it, the place of leaving for one who was.
// M_FORBIDDEN for others.
func (r Reader) stateView(ctx context.Context, roomID string) (v *view, at Place, err error) {
	v, err = r.view(ctx, roomID)
	if err != nil {
		return nil, 0, err
	}
	at, ok := v.access.StateUpTo(v.now)
	if !ok {
		return nil, 0, ErrNotInRoom()
	}
	return v, at, nil
}

// errNoEvent is the error for an event that is not there, or not for this reader.
func errNoEvent() error { return matrix.Errorf(matrix.NotFound, "there is no such event") }
