package timeline

import (
	"math"
	"slices"

	"homeserver/internal/event"
)

// Range is a closed range of places.
type Range struct{ From, To Place }

// unbounded is the end of a range that is still open.
const unbounded = Place(math.MaxInt64)

// Access is what one user may read of a room, and whether in full: messages of an
// erased user are readable only for those who could read them when the user was erased;
// others get redacted copies. Everything that reads history for a user goes through it.
type Access struct {
	visibilities, memberships Changes
	// erased has the erased users; nil: none.
	erased *erasures
	ranges []Range
	any    bool
	// world reports that anybody may read what happens after the last change.
	world bool
}

// NewAccess works out what a user may read from how the room's history
// visibility and the user's own membership changed, each in the order of
// places: client-server API, "Room history visibility", Server behaviour.
//
// An event may be read if, with the state at the event, the room is world_readable, or
// the user is joined, or the room is shared and the user joins then or later, or the
// room is invited and the user is invited or joined. An event that changes either value
// may be read if the state before or after it allows; one at whose place a resolution
// changes them, if both do. Events about the reader's own membership may always be read:
// users learn by them that they were invited, kicked or banned.
func NewAccess(visibilities, memberships Changes) *Access {
	a := &Access{visibilities: visibilities, memberships: memberships}
	a.world = visibilities.At(unbounded, event.VisibilityShared) == event.VisibilityWorldReadable
	lastJoin := Place(-1)
	for _, m := range memberships {
		if m.Value == event.Join {
			lastJoin = m.From
		}
	}
	bounds := a.bounds()
	before := false // whether what comes before may be read
	for i, from := range bounds {
		r := Range{from, unbounded}
		if i+1 < len(bounds) {
			if r.To = bounds[i+1]; !a.isByEventAt(r.To) {
				r.To--
			}
		}
		now := readable(visibilities.At(from, event.VisibilityShared), memberships.At(from, event.Leave), from <= lastJoin)
		switch {
		case now:
			if a.any = true; i > 0 && !before && !a.isByEventAt(from) {
				r.From++
			}
			a.allow(r)
		case memberships.isByEventAt(from):
			a.allow(Range{from, from})
		}
		before = now
	}
	return a
}

// isByEventAt reports whether the event at a place has changed what may be read.
func (a *Access) isByEventAt(p Place) bool {
	return a.visibilities.isByEventAt(p) || a.memberships.isByEventAt(p)
}

// bounds returns 0 and the places where the visibility or the membership changes, in
// order.
func (a *Access) bounds() []Place {
	bounds := []Place{0}
	for _, c := range slices.Concat(a.visibilities, a.memberships) {
		bounds = append(bounds, c.From)
	}
	slices.Sort(bounds)
	return slices.Compact(bounds)
}

// readable is the rule for a stretch of history with one visibility and one
// membership.
func readable(visibility, membership string, joinsLater bool) bool {
	switch {
	case visibility == event.VisibilityWorldReadable, membership == event.Join:
		return true
	case visibility == event.VisibilityInvited:
		return membership == event.Invite
	case visibility == event.VisibilityJoined:
		return false
	default: // shared; what is not known counts as shared
		return joinsLater
	}
}

func (a *Access) allow(r Range) {
	if r.From > r.To {
		return
	}
	if n := len(a.ranges); n > 0 && a.ranges[n-1].To >= r.From-1 {
		a.ranges[n-1].To = r.To
		return
	}
	a.ranges = append(a.ranges, r)
}

// Sees reports whether the event at the place may be read.
func (a *Access) Sees(p Place) bool {
	for _, r := range a.ranges {
		if r.From <= p && p <= r.To {
			return true
		}
	}
	return false
}

// SeesAll reports whether everything in (after, upTo] may be read.
func (a *Access) SeesAll(after, upTo Place) bool {
	for _, r := range a.ranges {
		if r.From <= after+1 && upTo <= r.To {
			return true
		}
	}
	return after >= upTo
}

// SeesAny reports whether anything may be read but for the own membership.
func (a *Access) SeesAny() bool { return a.any }

// Ranges returns the places in (after, upTo] that may be read, as closed ranges.
func (a *Access) Ranges(after, upTo Place) []Range { return cutRanges(a.ranges, after, upTo) }

// cutRanges returns the places of ranges that are in (after, upTo].
func cutRanges(ranges []Range, after, upTo Place) []Range {
	var within []Range
	for _, r := range ranges {
		if cut := (Range{max(r.From, after+1), min(r.To, upTo)}); cut.From <= cut.To {
			within = append(within, cut)
		}
	}
	return within
}

// MembershipAt returns the user's membership at a place, with the change that the event
// there makes; "leave" before there was any.
func (a *Access) MembershipAt(p Place) string {
	return a.memberships.At(p, event.Leave)
}

// Membership returns the latest membership, and the place since which it holds; "leave"
// and 0 if the user never had one.
func (a *Access) Membership() (string, Place) {
	if len(a.memberships) == 0 {
		return event.Leave, 0
	}
	last := a.memberships.Last()
	return last.Value, last.From
}

// worldReadable reports whether anybody may read what happens now.
func (a *Access) worldReadable() bool { return a.world }

// StateUpTo returns the place up to which the user may know the room's state: all of it
// while joined or where anybody may, else until the user left.
func (a *Access) StateUpTo(now Place) (Place, bool) {
	if membership, _ := a.Membership(); membership == event.Join || a.worldReadable() {
		return now, true
	}
	left := a.memberships.LeftAt()
	return left, left != 0
}

// MayWatch returns M_FORBIDDEN for a user who is not in the room now, unless anybody
// may read it.
func (a *Access) MayWatch() error {
	if membership, _ := a.Membership(); membership != event.Join && !a.worldReadable() {
		return ErrNotInRoom()
	}
	return nil
}

// MustBeJoined returns M_FORBIDDEN for a user who is not in the room now.
func (a *Access) MustBeJoined() error {
	if membership, _ := a.Membership(); membership != event.Join {
		return ErrNotInRoom()
	}
	return nil
}
