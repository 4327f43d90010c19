package timeline

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// recent is the recent part of a room in memory: all events after a place, the floor, and all
// intervals of the line that hold anywhere from another on, the state's floor. What is asked of
// later places is answered without SQL, and with the same result: timelines, the state, its
// changes, members, and who has come and gone. It is kept as far as the journal has come: a
// reader leaves out what is beyond its own place.
type recent struct {
	room journal.RoomNID
	// loaded is closed once it is known whether the room is kept, and whether reading it has
	// failed.
	loaded chan struct{}
	failed bool
	bytes  atomic.Int64

	mu     sync.RWMutex
	status recentStatus
	// missed are the changes since the loading began; refusedAt is for how many bytes the room
	// was too large.
	missed    []missedChange
	refusedAt int64
	// redactions counts those in a room that is too large. Of such a room latest has the members that
	// were asked for since the last one, and nothing else is here.
	redactions int

	floor Place
	// stateFloor is the last place up to the floor at which the line changed: in most rooms it
	// lies far below, since they talk more than they change.
	stateFloor Place
	events     []*Event // in the order of places
	eventBytes int
	line       []*held // in the order of their beginnings
	// children are the events that are aggregated with others, by the ID of that other. All
	// children of an event above the floor are here, since they come after it.
	children map[string][]*child
	// latest has the last interval of each state key. The earlier ones hang on it.
	latest          map[event.StateKey]*held
	joined, invited int64 // how many members there are now
	// changed is the place at which the line changed last, and state the state since then;
	// nil: nobody has asked for it.
	changed Place
	state   atomic.Pointer[wholeState]
}

// recentStatus says whether the recent part of a room is in memory.
type recentStatus int

// A recent part is being read; is here; or is too large.
const (
	recentLoading recentStatus = iota
	recentKept
	recentRefused
)

// held is an interval of the line with its end.
type held struct {
	*Event
	// It holds from a place until just before another; unbounded: it holds now.
	from, until Place
	// membership is that of a member event.
	membership string
	before     *held // of the same state key; nil: none that is kept
}

// holdsAt reports whether the interval holds at a place.
func (h *held) holdsAt(p Place) bool { return h.from <= p && p < h.until }

// at returns the interval that holds at a place among this one and those before it; nil: none.
func (h *held) at(p Place) *held {
	for ; h != nil; h = h.before {
		if h.holdsAt(p) {
			return h
		}
	}
	return nil
}

// upTo returns how many of the events stand up to a place.
func (r *recent) upTo(p Place) int {
	n, _ := slices.BinarySearchFunc(r.events, p+1, func(e *Event, p Place) int { return cmp.Compare(e.Place, p) })
	return n
}

// begunUpTo returns how many of the intervals begin up to a place.
func (r *recent) begunUpTo(p Place) int {
	n, _ := slices.BinarySearchFunc(r.line, p+1, func(h *held, p Place) int { return cmp.Compare(h.from, p) })
	return n
}

// newestIn returns the newest events in ranges of places for which a condition is true, newest
// first. It reports false, with those in memory, where there may be more of them at places that are not.
func (r *recent) newestIn(windows []Window, most int, match func(*Event) bool) (events []*Event, ok bool) {
	events = make([]*Event, 0, min(most, len(r.events)))
	for _, w := range slices.Backward(windows) {
		for i := r.upTo(w.To) - 1; i >= 0 && r.events[i].Place >= w.From && len(events) < most; i-- {
			if match(r.events[i]) {
				events = append(events, r.events[i])
			}
		}
		if len(events) < most && w.From <= r.floor {
			return events, false
		}
	}
	return events, true
}

// oldestIn returns the first events in ranges of places that a filter allows, oldest first. It
// reports false where some of the places are not in memory.
func (r *recent) oldestIn(ranges []Range, most int, f *EventFilter) (events []*Event, ok bool) {
	if len(ranges) > 0 && ranges[0].From <= r.floor {
		return nil, false
	}
	for _, w := range ranges {
		for i := r.upTo(w.From - 1); i < len(r.events) && r.events[i].Place <= w.To && len(events) < most; i++ {
			if f.Match(r.events[i]) {
				events = append(events, r.events[i])
			}
		}
	}
	return events, true
}

// event returns the event of an ID. It reports false where that is not in memory.
func (r *recent) event(id string) (e *Event, ok bool) {
	for _, e := range slices.Backward(r.events) {
		if e.ID == id {
			return e, true
		}
	}
	return nil, false
}

// around returns an event and those around it. It reports false where they are not all in memory.
func (r *recent) around(q *aroundQuery) (found *surroundings, ok bool) {
	e, ok := r.event(q.id)
	if !ok {
		return nil, false
	}
	before, okBefore := r.newestIn(windowsOf(r.room, cutRanges(q.ranges, 0, e.Place-1)), q.before, q.filter.Match)
	after, okAfter := r.oldestIn(cutRanges(q.ranges, e.Place, unbounded), q.after, q.filter)
	return &surroundings{event: e, before: List{Events: before}, after: List{Events: after}}, okBefore && okAfter
}

// lazyState returns the state that is asked for, its members last. The list must not be changed. It
// reports false where the place is not in memory.
func (r *recent) lazyState(q LazyState, f *EventFilter, ofMembers *EventFilter) (events []*Event, ok bool) {
	if q.At < r.stateFloor {
		return nil, false
	}
	state := r.wholeStateAt(q.At)
	others := state.butMembers()
	all := len(others) + len(q.Members)
	if q.At >= r.changed && all == len(state.events) && f.allowsAll() && ofMembers.allowsAll() {
		return state.membersLast, true // all members are asked for
	}
	events = f.appendMatching(make([]*Event, 0, all), others)
	begin := len(events)
	for _, userID := range q.Members {
		if e, _ := r.memberAt(q.At, userID); e != nil && ofMembers.Match(e) {
			events = append(events, e)
		}
	}
	return events[:begin+len(byPlace(events[begin:]))], true
}

// stateAt returns the state at a place that a filter allows, in the order of the events'
// places; without the members if withMembers is false. The list must not be changed. It reports
// false where the place is not in memory.
func (r *recent) stateAt(at Place, f *EventFilter, withMembers bool) (events []*Event, ok bool) {
	if at < r.stateFloor {
		return nil, false
	}
	state := r.wholeStateAt(at)
	events = state.events
	if !withMembers {
		events = state.butMembers()
	}
	if f.allowsAll() {
		return events, true
	}
	return f.appendMatching(make([]*Event, 0, len(events)), events), true
}

// wholeState is the state of a room at a place: by the places of the events, and with those of the
// members last, before which there are some others.
type wholeState struct {
	events, membersLast []*Event
	others              int
}

func (s *wholeState) butMembers() []*Event { return s.membersLast[:s.others:s.others] }

// wholeStateAt returns the whole state at a place from the state's floor on. That of now is worked out
// once.
func (r *recent) wholeStateAt(at Place) *wholeState {
	if at < r.changed {
		return r.collectState(at)
	}
	state := r.state.Load()
	if state == nil {
		state = r.collectState(at)
		r.state.Store(state)
	}
	return state
}

func (r *recent) collectState(at Place) *wholeState {
	events := make([]*Event, 0, len(r.latest))
	for _, h := range r.line[:r.begunUpTo(at)] {
		if at < h.until {
			events = append(events, h.Event)
		}
	}
	state := &wholeState{events: slices.Clip(byPlace(events))}
	state.membersLast = slices.Clone(state.events)
	slices.SortStableFunc(state.membersLast, membersLast)
	state.others = slices.IndexFunc(state.membersLast, func(e *Event) bool { return e.Type == event.TypeMember })
	if state.others < 0 {
		state.others = len(state.events)
	}
	return state
}

// membersLast orders member events after others.
func membersLast(a, b *Event) int {
	switch isMember := b.Type == event.TypeMember; {
	case (a.Type == event.TypeMember) == isMember:
		return 0
	case isMember:
		return -1
	}
	return 1
}

// byPlace sorts events by their places, and leaves out repeated ones. Mostly there is nothing
// to do: an interval begins at the place of its event.
func byPlace(events []*Event) []*Event {
	compare := func(a, b *Event) int { return cmp.Compare(a.Place, b.Place) }
	if !slices.IsSortedFunc(events, compare) {
		slices.SortStableFunc(events, compare)
	}
	return slices.CompactFunc(events, func(a, b *Event) bool { return a.NID == b.NID })
}

// stateAround is stateAt for a timeline that shows some state events: see [Around].
func (r *recent) stateAround(a Around, shown []EventNID, f *EventFilter, withMembers bool) (events []*Event, ok bool) {
	if a.Start < r.stateFloor {
		return nil, false
	}
	changedBy := map[event.StateKey]bool{} // the keys whose change is shown
	between := r.line[r.begunUpTo(a.Start):r.begunUpTo(a.Until)]
	for _, h := range between {
		if slices.Contains(shown, h.NID) {
			changedBy[h.key()] = true
		}
	}
	until, _ := r.stateAt(a.Until, f, true)
	for _, e := range until {
		if !slices.Contains(shown, e.NID) && (withMembers || e.Type != event.TypeMember) {
			events = append(events, e)
		}
	}
	for key := range changedBy {
		h := r.latest[key].at(a.Start)
		if h != nil && h.until <= a.Until && (withMembers || h.Type != event.TypeMember) && f.Match(h.Event) {
			events = append(events, h.Event)
		}
	}
	for _, h := range between {
		if !withMembers && h.Type == event.TypeMember && h.until > a.Until && !slices.Contains(shown, h.NID) && f.Match(h.Event) {
			events = append(events, h.Event)
		}
	}
	return byPlace(events), true
}

func (h *held) key() event.StateKey { return event.StateKey{Type: h.Type, Key: *h.StateKey} }

// changes returns the intervals that a Delta asks for. It reports false where they are not all
// in memory.
func (r *recent) changes(d Delta) (changes []Interval, ok bool) {
	if d.Since < r.stateFloor {
		return nil, false
	}
	for _, h := range r.line[r.begunUpTo(d.Since):r.begunUpTo(d.UpTo)] {
		if h.from < d.Start && h.until >= d.Start || h.until > d.UpTo {
			changes = append(changes, Interval{h.key(), h.from, h.Event})
		}
	}
	return changes, true
}

// membersAt returns the member events at a place that a filter chooses, in the order of their
// places. It reports false where the place is not in memory.
func (r *recent) membersAt(at Place, f MemberFilter) (events []*Event, ok bool) {
	if at < r.stateFloor {
		return nil, false
	}
	for _, h := range r.line[:r.begunUpTo(at)] {
		if at < h.until && h.Type == event.TypeMember && f.match(h.membership) {
			events = append(events, h.Event)
		}
	}
	return byPlace(events), true
}

// firstMember returns the place at which the room got its first member, or any up to a place
// where it had one. It reports false where the place is not in memory.
func (r *recent) firstMember(at Place) (since Place, ok bool) {
	if at < r.stateFloor {
		return 0, false
	}
	for _, h := range r.line {
		if h.Type == event.TypeMember {
			return h.from, true
		}
	}
	return 0, true
}

// memberAt returns the member event of a user at a place; nil: there is none. It reports false
// where the place is not in memory.
func (r *recent) memberAt(at Place, userID string) (e *Event, ok bool) {
	return r.entryAt(at, event.StateKey{Type: event.TypeMember, Key: userID})
}

// entryAt returns the event that holds as an entry of the state at a place; nil: none does. It
// reports false where the place is not in memory.
func (r *recent) entryAt(at Place, key event.StateKey) (e *Event, ok bool) {
	if at < r.stateFloor {
		return nil, false
	}
	if h := r.latest[key].at(at); h != nil {
		return h.Event, true
	}
	return nil, true
}

// strippedAt returns the state that a user sees who is invited or knocks: see [Store.Stripped]. It
// reports false where the place is not in memory.
func (r *recent) strippedAt(at Place, userID string) (events []*Event, ok bool) {
	if at < r.stateFloor {
		return nil, false
	}
	add := func(evType, stateKey string) *Event {
		e, _ := r.entryAt(at, event.StateKey{Type: evType, Key: stateKey})
		if e != nil {
			events = append(events, e)
		}
		return e
	}
	for _, evType := range strippedTypes {
		add(evType, "")
	}
	if own := add(event.TypeMember, userID); own != nil {
		add(event.TypeMember, own.Sender)
	}
	return byPlace(events), true
}

// summary returns the summary of the room for a user, as of now.
func (r *recent) summary(userID string) Summary {
	sum := Summary{Room: r.room, Joined: r.joined, Invited: r.invited, Heroes: make([]string, 0, heroes)}
	var gone []string
	for _, h := range r.line {
		if h.membership == "" || h.until != unbounded || *h.StateKey == userID {
			continue
		}
		switch h.membership {
		case event.Join, event.Invite:
			if sum.Heroes = append(sum.Heroes, *h.StateKey); len(sum.Heroes) == heroes {
				return sum
			}
		case event.Leave, event.Ban:
			if len(gone) < heroes {
				gone = append(gone, *h.StateKey)
			}
		}
	}
	if len(sum.Heroes) == 0 {
		sum.Heroes = append(sum.Heroes, gone...)
	}
	return sum
}
