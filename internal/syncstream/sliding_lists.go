package syncstream

import (
	"cmp"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// listed is a room in the sequence that lists choose from.
type listed struct {
	*standing
	facts      *timeline.Facts
	membership string
	// at is where the room stands in the sequence: the place of the newest event, or that at
	// which the user was invited or has left.
	at timeline.Place
}

// sequence returns the rooms that lists choose from, those with the newest events first: all that
// the user is in, is invited to, knocks at or is banned from after having been in, and of others those that the
// client has got.
func (sr *slidingRequest) sequence(rooms []*standing, facts []*timeline.Facts, since, now journal.Position) []listed {
	upTo := timeline.PlaceOf(now)
	list := make([]listed, 0, len(rooms))
	for i, st := range rooms {
		memberships := st.Memberships.UpTo(upTo)
		if len(memberships) == 0 {
			continue
		}
		now := memberships.Last()
		l := listed{standing: st, facts: facts[i], membership: now.Value, at: now.From}
		switch now.Value {
		case event.Join:
			l.at = max(now.From, facts[i].Newest)
		case event.Invite, event.Knock:
		default:
			if !sr.known.listsLeft(st, memberships, since) {
				continue
			}
		}
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b listed) int { return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(a.Room, b.Room)) })
	return list
}

// listsLeft reports whether a room that the user is no longer in is in lists. One that was
// forgotten is until the client knows of that.
func (k *knownRooms) listsLeft(st *standing, memberships timeline.Changes, since journal.Position) bool {
	r, isKnown := k.rooms[st.Room]
	if isKnown && st.Forgotten {
		return memberships.Last().From > timeline.PlaceOf(cmp.Or(r.behind, since))
	}
	return isKnown || !st.Forgotten && memberships.Last().Value == event.Ban && memberships.LeftAt() > 0
}

// chooser is what the filters of lists look at.
type chooser struct {
	labels   *labels
	children map[string]map[string]bool // of spaces that the user is in, by room IDs
}

// chooses reports whether a filter takes a room.
func (c *chooser) chooses(f *ListFilters, l *listed) bool {
	if f == nil {
		return true
	}
	invited := l.membership == event.Invite
	for _, wanted := range []struct {
		value *bool
		is    bool
	}{
		{f.IsEncrypted, l.facts.Encrypted}, {f.IsInvite, invited}, {f.IsInvited, invited},
	} {
		if wanted.value != nil && *wanted.value != wanted.is {
			return false
		}
	}
	return f.choosesType(l.facts.Type) && c.choosesLabels(f, l) && c.choosesSpaces(f, l)
}

func (f *ListFilters) choosesType(typ string) bool {
	is := func(one *string) bool { return one == nil && typ == "" || one != nil && *one == typ }
	return (f.RoomTypes == nil || slices.ContainsFunc(*f.RoomTypes, is)) && !slices.ContainsFunc(f.NotRoomTypes, is)
}

// choosesLabels looks at the account data of the user.
func (c *chooser) choosesLabels(f *ListFilters, l *listed) bool {
	if f.IsDM != nil && *f.IsDM != c.labels.direct[l.RoomID] {
		return false
	}
	tags := c.labels.tagsOf(l.Room)
	has := func(tag string) bool { return slices.Contains(tags, tag) }
	return (f.Tags == nil || slices.ContainsFunc(*f.Tags, has)) && !slices.ContainsFunc(f.NotTags, has)
}

func (c *chooser) choosesSpaces(f *ListFilters, l *listed) bool {
	return f.Spaces == nil || slices.ContainsFunc(*f.Spaces, func(space string) bool { return c.children[space][l.RoomID] })
}

// window chooses the rooms of a request from the sequence, and counts the lists.
func (sr *slidingRequest) window(sequence []listed, c *chooser) (window map[journal.RoomNID]*slidingRoom, counts map[string]int) {
	window, counts = map[journal.RoomNID]*slidingRoom{}, map[string]int{}
	at := func(l *listed, config *roomConfig) *slidingRoom {
		w := window[l.Room]
		if w == nil {
			w = &slidingRoom{userID: sr.UserID, standing: l.standing}
			window[l.Room] = w
		}
		w.config = sr.and(w.config, config)
		return w
	}
	for name, list := range sr.Lists {
		ranges, index := list.ranges(), 0
		for i := range sequence {
			if !c.chooses(list.Filters, &sequence[i]) {
				continue
			}
			if isIn(ranges, index) {
				w := at(&sequence[i], sr.lists[name])
				w.lists = append(w.lists, name)
			}
			index++
		}
		counts[name] = index
	}
	if len(sr.rooms) > 0 {
		for i := range sequence {
			if config := sr.rooms[sequence[i].RoomID]; config != nil {
				at(&sequence[i], config).subscribed = true
			}
		}
	}
	return window, counts
}

// isIn reports whether an index is in one of some ranges; where there are none, it is.
func isIn(ranges [][]int, index int) bool {
	return ranges == nil || slices.ContainsFunc(ranges, func(r []int) bool { return r[0] <= index && index <= r[1] })
}
