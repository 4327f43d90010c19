package rooms

import (
	"context"
	"encoding/json"
	"fmt"

	"golang.org/x/sync/errgroup"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// admit refuses the join of a guest unless the room admits guests. It may find that
// state must be loaded first.
func (b *builder) admit(d *draft) error {
	if !d.guest || d.typ != event.TypeMember {
		return nil
	}
	if membership, _ := event.StringField(d.content, "membership"); membership != event.Join {
		return nil
	}
	if !allowsGuests(b.o.get(event.StateKey{Type: event.TypeGuestAccess})) {
		return matrix.Errorf(matrix.GuestAccessForbidden, "this room does not let guests in")
	}
	return nil
}

// allowsGuests reports whether guests may join a room with this m.room.guest_access, or
// with none.
func allowsGuests(e *timeline.Event) bool {
	if e == nil {
		return false
	}
	var content struct {
		GuestAccess string `json:"guest_access"`
	}
	return json.Unmarshal(e.Content(), &content) == nil && content.GuestAccess == event.GuestsCanJoin
}

// turnGuestsOut makes the guests of a room leave, unless it admits guests.
// Client-server API, "Guest Access", Server behaviour.
func (s *Service) turnGuestsOut(ctx context.Context, roomID string) error {
	room, err := s.Timeline.Number(ctx, roomID)
	if err != nil {
		return err
	}
	key := event.StateKey{Type: event.TypeGuestAccess}
	state, err := s.Timeline.CurrentState(ctx, room, []event.StateKey{key})
	if err != nil || allowsGuests(state[key]) {
		return err
	}
	for after := ""; ; {
		members, err := s.Timeline.UsersWith(ctx, room, event.Join, after, membersAtOnce)
		if err != nil {
			return err
		}
		if err := s.turnOutAmong(ctx, roomID, members); err != nil || len(members) < membersAtOnce {
			return err
		}
		after = members[len(members)-1]
	}
}

// membersAtOnce is how many members of a room are looked up as guests at once.
const membersAtOnce = 1000

// turnOutAmong makes the guests among some members of a room leave.
func (s *Service) turnOutAmong(ctx context.Context, roomID string, members []string) error {
	guests, err := s.guests(ctx, members)
	if err != nil {
		return fmt.Errorf("find the guests in %s: %w", roomID, err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(roomsAtOnce)
	for _, guest := range guests {
		g.Go(func() error {
			return s.turnOut(ctx, roomID, guest)
		})
	}
	return g.Wait()
}
