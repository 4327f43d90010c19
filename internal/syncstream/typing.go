package syncstream

import (
	"context"
	"homeserver/internal/event"
	"slices"

	"homeserver/internal/personal/typing"
)

// typeTyping is the type of the event that shows who is typing.
const typeTyping = "m.typing"

// fillTyping reads the users typing in rooms where that has changed since the last
// answer, and in rooms that are new to the client.
func (s *Service) fillTyping(_ context.Context, p *plan) error {
	if !p.ephemeralChanged() {
		return nil
	}
	for _, t := range s.Typing.Changed(p.tick, p.isJoined) {
		r := p.room(t.Room)
		p.addTyping(r, t.Users, p.tick != 0 && r != nil && !r.isNew)
	}
	for _, r := range p.rooms {
		if (p.isAnew(withTyping, r) || r.isBehind) && r.section == joined {
			p.addTyping(r, s.Typing.Now(r.nid).Users, r.isBehind && !r.isNew)
		}
	}
	return nil
}

// ephemeralChanged reports whether typing or presence may have changed since the last
// answer, or be new to the client with a room.
func (p *plan) ephemeralChanged() bool {
	return p.tick <= 0 || p.tickUpTo > p.tick || p.hasNewRooms() || p.sliding != nil && len(p.rooms) > 0
}

// hasNewRooms reports whether the user has come into a room since the last answer.
func (p *plan) hasNewRooms() bool {
	return slices.ContainsFunc(p.rooms, func(r *room) bool { return r.isNew && r.section == joined })
}

// addTyping adds the users typing in a room; an empty list only if evenNobody is true.
func (p *plan) addTyping(r *room, users []string, evenNobody bool) {
	if len(p.ignored) > 0 {
		users = slices.DeleteFunc(slices.Clone(users), p.ignores)
	}
	if len(users) == 0 && !evenNobody {
		return
	}
	if r != nil && wantsOf(p.filter.Room.Ephemeral, r, typeTyping) && (p.sliding == nil || p.sliding.shows(withTyping, r)) {
		r.typing, r.typingChanged = users, true
	}
}

func appendTypingIn(dst []byte, roomID string, users []string) []byte {
	return event.AddRoomID(typing.AppendJSON(dst, users), roomID)
}

// writeEphemeralIn adds the receipts of a room and the users typing in it to a list,
// with their room_id.
func (p *plan) writeEphemeralIn(ctx context.Context, l *list, r *room) error {
	err := p.writeReceiptsIn(ctx, l, r)
	if err != nil || !r.typingChanged {
		return err
	}
	return l.add(func(dst []byte) []byte { return appendTypingIn(dst, r.id, r.typing) })
}
