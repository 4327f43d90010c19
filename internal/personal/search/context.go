package search

import (
	"cmp"
	"context"
	"slices"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// limits returns how many events are wanted before and after each result.
func (c *Context) limits() (before, after int, err error) {
	before, after = defaultContext, defaultContext
	if c.Before != nil {
		before = *c.Before
	}
	if c.After != nil {
		after = *c.After
	}
	if before < 0 || after < 0 {
		return 0, 0, matrix.Errorf(matrix.InvalidParam, "before_limit and after_limit must not be negative")
	}
	return min(before, maxContext), min(after, maxContext), nil
}

// surround reads the surroundings of all results, in as many statements as for one.
func (s *Service) surround(ctx context.Context, r *Results, c *Context) error {
	before, after, err := c.limits()
	if err != nil {
		return err
	}
	now := timeline.PlaceOf(s.journal.Position())
	var behind, ahead []timeline.Window
	for _, result := range r.Results {
		e := result.Event
		for _, within := range r.Access[e.Room].Ranges(0, e.Place-1) {
			behind = append(behind, timeline.Window{Room: e.Room, Range: within})
		}
		for _, within := range r.Access[e.Room].Ranges(e.Place, now) {
			ahead = append(ahead, timeline.Window{Room: e.Room, Range: within})
		}
	}
	older, err := s.rooms.Neighbours(ctx, behind, false, before)
	if err != nil {
		return err
	}
	newer, err := s.rooms.Neighbours(ctx, ahead, true, after)
	if err != nil {
		return err
	}
	behindOf, aheadOf := older.ByRoom(), newer.ByRoom()
	for _, result := range r.Results {
		nid := result.Event.Room
		result.Around = around(result.Event, behindOf[nid], aheadOf[nid], before, after)
	}
	if c.WithProfiles {
		return s.profiles(ctx, r)
	}
	return nil
}

// around selects the events nearest to a result from those that were read for all
// results of its room, in the order of places. It ends at an event that was not read.
func around(e *timeline.Event, behind, ahead timeline.List, before, after int) *Surroundings {
	older, newer := behind.Events, ahead.Events
	older = older[:firstFrom(older, e.Place)]
	newer = newer[firstFrom(newer, e.Place+1):]
	for _, left := range behind.Left {
		if left.Place < e.Place {
			older = older[firstFrom(older, left.Place):]
		}
	}
	for _, left := range ahead.Left {
		if left.Place > e.Place {
			newer = newer[:firstFrom(newer, left.Place)]
		}
	}
	a := &Surroundings{
		Before: slices.Clone(older[max(0, len(older)-before):]), After: newer[:min(len(newer), after)],
		Start: e.Place - 1, End: e.Place,
	}
	slices.Reverse(a.Before)
	if n := len(a.Before); n > 0 {
		a.Start = a.Before[n-1].Place - 1
	}
	if n := len(a.After); n > 0 {
		a.End = a.After[n-1].Place
	}
	return a
}

// firstFrom returns the index of the first event at a place or after it.
func firstFrom(events []*timeline.Event, p timeline.Place) int {
	i, _ := slices.BinarySearchFunc(events, p, func(e *timeline.Event, p timeline.Place) int { return cmp.Compare(e.Place, p) })
	return i
}

// member is a user in a room.
type member struct {
	room journal.RoomNID
	user string
}

// profiles reads how the senders of all events shown called themselves when they
// sent the last of them, as far as one read can bring that.
func (s *Service) profiles(ctx context.Context, r *Results) error {
	last := make([]map[member]timeline.Place, len(r.Results))
	var wanted []timeline.MemberAt
	for i, result := range r.Results {
		last[i] = map[member]timeline.Place{}
		for _, e := range slices.Concat(result.Around.Before, []*timeline.Event{result.Event}, result.Around.After) {
			p := member{e.Room, e.Sender}
			last[i][p] = max(last[i][p], e.Place)
		}
		for p, at := range last[i] {
			wanted = append(wanted, timeline.MemberAt{RoomAt: timeline.RoomAt{Room: p.room, At: at}, User: p.user})
		}
	}
	members, err := s.rooms.MemberEvents(ctx, wanted, nil)
	if err != nil {
		return err
	}
	byPlace := map[member][]*timeline.Event{}
	for _, e := range members.All().Events {
		p := member{e.Room, *e.StateKey}
		byPlace[p] = append(byPlace[p], e)
	}
	for i, result := range r.Results {
		for p, at := range last[i] {
			if n := firstFrom(byPlace[p], at+1); n > 0 {
				result.Around.Profiles = append(result.Around.Profiles, byPlace[p][n-1])
			}
		}
	}
	return nil
}
