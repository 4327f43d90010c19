package syncstream

import (
	"context"

	"homeserver/internal/journal"
)

// typePresence is the type of the event that shows the presence of a user.
const typePresence = "m.presence"

// fillPresence reads whose presence has changed since the last answer, and that of
// everybody in rooms that are new to the client.
func (s *Service) fillPresence(_ context.Context, p *plan) error {
	if !p.ephemeralChanged() {
		return nil
	}
	var inNewRoom func(journal.RoomNID) bool
	if p.hasNewRooms() {
		inNewRoom = func(nid journal.RoomNID) bool {
			r := p.planned(nid)
			return r != nil && r.isNew && r.section == joined
		}
	}
	for _, state := range s.Presence.Changed(p.userID, p.tick, p.isJoined, inNewRoom) {
		if p.filter.Presence.MatchOther(typePresence, state.UserID) && !p.ignores(state.UserID) {
			p.presence = append(p.presence, state)
		}
	}
	return nil
}

// othersPresenceChanged reports whether there is presence worth ending a wait for. The
// user's own is not: most often it has changed by asking.
func (p *plan) othersPresenceChanged() bool {
	for i := range p.presence {
		if p.presence[i].UserID != p.userID {
			return true
		}
	}
	return false
}
