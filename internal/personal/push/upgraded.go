package push

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// CarryOver copies to a room the user's own rules for the room that it replaced: the one for
// the room, and those of the kind override whose ID has the room's, by which clients mute a
// room. A rule that is there already stays as it is, so it does no harm to call it again.
// M_UNKNOWN and M_TOO_LARGE if there are too many rules. Client-server API, "Room
// Upgrades", Server behaviour.
func (s *Service) CarryOver(ctx context.Context, userID string, r timeline.Replacement) error {
	return s.change(ctx, userID, func(own *ownRules) error {
		for _, k := range []Kind{Room, Override} {
			if err := own.carryOver(k, r.OldID, r.NewID); err != nil {
				return err
			}
		}
		return nil
	})
}

func (o *ownRules) carryOver(k Kind, oldID, newID string) error {
	for _, rule := range slices.Clone(o.Rules[k]) {
		id := strings.ReplaceAll(rule.ID, oldID, newID)
		if id == rule.ID || k == Room && rule.ID != oldID || checkRuleID(id) != nil || indexRule(o.Rules[k], id) >= 0 {
			continue
		}
		if o.count() >= MaxRules {
			return matrix.Errorf(matrix.Unknown, "a user has at most %d rules", MaxRules)
		}
		i := indexRule(o.Rules[k], rule.ID)
		rule.ID = id
		rule.Conditions = inRoom(rule.Conditions, oldID, newID)
		o.Rules[k] = slices.Insert(o.Rules[k], i, rule)
	}
	return nil
}

// inRoom returns conditions that hold in one room as they hold in another.
func inRoom(conditions []json.RawMessage, oldID, newID string) []json.RawMessage {
	changed := slices.Clone(conditions)
	for i, raw := range changed {
		changed[i] = bytes.ReplaceAll(raw, event.AppendString(nil, oldID), event.AppendString(nil, newID))
	}
	return changed
}
