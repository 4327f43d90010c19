package syncstream

import (
	"context"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// membershipChange is the first and the last of the changes of a user's membership that
// are known since the last answer.
type membershipChange struct{ first, last timeline.Interval }

// membershipChanges picks those of memberships out of changes, oldest first, by user.
func membershipChanges(changes []timeline.Interval) map[string]membershipChange {
	var byUser map[string]membershipChange
	for _, at := range changes {
		if at.Type != event.TypeMember {
			continue
		}
		if byUser == nil {
			byUser = map[string]membershipChange{}
		}
		c, known := byUser[at.Key]
		if c.last = at; !known {
			c.first = at
		}
		byUser[at.Key] = c
	}
	return byUser
}

// member is a user in a room.
type member struct {
	room journal.RoomNID
	user string
}

// fillMembersChanged notes the rooms whose members have changed since the last answer.
// A change of a profile alone does not change the summary: it ends no wait if the
// filter excludes the event, and costs no query for each member who waits.
func (s *Service) fillMembersChanged(ctx context.Context, changed []*room, lines map[journal.RoomNID]timeline.LineChange) error {
	before, after := map[member]string{}, map[member]string{}
	var missing []timeline.MemberAt
	for _, r := range changed {
		if r.membersChanged || r.section != joined {
			continue
		}
		for user, c := range membershipChanges(lines[r.nid].Intervals) {
			m := member{r.nid, user}
			after[m] = c.last.Membership()
			if e := c.first.Event; c.first.IsByEvent() && (e.Replaces == nil || e.Replaces.Place <= r.since) {
				before[m] = e.MembershipBefore()
			} else { // the tables have the end alone
				missing = append(missing, timeline.MemberAt{RoomAt: timeline.RoomAt{Room: r.nid, At: r.since}, User: user})
			}
		}
	}
	if len(missing) > 0 {
		known, err := s.Rooms.MemberEvents(ctx, missing, nil)
		if err != nil {
			return err
		}
		for e, err := range s.Rooms.Cursor(known.All()).All(ctx) {
			if err != nil {
				return err
			}
			before[member{e.Room, *e.StateKey}] = e.Membership()
		}
	}
	moved := map[journal.RoomNID]bool{}
	for m, membership := range after {
		moved[m.room] = moved[m.room] || before[m] != membership
	}
	for _, r := range changed {
		r.membersChanged = r.membersChanged || moved[r.nid]
	}
	return nil
}

// fillSummaries reads the summaries of rooms that are new to the client, or where
// somebody has come or gone.
func (s *Service) fillSummaries(ctx context.Context, p *plan) error {
	changed := p.which(func(r *room) bool { return r.section == joined && r.membersChanged })
	if len(changed) == 0 {
		return nil
	}
	nids := make([]journal.RoomNID, len(changed))
	for i, r := range changed {
		nids[i] = r.nid
	}
	summaries, err := s.Rooms.Summaries(ctx, nids, p.userID)
	if err != nil {
		return err
	}
	for i := range summaries {
		at := slices.IndexFunc(changed, func(r *room) bool { return r.nid == summaries[i].Room })
		changed[at].summary = &summaries[i]
	}
	return nil
}
