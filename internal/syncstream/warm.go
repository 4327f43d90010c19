package syncstream

import (
	"context"
	"slices"

	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// Bounds of what Warm reads: the rooms of so many users, so many rooms at once, until the recent
// parts of rooms occupy so many bytes.
const (
	warmUsers = 20
	warmRooms = 10
	warmBytes = 8 << 20
)

// Warm reads into memory, after a start, what is probably asked for first: the rooms of the users who
// have written last. Nobody waits for it; a request that needs a room that is being read waits for that
// instead of reading it, too.
func (s *Service) Warm(ctx context.Context) error {
	users, err := s.Rooms.LastSenders(ctx, warmUsers)
	if err != nil {
		return err
	}
	for i, userID := range users {
		full, err := s.warmUser(ctx, userID, i == 0)
		if full || err != nil {
			return err
		}
	}
	return nil
}

// warmUser reads the rooms of a user. It reports whether there is no memory for those of another.
func (s *Service) warmUser(ctx context.Context, userID string, first bool) (full bool, err error) {
	v, err := s.viewers.use(ctx, userID)
	if err != nil {
		return false, err
	}
	defer s.viewers.release(v)
	rooms := v.joined()
	if first {
		if err := s.practise(ctx, v, rooms[:min(warmRooms, len(rooms))]); err != nil {
			return false, err
		}
	}
	for some := range slices.Chunk(rooms, warmRooms) {
		full, err := s.Rooms.Prefetch(ctx, some, warmBytes)
		if full || err != nil {
			return full, err
		}
	}
	return false, nil
}

// practise makes an initial answer about some rooms that nobody gets, so that PostgreSQL has planned
// the statements of one on a connection.
func (s *Service) practise(ctx context.Context, v *viewer, rooms []journal.RoomNID) error {
	ids := make([]string, len(rooms))
	for i, nid := range rooms {
		ids[i] = v.standing(nid).RoomID
	}
	f := &Filter{rooms: &timeline.EventFilter{Rooms: &ids}}
	if err := f.rooms.Check(); err != nil {
		return err
	}
	_, err := s.answer(ctx, v, &request{Query: Query{UserID: v.userID}, filter: f, initial: true, noToDevice: true, bundled: true})
	return err
}

// joined returns the rooms that the user is in, the newest first.
func (v *viewer) joined() []journal.RoomNID {
	var rooms []journal.RoomNID
	for _, st := range slices.Backward(v.rooms) {
		if st.isJoined() {
			rooms = append(rooms, st.Room)
		}
	}
	return rooms
}
