package push

import (
	"bytes"
	stdjson "encoding/json"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
)

// Limits of one condition.
const (
	maxPatternBytes = 512
	maxPathNames    = 32
)

// test is the kind of a condition.
type test int

const (
	never test = iota // a condition that is not known here
	matchProperty
	propertyIs
	propertyContains
	containsName
	memberCount
	senderMayNotify
	isRoom
	isSender
	isAbsent
)

// condition is a compiled condition: client-server API, "Conditions". Which of
// its fields are set depends on the test.
type condition struct {
	test  test
	path  path
	glob  *glob
	value []byte // canonical JSON
	// text is the room or the sender, the key of senderMayNotify, or the text of value.
	text   string
	isText bool // value is a string
	// ofOwner: the glob or the value is that of the rules' owner, and not here.
	ofOwner ownerPart
	op      string // of memberCount
	count   int64
}

// ownerPart is what of the owner of rules a condition looks for.
type ownerPart int

const (
	noOwner ownerPart = iota
	ownerID
	ownerLocalpart
)

// nameOwner makes a condition in which a placeholder stands one about the rules' owner.
func (c *condition) nameOwner() {
	switch {
	case c.isText && c.text == theOwner, c.glob != nil && string(c.glob.literal) == theOwner:
		c.ofOwner = ownerID
	case c.glob != nil && string(c.glob.literal) == theLocalpart:
		c.ofOwner = ownerLocalpart
	}
}

// pattern returns the glob that a property is matched with.
func (c *condition) pattern(o *owner) *glob {
	switch c.ofOwner {
	case ownerID:
		return o.id
	case ownerLocalpart:
		return o.localpart
	}
	return c.glob
}

// conditionJSON is a condition as clients write it: the schema PushCondition.
type conditionJSON struct {
	Kind    *string            `json:"kind"`
	Key     *string            `json:"key"`
	Pattern *string            `json:"pattern"`
	Is      *string            `json:"is"`
	Value   stdjson.RawMessage `json:"value"`
}

// parseCondition compiles a condition, which is canonical JSON. One of an unknown kind
// never holds. M_BAD_JSON if it is no object or has a wrong type in it, M_MISSING_PARAM
// and M_INVALID_PARAM for other errors.
func parseCondition(raw []byte) (condition, error) {
	var c conditionJSON
	if err := json.Unmarshal(raw, &c); err != nil || raw[0] != '{' {
		return condition{}, matrix.Errorf(matrix.BadJSON, "a condition is an object, and its kind, key, pattern and is are strings")
	}
	if c.Kind == nil {
		return condition{}, matrix.Errorf(matrix.MissingParam, "a condition needs a kind")
	}
	switch *c.Kind {
	case "event_match":
		return c.eventMatch()
	case "event_property_is":
		return c.property(propertyIs)
	case "event_property_contains":
		return c.property(propertyContains)
	case "contains_display_name":
		return condition{test: containsName}, nil
	case "room_member_count":
		return c.memberCount()
	case "sender_notification_permission":
		if c.Key == nil {
			return condition{}, c.missing("key")
		}
		return condition{test: senderMayNotify, text: *c.Key}, nil
	}
	return condition{}, nil
}

func (c *conditionJSON) missing(what string) error {
	return matrix.Errorf(matrix.MissingParam, "a condition %s needs %s", *c.Kind, what)
}

func (c *conditionJSON) parsePath() (path, error) {
	if c.Key == nil {
		return path{}, c.missing("a key")
	}
	p := newPath(*c.Key)
	if len(p.inside) >= maxPathNames {
		return path{}, matrix.Errorf(matrix.InvalidParam, "a key has at most %d names", maxPathNames)
	}
	return p, nil
}

func (c *conditionJSON) eventMatch() (condition, error) {
	p, err := c.parsePath()
	if err != nil {
		return condition{}, err
	}
	if c.Pattern == nil {
		return condition{}, c.missing("a pattern")
	}
	if err := checkPattern(*c.Pattern); err != nil {
		return condition{}, err
	}
	return condition{test: matchProperty, path: p, glob: newGlob(*c.Pattern)}, nil
}

func checkPattern(pattern string) error {
	if len(pattern) > maxPatternBytes {
		return matrix.Errorf(matrix.InvalidParam, "a pattern has at most %d bytes", maxPatternBytes)
	}
	return nil
}

func (c *conditionJSON) property(t test) (condition, error) {
	p, err := c.parsePath()
	if err != nil {
		return condition{}, err
	}
	if c.Value == nil {
		return condition{}, c.missing("a value")
	}
	if !isScalar(c.Value) {
		return condition{}, matrix.Errorf(matrix.InvalidParam, "a value is a string, an integer, true, false or null")
	}
	text, isText := event.Unquote(c.Value)
	return condition{test: t, path: p, value: c.Value, text: text, isText: isText}, nil
}

func (c *conditionJSON) memberCount() (condition, error) {
	if c.Is == nil {
		return condition{}, c.missing("is")
	}
	digits := strings.TrimLeft(*c.Is, "=<>")
	op := (*c.Is)[:len(*c.Is)-len(digits)]
	n, err := strconv.ParseInt(digits, 10, 64)
	switch op {
	case "", "==", "<", ">", "<=", ">=":
	default:
		err = strconv.ErrSyntax
	}
	if err != nil || digits[0] == '+' || digits[0] == '-' {
		return condition{}, matrix.Errorf(matrix.InvalidParam, "is must be a number with ==, <, >, <= or >= before it, or nothing")
	}
	return condition{test: memberCount, op: op, count: n}, nil
}

// holds reports whether the condition holds for an event. A property for which no
// effort is left counts as missing.
func (c *condition) holds(l *look) bool {
	switch c.test {
	case matchProperty:
		return c.matches(l)
	case propertyIs:
		return c.is(l)
	case propertyContains:
		array := l.value(&c.path)
		if c.ofOwner == ownerID {
			return l.spend(len(array)) && contains(array, l.rules.owner.quoted)
		}
		return l.spend(len(array)) && contains(array, c.value)
	case containsName:
		return c.findsName(l)
	case memberCount:
		return c.compares(l.room.Members)
	case senderMayNotify:
		return l.mayNotify(c.text)
	case isRoom:
		return l.event.RoomID == c.text
	case isSender:
		return l.event.Sender == c.text
	case isAbsent:
		return l.value(&c.path) == nil
	}
	return false
}

func (c *condition) matches(l *look) bool {
	pattern := c.pattern(&l.rules.owner)
	if c.path.body {
		text, ok := l.words()
		return ok && pattern.matchesWords(text, &l.effort)
	}
	if c.path.isInContent() && pattern.literal != nil {
		return pattern.isJSON(l.value(&c.path), &l.effort)
	}
	text, ok := l.text(&c.path)
	return ok && pattern.matches(text, &l.effort)
}

func (c *condition) is(l *look) bool {
	switch {
	case c.path.isInContent():
		return bytes.Equal(l.value(&c.path), c.value)
	case c.path.top == "origin_server_ts" && len(c.path.inside) == 0:
		return string(c.value) == strconv.FormatInt(l.event.OriginServerTS, 10)
	}
	text, ok := c.path.text(l.event)
	return ok && c.isText && text == c.text
}

// contains reports whether a value is an element of a JSON array, and not only inside
// of one.
func contains(array, value []byte) bool {
	if len(array) == 0 || array[0] != '[' {
		return false
	}
	for rest := array[1:]; len(rest) > 0; {
		end := elementEnd(rest)
		if bytes.Equal(rest[:end], value) {
			return true
		}
		rest = rest[min(end+1, len(rest)):]
	}
	return false
}

// elementEnd returns where the first element of the rest of an array ends: at a comma
// or bracket outside of texts and of the element itself.
func elementEnd(rest []byte) int {
	depth, inText := 0, false
	for i := 0; i < len(rest); i++ {
		switch b := rest[i]; {
		case inText && b == '\\':
			i++
		case b == '"':
			inText = !inText
		case inText:
		case b == '[' || b == '{':
			depth++
		case depth == 0 && (b == ',' || b == ']'):
			return i
		case b == ']' || b == '}':
			depth--
		}
	}
	return len(rest)
}

func (c *condition) findsName(l *look) bool {
	name := l.room.DisplayName
	if name == "" {
		return false
	}
	text, ok := l.words()
	if !ok {
		return false
	}
	p := part{text: strings.ToLower(name)}
	return p.findWhole(text, &l.effort)
}

func (c *condition) compares(members int64) bool {
	switch c.op {
	case "<":
		return members < c.count
	case ">":
		return members > c.count
	case "<=":
		return members <= c.count
	case ">=":
		return members >= c.count
	}
	return members == c.count
}
