package syncstream

import (
	"context"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/rooms/timeline"
)

func (s *Service) fillStripped(ctx context.Context, p *plan) error {
	invited := p.which(func(r *room) bool { return !r.hasTimeline() })
	if len(invited) == 0 {
		return nil
	}
	at := make([]timeline.RoomAt, len(invited))
	for i, r := range invited {
		at[i] = timeline.RoomAt{Room: r.nid, At: r.upTo}
	}
	list, err := s.Rooms.Stripped(ctx, at, p.userID)
	if err != nil {
		return err
	}
	found := list.ByRoom()
	for _, r := range invited {
		r.state = found[r.nid]
	}
	if len(list.Left) > 0 {
		inviters, err := s.Rooms.Inviters(ctx, list.Left, p.userID)
		if err != nil {
			return err
		}
		for _, r := range invited {
			r.inviter = inviters[r.nid]
		}
	}
	p.rooms = slices.DeleteFunc(p.rooms, p.isIgnoredInvite)
	return nil
}

// isIgnoredInvite reports whether the user is invited to a room by an ignored user:
// client-server API, "Ignoring Users".
func (p *plan) isIgnoredInvite(r *room) bool {
	if r.section != invited {
		return false
	}
	return p.ignores(r.inviter) || slices.ContainsFunc(r.state.Events, func(e *timeline.Event) bool {
		return e.IsState(event.TypeMember, p.userID) && p.ignores(e.Sender)
	})
}
