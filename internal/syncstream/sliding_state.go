package syncstream

import (
	"context"
	"maps"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// fillRequired reads the state that the client asks for: all of it where it has none or asks for
// more than before, else what has changed; and the members that the timeline needs and the client
// may not know.
func (s *Service) fillRequired(ctx context.Context, p *plan) error {
	p.needMembers(s)
	if err := s.fillRequiredChanges(ctx, p); err != nil {
		return err
	}
	full := p.which(func(r *room) bool { return r.hasTimeline() && !r.stateHidden && (r.fullState || r.stateAnew) })
	if err := s.readRequired(ctx, full); err != nil {
		return err
	}
	return s.addRequiredMembers(ctx, p)
}

// needMembers works out for each room the members that its timeline needs: the senders of its
// events, and those whose membership they change.
func (p *plan) needMembers(s *Service) {
	for _, r := range p.rooms {
		if !r.hasTimeline() || r.stateHidden || !r.window.config.required.lazy {
			continue
		}
		r.needed = map[string]bool{}
		for _, e := range r.timeline {
			r.needed[e.Sender] = true
			if e.Type == event.TypeMember && e.StateKey != nil {
				r.needed[*e.StateKey] = true
			}
		}
		if p.known == nil {
			p.known = s.lazy.of(p)
		}
	}
}

// beginsAnew reports whether the client forgets the members of the room that it knew.
func (r *room) beginsAnew() bool { return r.fullState || r.window != nil && r.limited }

// wantsEntry reports whether an entry of the state is shown.
func (r *room) wantsEntry(typ, key string) bool {
	return r.window.config.required.wants(typ, key) || typ == event.TypeMember && r.needed[key] ||
		r.section == left && typ == event.TypeMember && key == r.window.userID
}

// fillRequiredChanges notes how the state has changed since the last answer.
func (s *Service) fillRequiredChanges(ctx context.Context, p *plan) error {
	changed := p.which(p.hasStateChanges)
	var deltas []timeline.Delta
	found := map[journal.RoomNID]timeline.LineChange{}
	for _, r := range changed {
		if r.inWindow {
			found[r.nid] = timeline.LineChange{Intervals: r.liveState(r.since)}
			continue
		}
		deltas = append(deltas, timeline.Delta{Room: r.nid, Since: r.since, Start: r.stateUpTo + 1, UpTo: r.stateUpTo})
	}
	if len(deltas) > 0 {
		stored, err := s.Rooms.StateChanges(ctx, deltas)
		if err != nil {
			return err
		}
		maps.Copy(found, stored)
	}
	for _, r := range changed {
		if found[r.nid].Cut {
			r.stateAnew, r.membersChanged = true, true
			continue
		}
		r.setRequiredChanges(found[r.nid].Intervals)
	}
	return s.fillMembersChanged(ctx, changed, found)
}

// setRequiredChanges sets the state from its changes, oldest first. Of members that are loaded
// lazily, all changes are shown, unless there is a gap.
func (r *room) setRequiredChanges(changes []timeline.Interval) {
	atEnd := map[event.StateKey]int{}
	for i := range changes {
		atEnd[changes[i].StateKey] = i
	}
	for i := range changes {
		at := &changes[i]
		if atEnd[at.StateKey] != i || at.Event == nil {
			continue
		}
		switch at.StateKey {
		case event.StateKey{Type: event.TypeName}:
			r.name, r.nameChanged, r.membersChanged = at.Event, true, true // the heroes make up the name without one
		case event.StateKey{Type: event.TypeAvatar}:
			r.avatar, r.avatarChanged = at.Event, true
		}
		if r.wantsEntry(at.Type, at.Key) || at.Type == event.TypeMember && r.needed != nil && !r.limited {
			r.state.Events = append(r.state.Events, at.Event)
		}
	}
}

// readRequired reads the state of rooms as it is at the end, in a statement for each of four kinds:
// of some types or of all, and with all members or with some.
func (s *Service) readRequired(ctx context.Context, full []*room) error {
	type kind struct{ allTypes, allMembers bool }
	byKind := map[kind][]*room{}
	for _, r := range full {
		required := r.window.config.required
		k := kind{required.readsAll(), required.allMembers}
		byKind[k] = append(byKind[k], r)
	}
	for k, rs := range byKind {
		var filter *timeline.EventFilter
		if !k.allTypes {
			types := []string{}
			for _, r := range rs {
				types = r.window.config.required.appendTypes(types)
			}
			if k.allMembers {
				types = append(types, event.TypeMember)
			}
			filter = ofTypes(types)
		}
		found, err := s.readKind(ctx, rs, filter, k.allMembers)
		if err != nil {
			return err
		}
		for _, r := range rs {
			r.state = found[r.nid]
			r.state.Events = slices.DeleteFunc(slices.Clone(r.state.Events), func(e *timeline.Event) bool { return !r.wantsEntry(e.Type, *e.StateKey) })
		}
	}
	return nil
}

func (s *Service) readKind(ctx context.Context, rs []*room, filter *timeline.EventFilter, allMembers bool) (timeline.Lists, error) {
	at := make([]timeline.RoomAt, len(rs))
	states := make([]timeline.LazyState, len(rs))
	for i, r := range rs {
		at[i] = timeline.RoomAt{Room: r.nid, At: r.stateUpTo}
		members := slices.Concat(r.window.config.required.members, slices.Collect(maps.Keys(r.needed)))
		slices.Sort(members)
		states[i] = timeline.LazyState{RoomAt: at[i], Members: slices.Compact(members)}
	}
	if allMembers {
		return s.Rooms.States(ctx, at, filter, true)
	}
	return s.Rooms.LazyStates(ctx, states, filter, nil)
}

// addRequiredMembers adds the members that are needed and that the client may not know, and the
// membership of the user to rooms that the user has left.
func (s *Service) addRequiredMembers(ctx context.Context, p *plan) error {
	var missing []timeline.MemberAt
	for _, r := range p.rooms {
		if !r.hasTimeline() {
			continue
		}
		for _, user := range p.missingMembers(r) {
			missing = append(missing, timeline.MemberAt{RoomAt: timeline.RoomAt{Room: r.nid, At: r.stateUpTo}, User: user})
		}
		if r.section == left && !r.hasMember(p.userID) {
			missing = append(missing, timeline.MemberAt{RoomAt: timeline.RoomAt{Room: r.nid, At: r.upTo}, User: p.userID})
		}
	}
	if len(missing) == 0 {
		return nil
	}
	found, err := s.Rooms.MemberEvents(ctx, missing, nil)
	for _, r := range p.rooms {
		if list, ok := found[r.nid]; ok {
			r.state = r.state.And(list)
		}
	}
	return err
}

// missingMembers returns the members that a room needs, which are not in its state and the
// client may not know.
func (p *plan) missingMembers(r *room) []string {
	if len(r.needed) == 0 || r.fullState || r.stateAnew {
		return nil
	}
	users := slices.DeleteFunc(slices.Sorted(maps.Keys(r.needed)), r.hasMember)
	if r.beginsAnew() {
		return users
	}
	p.known.mu.Lock()
	defer p.known.mu.Unlock()
	return p.known.without(p.known.rooms[r.nid], users, p.since)
}

// hasMember reports whether the state has the member event of a user.
func (r *room) hasMember(userID string) bool {
	return slices.ContainsFunc(r.state.Events, func(e *timeline.Event) bool { return e.IsState(event.TypeMember, userID) })
}

// fillNames reads what rooms that are new to the client are called, and, where there is no name, the
// members who make one up.
func (s *Service) fillNames(ctx context.Context, p *plan) error {
	rs := p.which(func(r *room) bool { return r.section == joined && (r.fullState || r.summary != nil) })
	if len(rs) == 0 {
		return nil
	}
	states := make([]timeline.LazyState, len(rs))
	for i, r := range rs {
		states[i].RoomAt = timeline.RoomAt{Room: r.nid, At: r.stateUpTo}
	}
	found, err := s.Rooms.LazyStates(ctx, states, ofTypes([]string{event.TypeName, event.TypeAvatar}), nil)
	if err != nil {
		return err
	}
	var heroes []timeline.MemberAt
	for _, r := range rs {
		for _, e := range found[r.nid].Events {
			switch {
			case e.IsState(event.TypeName, ""):
				r.name = e
			case e.IsState(event.TypeAvatar, ""):
				r.avatar = e
			}
		}
		if r.summary == nil || textIn(r.name, "name") != "" {
			continue
		}
		for _, user := range r.summary.Heroes {
			heroes = append(heroes, timeline.MemberAt{RoomAt: timeline.RoomAt{Room: r.nid, At: r.stateUpTo}, User: user})
		}
	}
	if len(heroes) == 0 {
		return nil
	}
	members, err := s.Rooms.MemberEvents(ctx, heroes, nil)
	for _, r := range rs {
		r.heroes = members[r.nid].Events
	}
	return err
}

// textIn returns a text in the content of an event; "": there is none.
func textIn(e *timeline.Event, name string) string {
	if e == nil {
		return ""
	}
	text, _ := event.StringField(e.Content(), name)
	return text
}

// bumping are the types of events by which rooms move up in the lists of clients.
var bumping = ofTypes([]string{
	event.TypeCreate, event.TypeMessage, event.TypeEncrypted, "m.sticker", "m.call.invite", "m.poll.start", "m.beacon_info",
})

// fillBumps finds the newest event of these in the rooms that the answer shows.
func (s *Service) fillBumps(ctx context.Context, p *plan) error {
	var windows []timeline.Window
	for _, r := range p.rooms {
		switch {
		case !r.shown:
		case r.section != joined:
			r.bump = r.upTo
		case r.inWindow:
			if newest := r.newest(bumping, 1); len(newest) > 0 {
				r.bump = newest[0].Place
			}
		default:
			for _, within := range r.access.Ranges(0, r.upTo) {
				windows = append(windows, timeline.Window{Room: r.nid, Range: within})
			}
		}
	}
	if len(windows) == 0 {
		return nil
	}
	found, err := s.Rooms.Timelines(ctx, windows, 0, bumping)
	for _, r := range p.rooms {
		list := found[r.nid]
		for _, e := range list.Events {
			r.bump = max(r.bump, e.Place)
		}
		for _, e := range list.Left {
			r.bump = max(r.bump, e.Place)
		}
	}
	return err
}
