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
	hides, err := s.hiddenInvites(ctx, p.userID, p.ignored)
	if err != nil {
		return err
	}
	p.rooms = slices.DeleteFunc(p.rooms, func(r *room) bool { return r.isInviteBy(p.userID, hides) })
	return nil
}

// hiddenInvites returns whether invites by another user are not shown to a user who ignores
// some: client-server API, "Ignoring Users" and "Invite permission".
func (s *Service) hiddenInvites(ctx context.Context, userID string, ignored []string) (hides func(sender string) bool, err error) {
	var unwanted func(sender string) bool
	if s.HiddenInvites != nil {
		if unwanted, _, err = s.HiddenInvites(ctx, userID); err != nil {
			return nil, err
		}
	}
	return func(sender string) bool {
		return slices.Contains(ignored, sender) || unwanted != nil && unwanted(sender)
	}, nil
}

// isInviteBy reports whether the user is invited to the room by one of some users.
func (r *room) isInviteBy(userID string, some func(sender string) bool) bool {
	if r.section != invited {
		return false
	}
	return r.inviter != "" && some(r.inviter) || slices.ContainsFunc(r.state.Events, func(e *timeline.Event) bool {
		return e.IsState(event.TypeMember, userID) && some(e.Sender)
	})
}
