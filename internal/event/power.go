package event

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"homeserver/internal/matrix"
)

// Power is a power level. Levels of more than 64 bits, which only room versions 1 to 5
// have, count as the greatest or the least finite one.
type Power int64

// Infinite is the power of the creators of a room of version 12: greater than any
// level in m.room.power_levels.
const Infinite Power = math.MaxInt64

const (
	maxPower = Infinite - 1
	minPower = -maxPower
)

// String returns the level as a number.
func (p Power) String() string {
	if p == Infinite {
		return "infinite"
	}
	return strconv.FormatInt(int64(p), 10)
}

// PowerLevels is the content of an m.room.power_levels event. A nil *PowerLevels is
// that of a room without that event. Levels that the event does not set have the
// defaults of the client-server API, "m.room.power_levels".
type PowerLevels struct {
	// single holds the levels that are members of the content themselves, by name.
	single                       map[string]Power
	users, events, notifications map[string]Power
}

// User returns the level of a user. It disregards the room's creators, whose power
// [UserPower] knows.
func (p *PowerLevels) User(userID string) Power {
	if p != nil {
		if level, ok := p.users[userID]; ok {
			return level
		}
	}
	return p.level("users_default", 0)
}

// Event returns the level that is needed to send an event of the type.
func (p *PowerLevels) Event(evType string, isState bool) Power {
	if p != nil {
		if level, ok := p.events[evType]; ok {
			return level
		}
	}
	if isState {
		return p.level("state_default", 50)
	}
	return p.level("events_default", 0)
}

// Notification returns the level that is needed for a kind of notification to all
// members, such as "room" for @room.
func (p *PowerLevels) Notification(key string) Power {
	if p != nil {
		if level, ok := p.notifications[key]; ok {
			return level
		}
	}
	return 50
}

// Ban returns the level that is needed to ban and to unban.
func (p *PowerLevels) Ban() Power { return p.level("ban", 50) }

// Invite returns the level that is needed to invite.
func (p *PowerLevels) Invite() Power { return p.level("invite", 0) }

// Kick returns the level that is needed to kick.
func (p *PowerLevels) Kick() Power { return p.level("kick", 50) }

// Redact returns the level that is needed to redact the events of others.
func (p *PowerLevels) Redact() Power { return p.level("redact", 50) }

func (p *PowerLevels) level(name string, otherwise Power) Power {
	if p != nil {
		if level, ok := p.single[name]; ok {
			return level
		}
	}
	return otherwise
}

// UserPower returns the power of a user in a room. A creator's is [Infinite] from
// version 12 on. Before that, where there is no usable m.room.power_levels, it is 100
// for the creator and 0 for everybody else.
func UserPower(v *Version, s State, userID string) Power {
	levels, err := s.Event(TypePowerLevels, "").PowerLevels()
	if err != nil {
		levels = nil
	}
	return userPower(v, s.Event(TypeCreate, ""), levels, userID)
}

func userPower(v *Version, create *Event, levels *PowerLevels, userID string) Power {
	if levels != nil && !v.PrivilegedCreators || create == nil {
		return levels.User(userID)
	}
	for _, creator := range create.CreateContent().Creators {
		if creator != userID {
			continue
		}
		if v.PrivilegedCreators {
			return Infinite
		}
		return 100
	}
	return levels.User(userID)
}

// parsePowerLevels reads the content of m.room.power_levels. M_FORBIDDEN for a value
// that is no level in the room version: from version 10 on by rules 9.1 to 9.3; before
// that the rules name users only, but other levels have to be comparable, too.
func parsePowerLevels(v *Version, content []byte) (*PowerLevels, error) {
	names := [...]string{"users_default", "events_default", "state_default", "ban", "redact", "kick", "invite"}
	p := &PowerLevels{single: make(map[string]Power, len(names))}
	for _, name := range names {
		value := Field(content, name)
		if value == nil {
			continue
		}
		level, ok := parsePower(v, value)
		if !ok {
			return nil, badLevel(name, value)
		}
		p.single[name] = level
	}
	var err error
	if p.users, err = parsePowerMap(v, content, "users"); err != nil {
		return nil, err
	}
	for user := range p.users {
		if !isUserID(user) {
			return nil, forbidden("users in m.room.power_levels names %s, which is not a user ID", quote(user))
		}
	}
	if p.events, err = parsePowerMap(v, content, "events"); err != nil {
		return nil, err
	}
	if p.notifications, err = parsePowerMap(v, content, "notifications"); err != nil {
		if v.NotificationLevels {
			return nil, err
		}
		p.notifications = nil
	}
	return p, nil
}

// CheckPowerLevels checks the content of an m.room.power_levels event that a client of
// this server sends, by the same rules for every room version: a level has to be an
// integer within ±(2^53-1). Versions 1 to 9 accept text as well, and 1 to 5 any number,
// but only for events of older servers; programs disagree on what such levels mean.
// M_BAD_JSON, or the errors of [Canonical] where it is not an object of JSON.
func CheckPowerLevels(content []byte) error {
	canonical, err := canonicalObject(content, anyNumber, 1)
	if err != nil {
		return err
	}
	strictest := Version{StrictJSON: true, NotificationLevels: true, IntegerPowerLevels: true}
	_, err = parsePowerLevels(&strictest, canonical)
	var refused *matrix.Error
	if errors.As(err, &refused) {
		return matrix.Errorf(matrix.BadJSON, "%s", refused.Message)
	}
	return err
}

func parsePowerMap(v *Version, content []byte, name string) (map[string]Power, error) {
	object := Field(content, name)
	if object == nil {
		return nil, nil
	}
	if object[0] != '{' {
		return nil, forbidden("%s in m.room.power_levels is not an object", name)
	}
	levels := make(map[string]Power)
	for m := membersOf(object); m.next(); {
		level, ok := parsePower(v, m.value)
		if !ok {
			return nil, badLevel(name, m.value)
		}
		levels[string(unescape(m.key))] = level
	}
	return levels, nil
}

func badLevel(name string, value []byte) error {
	return forbidden("%s in m.room.power_levels has the value %s, which is not a power level", name, clip(value))
}

func forbidden(format string, args ...any) error {
	return matrix.Errorf(matrix.Forbidden, format, args...)
}

// quote returns a text of a stranger in a form for error messages.
func quote(text string) string { return strconv.Quote(string(clip([]byte(text)))) }

// parsePower reads one level: an integer; up to version 9 also a string that is
// one; up to version 5 also a float, which is cut off at the decimal point. "Event
// format" of versions 1, 9 and 10.
func parsePower(v *Version, value []byte) (Power, bool) {
	switch c := value[0]; {
	case c == '-' || c >= '0' && c <= '9':
		return parseNumericPower(v, string(value))
	case c == '"' && !v.IntegerPowerLevels:
		text, _ := Unquote(value)
		return parseIntegerPower(strings.Trim(text, " \t\n\v\f\r"))
	}
	return 0, false
}

func parseNumericPower(v *Version, text string) (Power, bool) {
	if !strings.ContainsAny(text, ".eE") {
		level, ok := parseIntegerPower(text)
		return level, ok && (!v.StrictJSON || level >= -maxSafeInteger && level <= maxSafeInteger)
	}
	float, err := strconv.ParseFloat(text, 64)
	if err != nil || v.StrictJSON {
		return 0, false
	}
	switch {
	case float >= float64(maxPower):
		return maxPower, true
	case float <= float64(minPower):
		return minPower, true
	}
	return Power(float), true
}

// parseIntegerPower reads decimal digits with an optional sign.
func parseIntegerPower(text string) (Power, bool) {
	digits := strings.TrimLeft(text, "+-")
	if digits == "" || len(text)-len(digits) > 1 || digitRun([]byte(digits)) != len(digits) {
		return 0, false
	}
	// The only error left is that it is out of range; ParseInt then returns the nearest
	// number.
	level, _ := strconv.ParseInt(text, 10, 64)
	return min(max(Power(level), minPower), maxPower), true
}
