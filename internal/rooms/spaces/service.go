package spaces

import (
	"context"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/rooms/directory"
	"homeserver/internal/rooms/timeline"
)

// Service shows rooms to users who need not be in them. Its methods may be called
// concurrently.
type Service struct {
	rooms     *timeline.Store
	directory *directory.Service
}

// New makes the service.
func New(rooms *timeline.Store, names *directory.Service) *Service {
	return &Service{rooms: rooms, directory: names}
}

// view is what one user may know of rooms at a place of all rooms.
type view struct {
	rooms  *timeline.Store
	userID string // "" for nobody, who may know of rooms that are for everybody
	at     timeline.Place
	// joined has the rooms, among those that others name as their condition, in which the
	// user is.
	joined map[string]bool
}

// previews reads some rooms, and from which of the rooms that those name as their
// condition the user may join them.
func (v *view) previews(ctx context.Context, roomIDs []string) ([]timeline.Preview, error) {
	found, err := v.rooms.Previews(ctx, roomIDs, v.userID, v.at)
	if err != nil {
		return nil, err
	}
	var conditions []string
	for i := range found {
		if p := &found[i]; !v.mayKnow(p) {
			conditions = append(conditions, p.Allowed...)
		}
	}
	if len(conditions) == 0 || v.userID == "" {
		return found, nil
	}
	slices.Sort(conditions)
	v.joined, err = v.rooms.JoinedAt(ctx, v.userID, slices.Compact(conditions), v.at)
	return found, err
}

// mayKnow reports whether the user may know of a room: is in it or invited to it, may
// read, join or knock. Client-server API, GET /rooms/{roomId}/hierarchy.
func (v *view) mayKnow(p *timeline.Preview) bool {
	switch {
	case p.Membership == event.Join, p.Membership == event.Invite, p.Visibility == event.VisibilityWorldReadable:
		return true
	case p.Membership == event.Ban, !p.Version.KnowsJoinRule(p.JoinRule):
		return false
	case p.JoinRule == event.JoinRuleRestricted:
		return slices.ContainsFunc(p.Allowed, func(roomID string) bool { return v.joined[roomID] })
	}
	return p.JoinRule != event.JoinRuleInvite
}
