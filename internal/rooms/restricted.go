package rooms

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// authoriseRestricted names the member of this server that authorises a user's join of
// a restricted room without an invite; "" where none is needed. M_FORBIDDEN if no
// condition is met, M_UNABLE_TO_GRANT_JOIN if nobody in the room may authorise it.
// Client-server API, "Restricted rooms".
func (s *Service) authoriseRestricted(ctx context.Context, roomID, userID string) (string, error) {
	r, err := s.room(ctx, roomID)
	if err != nil || !r.version.Restricted {
		return "", err
	}
	state, err := s.Timeline.CurrentState(ctx, r.nid, []event.StateKey{
		{Type: event.TypeJoinRules}, {Type: event.TypeMember, Key: userID},
		{Type: event.TypePowerLevels}, {Type: event.TypeCreate},
	})
	if err != nil {
		return "", err
	}
	switch state.Event(event.TypeMember, userID).Membership() {
	case event.Invite, event.Join, event.Ban:
		return "", nil
	}
	rules := state.Event(event.TypeJoinRules, "")
	rule := rules.JoinRule()
	if rule != event.JoinRuleRestricted && rule != event.JoinRuleKnockRestricted || !r.version.KnowsJoinRule(rule) {
		return "", nil
	}
	met, err := s.meetsCondition(ctx, rules, userID)
	if err != nil {
		return "", err
	}
	if !met {
		return "", matrix.Errorf(matrix.Forbidden, "you are in none of the rooms whose members may join this one")
	}
	return s.findInviter(ctx, r, state)
}

func (s *Service) meetsCondition(ctx context.Context, rules *event.Event, userID string) (met bool, err error) {
	allowed := slices.DeleteFunc(rules.AllowedRooms(), func(roomID string) bool { return !matrix.IsRoomID(roomID) })
	return s.Timeline.IsJoinedToAny(ctx, userID, allowed)
}

// findInviter returns the member of this server with the power to invite who has been
// joined for the longest. Members whose power is set are checked one by one; of all
// others, who have the same power, one is.
func (s *Service) findInviter(ctx context.Context, r *live, state timeline.Snapshot) (userID string, err error) {
	levels, err := state.Event(event.TypePowerLevels, "").PowerLevels()
	if err != nil {
		return "", err
	}
	named := namedUsers(state)
	powerful := slices.DeleteFunc(slices.Clone(named), func(userID string) bool {
		return event.UserPower(r.version, state, userID) < levels.Invite()
	})
	const nobody = "" // has the power of all users that are not named
	userID, err = s.Timeline.LongestJoined(ctx, r.nid, s.serverName, powerful, levels.User(nobody) >= levels.Invite(), named)
	if err == nil && userID == "" {
		err = &matrix.Error{
			Code: matrix.UnableToGrantJoin, Status: http.StatusBadRequest,
			Message: "nobody of this server in the room may let you in",
		}
	}
	return userID, err
}

// namedUsers lists the users whose power is not the default one: the creators,
// and those in m.room.power_levels.
func namedUsers(state timeline.Snapshot) []string {
	named := []string{}
	if create := state.Event(event.TypeCreate, ""); create != nil {
		named = append(named, create.CreateContent().Creators...)
	}
	if levels := state.Event(event.TypePowerLevels, ""); levels != nil {
		users := map[string]json.RawMessage{}
		if json.Unmarshal(event.Field(levels.Content, "users"), &users) == nil {
			named = slices.AppendSeq(named, maps.Keys(users))
		}
	}
	return slices.DeleteFunc(named, func(userID string) bool { return !matrix.IsText(userID) })
}
