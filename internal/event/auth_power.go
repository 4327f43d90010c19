package event

import (
	"maps"
	"slices"

	"homeserver/internal/matrix"
)

// powerLevels applies rule 9: m.room.power_levels. Rules 9.1 to 9.3, about its form,
// are applied when it is parsed.
func (a *authorizer) powerLevels() error {
	next, err := a.event.PowerLevels()
	if err != nil {
		return err
	}
	if err := a.noCreatorLevels(next); err != nil {
		return err
	}
	if a.levels == nil {
		return nil
	}
	if err := a.levelChanges("", a.levels.single, next.single); err != nil {
		return err
	}
	if err := a.levelChanges("events.", a.levels.events, next.events); err != nil {
		return err
	}
	if a.version.NotificationLevels {
		if err := a.levelChanges("notifications.", a.levels.notifications, next.notifications); err != nil {
			return err
		}
	}
	return a.userChanges(a.levels.users, next.users)
}

// noCreatorLevels applies rule 10.4 of version 12. The error is not M_FORBIDDEN, since
// no power level would be enough.
func (a *authorizer) noCreatorLevels(next *PowerLevels) error {
	if !a.version.PrivilegedCreators {
		return nil
	}
	for _, creator := range a.create.CreateContent().Creators {
		if _, ok := next.users[creator]; ok {
			return matrix.Errorf(matrix.BadJSON, "users in m.room.power_levels names %s, a creator of the room", creator)
		}
	}
	return nil
}

// levelChanges applies rules 9.5 to 9.7: to change a level the sender needs both its
// old and its new value.
func (a *authorizer) levelChanges(prefix string, current, next map[string]Power) error {
	for _, name := range changes(current, next) {
		if level, ok := current[name]; ok && level > a.power {
			return a.changeRefused(prefix+name, "changing", level)
		}
		if level, ok := next[name]; ok && level > a.power {
			return a.changeRefused(prefix+name, "setting", level)
		}
	}
	return nil
}

// userChanges applies rules 9.8 and 9.9: users may not change the level of another who
// has as much as they do, nor set a level above their own.
func (a *authorizer) userChanges(current, next map[string]Power) error {
	for _, user := range changes(current, next) {
		if level, ok := current[user]; ok && level >= a.power && user != a.event.Sender {
			return forbidden("you need more than power level %s to change that of %s; you have %s", level, user, a.power)
		}
		if level, ok := next[user]; ok && level > a.power {
			return a.changeRefused("users."+user, "setting", level)
		}
	}
	return nil
}

func (a *authorizer) changeRefused(name, verb string, level Power) error {
	return forbidden("%s %s, which is %s, needs that power level; you have %s",
		verb, string(clip([]byte(name))), level, a.power)
}

// changes lists, in order, the keys that were added, changed or removed.
func changes(current, next map[string]Power) []string {
	changed := make(map[string]bool)
	for key, level := range current {
		if now, ok := next[key]; !ok || now != level {
			changed[key] = true
		}
	}
	for key := range next {
		if _, ok := current[key]; !ok {
			changed[key] = true
		}
	}
	return slices.Sorted(maps.Keys(changed))
}
