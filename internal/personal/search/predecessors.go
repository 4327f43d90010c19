package search

import (
	"context"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/rooms/timeline"
)

// maxPredecessors is how many replacements of a room are followed back.
const maxPredecessors = 10

// withPredecessors adds to the rooms of a filter the rooms that they have replaced, as far as
// the user is or was in them: for the user they are one room. Client-server API, "Room
// Upgrades".
func (s *Service) withPredecessors(ctx context.Context, f *timeline.EventFilter, standings []*timeline.Standing) (*timeline.EventFilter, error) {
	if f == nil || f.Rooms == nil {
		return f, nil
	}
	byID := make(map[string]*timeline.Standing, len(standings))
	for _, st := range standings {
		byID[st.RoomID] = st
	}
	wider := *f
	rooms := slices.Clone(*f.Rooms)
	wider.Rooms = &rooms
	next := rooms
	for range maxPredecessors {
		replaced, err := s.predecessors(ctx, next, byID)
		if err != nil {
			return nil, err
		}
		next = slices.DeleteFunc(replaced, func(roomID string) bool { return byID[roomID] == nil || slices.Contains(rooms, roomID) })
		if len(next) == 0 {
			break
		}
		rooms = append(rooms, next...)
	}
	return &wider, nil
}

// predecessors lists the rooms that some rooms say they have replaced.
func (s *Service) predecessors(ctx context.Context, rooms []string, byID map[string]*timeline.Standing) ([]string, error) {
	now := timeline.PlaceOf(s.journal.Position())
	var at []timeline.RoomAt
	for _, roomID := range rooms {
		if st := byID[roomID]; st != nil {
			at = append(at, timeline.RoomAt{Room: st.Room, At: now})
		}
	}
	if len(at) == 0 {
		return nil, nil
	}
	creates, err := s.rooms.States(ctx, at, &timeline.EventFilter{Types: &[]string{event.TypeCreate}}, false)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what was read
	}
	var replaced []string
	for _, e := range creates.All().Events {
		if roomID := e.CreateContent().Predecessor; roomID != "" {
			replaced = append(replaced, roomID)
		}
	}
	return replaced, nil
}
