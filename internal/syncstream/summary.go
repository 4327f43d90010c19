package syncstream

import (
	"context"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// membershipChange is the first and the last of the member events of a user that are
// known since the last answer.
type membershipChange struct{ first, last *timeline.Event }

// membershipChanges collects the member events, oldest first, by user.
func membershipChanges(events []*timeline.Event) map[string]membershipChange {
	var changes map[string]membershipChange
	for _, e := range events {
		if e.Type != event.TypeMember {
			continue
		}
		if changes == nil {
			changes = map[string]membershipChange{}
		}
		c := changes[*e.StateKey]
		if c.last = e; c.first == nil {
			c.first = e
		}
		changes[*e.StateKey] = c
	}
	return changes
}

// member is a user in a room.
type member struct {
	room journal.RoomNID
	user string
}

// fillMembersChanged notes the rooms whose members have changed since the last answer.
// A change of a profile alone does not change the summary: it ends no wait if the
// filter excludes the event, and costs no query for each member who waits.
func (s *Service) fillMembersChanged(ctx context.Context, changed []*room, events map[journal.RoomNID]timeline.List) error {
	before, after := map[member]string{}, map[member]string{}
	var missing []timeline.MemberAt
	for _, r := range changed {
		if r.membersChanged || r.section != joined {
			continue
		}
		for user, c := range membershipChanges(events[r.nid].Events) {
			m := member{r.nid, user}
			after[m] = c.last.Membership()
			if c.first.Replaces == nil || c.first.Replaces.Place <= r.since {
				before[m] = c.first.MembershipBefore()
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
		for e, err := range s.Rooms.Cursor(known).All(ctx) {
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
