package timeline

import (
	"context"

	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// Rights has what a user may do in a room, by the committed state. It is for questions
// before an attempt: events are authorised when they are added.
type Rights struct {
	// Joined reports that the user is in the room. Others may do nothing.
	Joined bool
	power  event.Power
	levels *event.PowerLevels
}

// Rights reads what a user may do in a room.
func (s *Store) Rights(ctx context.Context, room journal.RoomNID, userID string) (*Rights, error) {
	state, err := s.CurrentState(ctx, room, []event.StateKey{
		{Type: event.TypeCreate}, {Type: event.TypePowerLevels}, {Type: event.TypeMember, Key: userID},
	})
	if err != nil {
		return nil, err
	}
	r := &Rights{Joined: state.Event(event.TypeMember, userID).Membership() == event.Join}
	create := state.Event(event.TypeCreate, "")
	if !r.Joined || create == nil {
		return &Rights{}, nil
	}
	r.power = event.UserPower(create.Version, state, userID)
	r.levels, err = state.Event(event.TypePowerLevels, "").PowerLevels()
	return r, err
}

// MayInvite reports whether the user may invite others.
func (r *Rights) MayInvite() bool { return r.Joined && r.power >= r.levels.Invite() }

// MaySetState reports whether the user may set state of a type.
func (r *Rights) MaySetState(evType string) bool {
	return r.Joined && r.power >= r.levels.Event(evType, true)
}
