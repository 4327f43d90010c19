package push

import (
	"strings"
	"unicode/utf8"

	"homeserver/internal/event"
	"homeserver/internal/rooms/timeline"
)

// look is an event while rules examine it: properties that several of them need are
// found once, and the cost is counted. One look serves one event after the other.
type look struct {
	effort
	rules *Ruleset
	event *timeline.Event
	room  *RoomContext

	// members are the values in the content that rules ask for, by their slots.
	members []([]byte)
	body    string // what is looked at of it, in lower case
	power   event.Power
	// Which of the above have been found, and whether the body is a string.
	hasMembers, hasBody, hasPower, bodyIsText bool
}

// begin turns to the next event.
func (l *look) begin(r *Ruleset, e *timeline.Event, in *RoomContext) {
	members := l.members
	if cap(members) < len(r.slots) {
		members = make([][]byte, len(r.slots))
	}
	members = members[:len(r.slots)]
	clear(members)
	*l = look{effort: l.effort, rules: r, event: e, room: in, members: members}
	l.effort.begin()
}

// member returns the value of a member of the content; nil if it is not there. All that
// rules ask for are found in one pass.
func (l *look) member(slot int) []byte {
	if !l.hasMembers {
		l.hasMembers = true
		l.readMembers()
	}
	return l.members[slot]
}

func (l *look) readMembers() {
	const oneMember = 16
	content := l.event.Content()
	if !l.spend(len(content) / 2) {
		return
	}
	for name, value := range event.Members(content) {
		if !l.spend(oneMember) {
			return
		}
		if slot, ok := l.rules.slots[string(name)]; ok {
			l.members[slot] = value
		}
	}
}

// value returns the JSON that a path leads to within the content; nil if there is none.
func (l *look) value(p *path) []byte {
	if !p.isInContent() {
		return nil
	}
	value := l.member(p.slot)
	for _, name := range p.inside[1:] {
		if !l.spend(len(value)) {
			return nil
		}
		value = event.Field(value, name)
	}
	return value
}

// text returns the value of a path if it is a string.
func (l *look) text(p *path) (string, bool) {
	if !p.isInContent() {
		return p.text(l.event)
	}
	value := l.value(p)
	if !l.spend(len(value)) {
		return "", false
	}
	return event.Unquote(value)
}

// words returns the part of content.body that rules examine, in lower case, if it is a
// string.
func (l *look) words() (string, bool) {
	if !l.hasBody {
		l.hasBody = true
		if value := l.member(bodySlot); l.spend(min(len(value), maxBodyBytes)) {
			l.body, l.bodyIsText = firstWords(value)
			l.body = strings.ToLower(l.body)
		}
	}
	return l.body, l.bodyIsText
}

// firstWords returns the text of a JSON string, of a long one only its beginning, which
// ends with a word.
func firstWords(value []byte) (string, bool) {
	if len(value) <= maxBodyBytes || value[0] != '"' {
		return event.Unquote(value)
	}
	end := 1
	for end < maxBodyBytes {
		end += characterSize(value[end:])
	}
	short := append(append(make([]byte, 0, end+1), value[:end]...), '"')
	text, ok := event.Unquote(short)
	return strings.TrimRightFunc(text, func(c rune) bool { return c < utf8.RuneSelf && isWord(byte(c)) }), ok
}

// characterSize returns how many bytes the first character within a JSON string has.
func characterSize(s []byte) int {
	switch {
	case s[0] != '\\':
		_, size := utf8.DecodeRune(s)
		return size
	case s[1] == 'u':
		return len(`\u0000`)
	}
	return len(`\n`)
}

// mayNotify reports whether the sender of the event has the power to notify all:
// client-server API, "Conditions", sender_notification_permission.
func (l *look) mayNotify(key string) bool {
	levels, err := l.room.Levels.PowerLevels()
	if err != nil {
		levels = nil // as event.UserPower takes it
	}
	if !l.hasPower {
		l.hasPower = true
		l.power = event.UserPower(l.event.Version, l.room, l.event.Sender)
	}
	return l.power >= levels.Notification(key)
}
