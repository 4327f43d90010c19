package event

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// defaultLevel is the least power of those who made a room, and ownerLevel the least that
// an upgrade of a room of version 12 needs unless the room says otherwise.
const (
	defaultLevel Power = 100
	ownerLevel   Power = 150
	safeLevel    Power = maxSafeInteger
)

// UpgradePowerLevels returns the content of m.room.power_levels for the room of a version,
// made by some creators, that replaces a room with these levels, which are not nil, and
// with that m.room.create. The levels are integers in it, whatever the old version allowed.
//
// Creators whose power is infinite are not named. Where the new version has no such power,
// those who had it in the old room have as much as anybody, and enough for everything.
// Client-server API, POST /createRoom: from version 12 on it takes more to upgrade a room
// than to set other state.
func UpgradePowerLevels(to *Version, levels *PowerLevels, create *Event, creators []string) ([]byte, error) {
	content := map[string]any{}
	for name, level := range levels.single {
		content[name] = safe(level)
	}
	users, events := safeLevels(levels.users), safeLevels(levels.events)
	switch old := create.Version.PrivilegedCreators; {
	case to.PrivilegedCreators:
		for _, creator := range creators {
			delete(users, creator)
		}
		if least := levels.level("state_default", 50) + 1; !old || levels.Event(TypeTombstone, true) < least {
			events[TypeTombstone] = safe(max(levels.Event(TypeTombstone, true), least, ownerLevel))
		}
	case old:
		for _, creator := range create.CreateContent().Creators {
			users[creator] = levels.highest()
		}
	}
	content["users"], content["events"] = users, events
	if levels.notifications != nil {
		content["notifications"] = safeLevels(levels.notifications)
	}
	return json.Marshal(content)
}

// highest returns the greatest of all levels, and at least that of somebody who has made a
// room.
func (p *PowerLevels) highest() Power {
	most := defaultLevel
	for _, levels := range []map[string]Power{p.single, p.users, p.events, p.notifications} {
		if len(levels) > 0 {
			most = max(most, slices.Max(slices.Collect(maps.Values(levels))))
		}
	}
	return safe(most)
}

// safe returns the level, or the nearest one that every room version can write.
func safe(level Power) Power { return min(max(level, -safeLevel), safeLevel) }

func safeLevels(levels map[string]Power) map[string]Power {
	all := make(map[string]Power, len(levels))
	for key, level := range levels {
		all[key] = safe(level)
	}
	return all
}

// ClosePowerLevels returns the content of an m.room.power_levels event, in canonical form
// and with these levels, changed so that ordinary members can neither send events nor
// invite; nil where it is so already. Client-server API, "Room Upgrades".
func ClosePowerLevels(content []byte, levels *PowerLevels) []byte {
	least := max(50, safe(levels.level("users_default", 0)+1))
	changed := false
	for name, level := range map[string]Power{
		"events_default": levels.level("events_default", 0), "invite": levels.Invite(),
	} {
		if level < least {
			content, changed = setMember(content, name, strconv.AppendInt(nil, int64(least), 10)), true
		}
	}
	if !changed {
		return nil
	}
	return content
}
