package timeline

import (
	"context"

	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// Access finds a room and what a user may read of it. M_FORBIDDEN if there is no
// such room, as if the user had nothing to do with it.
func (s *Store) Access(ctx context.Context, userID, roomID string) (journal.RoomNID, *Access, error) {
	return s.readable(ctx, userID, roomID)
}

// Peek gives what a user may read of a room that the user may watch. M_FORBIDDEN
// for other rooms, and if there is no such room. Client-server API, "Room Previews".
func (s *Store) Peek(ctx context.Context, userID, roomID string) (*Access, error) {
	_, access, err := s.readable(ctx, userID, roomID)
	if err != nil {
		return nil, err
	}
	return access, access.MayWatch()
}

// MayWatch refuses those with M_FORBIDDEN who are not in the room now, unless
// anybody may read it.
func (a *Access) MayWatch() error {
	if membership, _ := a.Membership(); membership != event.Join && !a.worldReadable() {
		return ErrNotInRoom()
	}
	return nil
}
