package syncstream

import (
	"context"

	"homeserver/internal/e2ee/devicekeys"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms/timeline"
)

// noteLists notes what the entries of a room in the window mean for device lists, which no
// filter of rooms concerns. It reports whether there are others among them. It runs inside
// the journal.
func (p *plan) noteLists(st *standing, live []*journal.Entry) (others bool) {
	held, moved := p.wasJoined(st)
	p.lists.OwnMoved = p.lists.OwnMoved || moved
	for _, entry := range live {
		if changed, ok := entry.Value.(*devicekeys.Changed); ok {
			if held {
				p.lists.Changed = append(p.lists.Changed, changed.UserID)
			}
			continue
		}
		others = true
		for at := range timeline.ChangeOf(entry).Line {
			if held && at.Type == event.TypeMember && at.Key != p.userID && comesOrGoes(at) {
				p.lists.Moved = append(p.lists.Moved, at.Key)
			}
		}
	}
	return others
}

// wasJoined reports whether the user was in the room all the time since the last answer, held,
// or only at its beginning, at its end, or at both with a leave between, moved.
func (p *plan) wasJoined(st *standing) (held, moved bool) {
	since, upTo := p.gaps()
	memberships := st.Memberships.UpTo(upTo)
	was, is := memberships.UpTo(since).Last().Value == event.Join, memberships.Last().Value == event.Join
	held = was && is && memberships.HeldSince() <= since
	return held, (was || is) && !held
}

// comesOrGoes reports whether somebody may have joined or left a room by a change of the
// membership, which is not so where an event changes the profile of a member, or invites.
func comesOrGoes(at timeline.Interval) bool {
	joins := at.Membership() == event.Join
	return !at.IsByEvent() || joins != (at.Event.MembershipBefore() == event.Join)
}

// noteOwnLists does the same with the user's own entries. A room that was forgotten was left
// before, and this entry is all that says so.
func (p *plan) noteOwnLists() {
	for _, entry := range p.own {
		switch value := entry.Value.(type) {
		case *devicekeys.Changed:
			if value.UserID == p.userID {
				p.lists.Changed = append(p.lists.Changed, value.UserID)
			}
		case *devicekeys.Signed:
			// Only if they share a room, which has to be looked up like a move.
			p.lists.Changed, p.lists.Moved = append(p.lists.Changed, value.UserIDs...), append(p.lists.Moved, value.UserIDs...)
		case *timeline.Forgotten:
			p.lists.OwnMoved = true
		}
	}
}

// fillDeviceLists looks whose device lists the client has to fetch anew, and whose to forget.
func (s *Service) fillDeviceLists(ctx context.Context, p *plan) (err error) {
	if p.initial || p.viewer == nil {
		return nil
	}
	q := devicekeys.ListQuery{UserID: p.userID, Since: p.since, UpTo: p.upTo, Lost: s.Journal.Lost(p.since)}
	if p.covered {
		q.Seen = &p.lists
	} else {
		q.Rooms = p.roomsThatMayMove()
	}
	p.deviceLists, err = s.Keys.Lists(ctx, q)
	return err
}

// roomsThatMayMove returns the rooms in which others may have come or gone since the last
// answer, as far as the timelines have shown: all but those in which nothing has happened. It
// returns nil where the user has come or gone.
func (p *plan) roomsThatMayMove() []journal.RoomNID {
	rooms := []journal.RoomNID{}
	for _, st := range p.viewer.rooms {
		held, moved := p.wasJoined(st)
		if moved {
			return nil
		}
		if r := p.planned(st.Room); held && (r == nil || !r.unchanged) {
			rooms = append(rooms, st.Room)
		}
	}
	return rooms
}

func (p *plan) deviceListsChanged() bool { return p.deviceLists != nil && !p.deviceLists.Empty() }

// writeDeviceLists writes the member of the answer, but for one without a token before.
func (a *Answer) writeDeviceLists(ctx context.Context, w *reserve.Writer) error {
	if a.plan.deviceLists == nil {
		return nil
	}
	w.B = append(w.B, `"device_lists":`...)
	err := a.plan.deviceLists.WriteJSON(ctx, w)
	w.B = append(w.B, ',')
	return err
}

// KeyChanges looks whose device lists a user has to fetch anew who knows them as of one
// token, and goes on from another. M_MISSING_PARAM where one is missing, M_INVALID_PARAM for
// a text that is no token, one from the future, or an end before the beginning. Client-server
// API, GET /keys/changes.
func (s *Service) KeyChanges(ctx context.Context, userID, from, to string) (*devicekeys.Lists, error) {
	var between [2]journal.Position
	for i, token := range []string{from, to} {
		if token == "" {
			return nil, matrix.Errorf(matrix.MissingParam, "from and to are needed")
		}
		var err error
		if between[i], err = ParseToken(token); err != nil {
			return nil, err
		}
		if err := s.Journal.CatchUp(ctx, between[i]); err != nil {
			return nil, err
		}
	}
	if between[0] > between[1] {
		return nil, matrix.Errorf(matrix.InvalidParam, "to must not be before from")
	}
	return s.Keys.Lists(ctx, devicekeys.ListQuery{
		UserID: userID, Since: between[0], UpTo: between[1], Lost: s.Journal.Lost(between[0]),
	})
}
