package push

import (
	"context"
	"maps"
	"slices"

	"homeserver/internal/cache"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// contextTypes are the state events that RoomContext has.
var contextTypes = []string{event.TypeCreate, event.TypePowerLevels, event.TypeName, event.TypeCanonicalAlias}

// roomContexts returns the contexts of rooms, as of now, and reads those that are not
// in memory in bulk. The display names are left out. The contexts must not be written to.
func (s *Service) roomContexts(ctx context.Context, nids []journal.RoomNID) (map[journal.RoomNID]*RoomContext, error) {
	found := make(map[journal.RoomNID]*RoomContext, len(nids))
	var read map[journal.RoomNID]*RoomContext
	var places []func()
	for _, nid := range nids {
		place := s.contexts.Place(nid)
		if known := place.Load(); known != nil {
			found[nid] = known
			continue
		}
		if read == nil {
			read = map[journal.RoomNID]*RoomContext{}
		}
		c := &RoomContext{}
		read[nid] = c
		places = append(places, func() { place.Store(c) })
	}
	if len(read) == 0 {
		return found, nil
	}
	if err := s.readContexts(ctx, read); err != nil {
		return nil, err
	}
	for _, store := range places {
		store()
	}
	maps.Copy(found, read)
	return found, nil
}

// readContexts reads rooms. Their places in the cache are taken before: a later commit
// makes others read them again. The tables have the redacted form of a redacted event.
func (s *Service) readContexts(ctx context.Context, read map[journal.RoomNID]*RoomContext) error {
	now := timeline.PlaceOf(s.journal.Position())
	nids := make([]journal.RoomNID, 0, len(read))
	at := make([]timeline.RoomAt, 0, len(read))
	for nid := range read {
		nids = append(nids, nid)
		at = append(at, timeline.RoomAt{Room: nid, At: now})
	}
	summaries, err := s.rooms.Summaries(ctx, nids, "")
	if err != nil {
		return err
	}
	for i := range summaries {
		read[summaries[i].Room].Members = summaries[i].Joined
	}
	state, err := s.rooms.States(ctx, at, &timeline.EventFilter{Types: &contextTypes}, false)
	if err != nil {
		return err
	}
	for e, err := range s.rooms.Cursor(state.All()).All(ctx) {
		switch {
		case err != nil:
			return err
		case *e.StateKey != "":
		case e.Type == event.TypeCreate:
			read[e.Room].Create = e.Event
		case e.Type == event.TypePowerLevels:
			read[e.Room].Levels = e.Event
		case e.Type == event.TypeName:
			read[e.Room].Name, _ = event.StringField(e.Content(), "name")
		case e.Type == event.TypeCanonicalAlias:
			read[e.Room].Alias, _ = event.StringField(e.Content(), "alias")
		}
	}
	return nil
}

// addNames puts contexts with the display names of a user in place of those without, as of
// now, reading those that are not in memory in bulk.
func (s *Service) addNames(ctx context.Context, userID string, in map[journal.RoomNID]*RoomContext) error {
	members := make([]tallyKey, 0, len(in))
	for nid := range in {
		members = append(members, tallyKey{userID, nid})
	}
	names, err := s.memberNames(ctx, members)
	if err != nil {
		return err
	}
	for nid, c := range in {
		if name := names[tallyKey{userID, nid}]; name != "" {
			named := *c
			named.DisplayName = name
			in[nid] = &named
		}
	}
	return nil
}

// memberNames returns the display names of members of rooms, as of now, reading those that
// are not in memory in bulk. Those that are too long to be looked for are left out.
func (s *Service) memberNames(ctx context.Context, members []tallyKey) (map[tallyKey]string, error) {
	names := make(map[tallyKey]string, len(members))
	var missing map[tallyKey]cache.Place[tallyKey, string]
	for _, key := range members {
		place := s.names.Place(key)
		if name := place.Load(); name != nil {
			names[key] = *name
			continue
		}
		if missing == nil {
			missing = map[tallyKey]cache.Place[tallyKey, string]{}
		}
		missing[key] = place
	}
	if len(missing) == 0 {
		return names, nil
	}
	now := timeline.PlaceOf(s.journal.Position())
	at := make([]timeline.MemberAt, 0, len(missing))
	for key := range missing {
		at = append(at, timeline.MemberAt{RoomAt: timeline.RoomAt{Room: key.room, At: now}, User: key.user})
	}
	events, err := s.rooms.MemberEvents(ctx, at, nil)
	if err != nil {
		return nil, err
	}
	for e, err := range s.rooms.Cursor(events.All()).All(ctx) {
		if err != nil {
			return nil, err
		}
		if name, _ := event.StringField(e.Content(), "displayname"); len(name) <= maxPatternBytes {
			names[tallyKey{*e.StateKey, e.Room}] = name
		}
	}
	for key, place := range missing {
		name := names[key]
		place.Store(&name)
	}
	return names, nil
}

// weighContext estimates the bytes of the context of a room in memory.
func weighContext(_ journal.RoomNID, c *RoomContext) int {
	const structs = 80
	bytes := structs
	if c != nil && c.Create != nil {
		bytes += c.Create.Size()
	}
	if c != nil && c.Levels != nil {
		bytes += c.Levels.Size()
	}
	if c != nil {
		bytes += cache.Text(c.Name, c.Alias)
	}
	return bytes
}

// weighName estimates the bytes of a member's name in memory.
func weighName(of tallyKey, name *string) int {
	const structs = 24
	bytes := structs + cache.Text(of.user)
	if name != nil {
		bytes += cache.Text(*name)
	}
	return bytes
}

// evaluation is the rules of a user, and the rooms that they are applied in. It serves
// one caller.
type evaluation struct {
	rules   *Ruleset
	ignored map[string]bool
	// hidesInvite reports whether invites by a user are not shown; nil: all are.
	hidesInvite func(sender string) bool
	basis       basis // of all of them
	rooms       map[journal.RoomNID]*RoomContext
	look        look
	// cut has the rooms of the events for which the user's budget did not suffice.
	cut map[journal.RoomNID]bool
}

// enter makes an evaluation ready for events, reading their rooms.
func (s *Service) enter(ctx context.Context, v *evaluation, events []*timeline.Event) error {
	var nids []journal.RoomNID
	for i, e := range events {
		if i == 0 || e.Room != events[i-1].Room {
			nids = append(nids, e.Room)
		}
	}
	slices.Sort(nids)
	return s.enterRooms(ctx, v, slices.Compact(nids))
}

// enterRooms makes an evaluation ready for events of rooms.
func (s *Service) enterRooms(ctx context.Context, v *evaluation, nids []journal.RoomNID) (err error) {
	if v.rooms, err = s.roomContexts(ctx, nids); err != nil {
		return err
	}
	if v.rules.needsName {
		return s.addNames(ctx, v.rules.owner.userID, v.rooms)
	}
	return nil
}

// outcome applies the rules to an event.
func (v *evaluation) outcome(e *timeline.Event) Outcome {
	outcome := v.rules.evaluate(e, v.rooms[e.Room], &v.look)
	if v.look.cut {
		if v.cut == nil {
			v.cut = map[journal.RoomNID]bool{}
		}
		v.cut[e.Room] = true
	}
	return outcome
}

// newEvaluation reads the rules of a user and the users that they ignore. All
// evaluations for the user at the same time have one budget.
func (s *Service) newEvaluation(ctx context.Context, userID string) (*evaluation, error) {
	rules, err := s.Ruleset(ctx, userID)
	if err != nil {
		return nil, err
	}
	v := &evaluation{rules: rules}
	v.look.now, v.look.budget = s.now, func() *budget { return s.budgetOf(userID) }
	if s.o.Ignored != nil {
		if v.ignored, err = s.o.Ignored(ctx, userID); err != nil {
			return nil, err
		}
	}
	v.basis = newBasis(rules.Changed, v.ignored)
	if s.o.HiddenInvites != nil {
		v.hidesInvite, v.basis.invites, err = s.o.HiddenInvites(ctx, userID)
	}
	return v, err
}

// isUnwanted reports whether an event is by an ignored user, or invites the user although such
// invites are not wanted.
func (v *evaluation) isUnwanted(e *timeline.Event, userID string) bool {
	if v.ignored[e.Sender] {
		return true
	}
	return v.hidesInvite != nil && e.IsState(event.TypeMember, userID) && e.Membership() == event.Invite && v.hidesInvite(e.Sender)
}

func (s *Service) budgetOf(userID string) *budget {
	place := s.budgets.Place(userID)
	place.Store(newBudget(s.now())) // unless there is one
	return place.Load()
}
