package rooms

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/directory"
	"homeserver/internal/rooms/timeline"
)

// carriedTypes are the types of state, with an empty key, that a new room takes over as it
// is. Client-server API, "Room Upgrades", Server behaviour. What refers to events of the
// old room, such as m.room.pinned_events, has no meaning in the new one, and what depends
// on its sender, such as m.space.parent, would change it.
var carriedTypes = []string{
	event.TypeJoinRules, event.TypeHistoryVisibility, event.TypeGuestAccess, event.TypeEncryption, event.TypeServerACL,
	event.TypeName, event.TypeTopic, event.TypeAvatar,
}

// carriedKeys are the keys of all state that the new room's is made of, but for that of
// which there may be much.
func carriedKeys() []event.StateKey {
	keys := []event.StateKey{{Type: event.TypeCanonicalAlias}, {Type: event.TypePowerLevels}, {Type: event.TypeTombstone}}
	for _, typ := range carriedTypes {
		keys = append(keys, event.StateKey{Type: typ})
	}
	return keys
}

// manyBytes bounds the bans and the rooms of a space that are read for an upgrade, beside
// their number, maxInitialEvents.
const manyBytes = 1 << 20

// manyDrafts drafts the bans, and the rooms of a space, in the new room.
func (u *upgrade) manyDrafts(ctx context.Context) ([]draft, error) {
	return u.s.stateToCarry(ctx, u.userID, u.nid, 0, append(u.creators, u.userID))
}

// stateToCarry drafts bans, and rooms of a space, in the room that replaces it: as many as
// one commit brings.
func (s *Service) stateToCarry(ctx context.Context, sender string, from, to journal.RoomNID, creators []string) ([]draft, error) {
	events, err := s.Timeline.StateToCarry(ctx, from, to, creators, maxInitialEvents)
	if err != nil {
		return nil, err
	}
	var drafts []draft
	bytes := 0
	for e, err := range events.All(ctx) {
		if err != nil {
			return nil, err
		}
		d := carry(sender, e)
		if bytes += len(d.content); bytes > manyBytes && len(drafts) > 0 {
			break
		}
		drafts = append(drafts, d)
	}
	return drafts, nil
}

// CarryState adds to a room that has replaced another one what its upgrade has left: more
// bans, and rooms of a space, than one commit brings. It is called after the upgrade, at
// least once, and does nothing for other rooms, and for what the room's creator may not do
// any more. Their bytes are charged to the creator.
func (s *Service) CarryState(ctx context.Context, create *timeline.Event) error {
	replaced, err := s.Timeline.Replaced(ctx, []journal.RoomNID{create.Room})
	if err != nil || len(replaced) == 0 || !s.isLocal(create.Sender) {
		return err
	}
	for more := true; more; {
		drafts, err := s.stateToCarry(ctx, create.Sender, replaced[0].Old, create.Room, create.CreateContent().Creators)
		if err != nil || len(drafts) == 0 {
			return err
		}
		for i := range drafts {
			drafts[i].optional = true
		}
		if _, err := s.submit(ctx, create.RoomID, drafts...); err != nil {
			return err
		}
		s.limits.Charge(ratelimit.WrittenBytes, create.Sender, weight(drafts)/2)
		more = slices.ContainsFunc(drafts, func(d draft) bool { return d.added })
	}
	return nil
}

// carry drafts the same state in a new room, for another sender. Of a ban it is the reason
// alone that the new room needs to know.
func carry(sender string, e *timeline.Event) draft {
	key, content := *e.StateKey, e.Content()
	if e.Type == event.TypeMember {
		reason, _ := event.StringField(content, "reason")
		content, _ = json.Marshal(memberContent{Membership: event.Ban, Reason: reason}) // two texts always can be encoded
	}
	return draft{sender: sender, typ: e.Type, stateKey: &key, content: content}
}

// begin makes the new room's ID, without which there is no tombstone. From version 12 on
// it comes from the first event.
func (u *upgrade) begin(d *draft) error {
	r := &live{nid: u.newNID, version: u.version, state: newLiveState(true)}
	u.next = &builder{s: u.s, o: &overlay{r: r, added: map[event.StateKey]*timeline.Event{}}, ts: u.s.creationTime()}
	if u.version.HashRoomID {
		if err := u.add(event.TypeCreate, "", u.createContent("")); err != nil {
			return err
		}
	} else {
		r.id = event.NewRoomID(u.s.serverName)
	}
	var err error
	d.content, err = json.Marshal(map[string]string{"body": "This room has been replaced", "replacement_room": r.id})
	return err
}

// finish builds the rest of the new room, once the tombstone is built, and adds it to what
// is committed with that. It may find that state of the old room must be loaded first.
func (u *upgrade) finish(old *builder, tombstone *timeline.Event) error {
	state := map[string]*timeline.Event{}
	for _, key := range carriedKeys() {
		state[key.Type] = old.o.get(key)
	}
	if len(old.o.missed) > 0 {
		return nil
	}
	if !u.version.HashRoomID {
		if err := u.add(event.TypeCreate, "", u.createContent(tombstone.ID)); err != nil {
			return err
		}
	}
	if err := u.add(event.TypeMember, u.userID, json.RawMessage(u.join)); err != nil {
		return err
	}
	if err := u.carryAll(state); err != nil {
		return err
	}
	u.next.fresh[0].Staged.NewRoom = true
	u.next.o.r.advance(u.next, nil)
	old.beside = append(old.beside, u.next.fresh...)
	return nil
}

// carryAll adds the state that the new room takes over. The power levels come last: until
// then the creator of the room may do everything.
func (u *upgrade) carryAll(state map[string]*timeline.Event) error {
	for _, typ := range carriedTypes {
		if e := state[typ]; e != nil {
			if err := u.add(typ, "", u.carried(e)); err != nil {
				return err
			}
		}
	}
	if e := state[event.TypeCanonicalAlias]; e != nil && len(u.local) > 0 {
		_, content, err := directory.Divide(e.Content(), u.local)
		if err != nil {
			return err
		}
		if err := u.add(event.TypeCanonicalAlias, "", json.RawMessage(content)); err != nil {
			return err
		}
	}
	for i := range u.many {
		if err := u.build(&u.many[i]); err != nil {
			return err
		}
	}
	levels, err := u.powerLevels(state[event.TypePowerLevels])
	if err != nil {
		return err
	}
	return u.add(event.TypePowerLevels, "", levels)
}

// carried returns the content of an entry of the old room's state in the new one. A join
// rule that the new version does not have becomes the nearest one that it has.
func (u *upgrade) carried(e *timeline.Event) json.RawMessage {
	shown, _ := e.Seen()
	if e.Type != event.TypeJoinRules {
		return shown.Content
	}
	rule := nearestJoinRule(u.version, shown.JoinRule())
	if rule == shown.JoinRule() {
		return shown.Content
	}
	return event.With(shown.Content, "join_rule", event.AppendString(nil, rule))
}

// nearestJoinRule returns the rule, or a stricter one in a version that does not have it:
// there an unknown rule would let nobody in, invited or not.
func nearestJoinRule(v *event.Version, rule string) string {
	if rule == event.JoinRuleKnockRestricted && !v.KnockRestricted {
		rule = event.JoinRuleRestricted
	}
	if rule == event.JoinRuleRestricted && !v.Restricted || rule == event.JoinRuleKnock && !v.Knock {
		return event.JoinRuleInvite
	}
	return rule
}

func (u *upgrade) createContent(tombstoneID string) map[string]any {
	predecessor := map[string]string{"room_id": u.oldID}
	if tombstoneID != "" {
		predecessor["event_id"] = tombstoneID
	}
	content := map[string]any{"room_version": u.version.ID, "predecessor": predecessor}
	if !u.version.SenderIsCreator {
		content["creator"] = u.userID
	}
	if len(u.creators) > 0 {
		content["additional_creators"] = u.creators
	}
	for _, name := range []string{"type", "m.federate"} {
		if value := event.Field(u.create.Content(), name); value != nil {
			content[name] = json.RawMessage(value)
		}
	}
	return content
}

// powerLevels returns those of the new room: see [event.UpgradePowerLevels]. A room without
// any gets those of a room that is made without naming any.
func (u *upgrade) powerLevels(e *timeline.Event) (any, error) {
	if e != nil {
		shown, _ := e.Seen()
		if levels, err := shown.PowerLevels(); err == nil {
			creators := u.next.o.Event(event.TypeCreate, "").CreateContent().Creators
			content, err := event.UpgradePowerLevels(u.version, levels, u.create.Event, creators)
			return json.RawMessage(content), err
		}
	}
	c := &creation{creator: u.userID, version: u.version}
	return c.powerLevels(), nil
}

// add adds an event to the new room.
func (u *upgrade) add(typ, stateKey string, content any) error {
	raw, err := json.Marshal(content)
	if err != nil {
		return err
	}
	return u.build(&draft{sender: u.userID, typ: typ, stateKey: &stateKey, content: raw})
}

// build adds the event of a draft. M_INVALID_ROOM_STATE for one that the new version does
// not allow: the old room has to be changed before.
func (u *upgrade) build(d *draft) error {
	err := u.next.build(d)
	var refused *matrix.Error
	if errors.As(err, &refused) {
		return matrix.Errorf(matrix.InvalidRoomState, "%s of this room is not possible in a room of version %s: %s", d.typ, u.version.ID, refused.Message)
	}
	return err
}
