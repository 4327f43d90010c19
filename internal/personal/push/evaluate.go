package push

import (
	stdjson "encoding/json"
	"slices"

	"github.com/go-json-experiment/json"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// Outcome is the result of the rules for an event. The zero value: no notification.
type Outcome struct {
	Notify, Highlight bool
	// Tweaks are the tweaks that are set, by name, as JSON: client-server API,
	// "Actions". They must not be written to.
	Tweaks map[string]stdjson.RawMessage
	// Actions are those of the rule that matched.
	Actions []stdjson.RawMessage
}

// RoomContext has the properties of an event's room that rules may examine.
type RoomContext struct {
	// Members is how many have joined.
	Members int64
	// DisplayName is that of the rules' owner in the room; "": none, or one that is too
	// long to be looked for.
	DisplayName string
	// Create and Levels are the room's m.room.create and m.room.power_levels; nil:
	// there is none.
	Create, Levels *event.Event
	// Name and Alias are the name and the canonical alias of the room; "": it has none.
	Name, Alias string
}

// Event makes RoomContext an event.State, which has the events that power depends on.
func (r *RoomContext) Event(evType, stateKey string) *event.Event {
	switch {
	case stateKey != "":
	case evType == event.TypeCreate:
		return r.Create
	case evType == event.TypePowerLevels:
		return r.Levels
	}
	return nil
}

// compiledRule is a rule that is enabled, ready to be evaluated.
type compiledRule struct {
	conditions []condition
	outcome    Outcome
}

// The slots of members of the content that every ruleset examines.
const (
	bodySlot = iota
	mentionsSlot
)

// compile makes the rules ready. It runs once, when the list is made.
func (l *ruleList) compile() {
	l.slots = map[string]int{"body": bodySlot, "m.mentions": mentionsSlot}
	for k, list := range l.rules {
		for i := range list {
			if list[i].Enabled {
				l.compiled = append(l.compiled, l.compileRule(Kind(k), &list[i]))
			}
		}
	}
}

func (l *ruleList) compileRule(k Kind, rule *Rule) compiledRule {
	c := compiledRule{outcome: outcomeOf(rule.Actions)}
	if isLegacyMention(rule.ID) {
		c.conditions = append(c.conditions, condition{test: isAbsent, path: newPath(`content.m\.mentions`)})
	}
	switch k {
	case Content:
		c.conditions = append(c.conditions, condition{test: matchProperty, path: newPath("content.body"), glob: newGlob(*rule.Pattern)})
	case Room:
		c.conditions = []condition{{test: isRoom, text: rule.ID}}
	case Sender:
		c.conditions = []condition{{test: isSender, text: rule.ID}}
	default:
		c.conditions = slices.Grow(c.conditions, len(rule.Conditions))
		for _, raw := range rule.Conditions {
			// Stored conditions have been checked; the zero value never holds.
			parsed, _ := parseCondition(raw)
			l.needsName = l.needsName || parsed.test == containsName
			c.conditions = append(c.conditions, parsed)
		}
	}
	for i := range c.conditions {
		c.conditions[i].nameOwner()
		l.giveSlot(&c.conditions[i].path)
	}
	return c
}

func (l *ruleList) giveSlot(p *path) {
	if !p.isInContent() {
		return
	}
	slot, ok := l.slots[p.inside[0]]
	if !ok {
		slot = len(l.slots)
		l.slots[p.inside[0]] = slot
	}
	p.slot = slot
}

// action is an action with parameters.
type action struct {
	SetTweak *string            `json:"set_tweak"`
	Value    stdjson.RawMessage `json:"value"`
}

// noTweaks is shared by all outcomes that set none.
var noTweaks = map[string]stdjson.RawMessage{}

// outcomeOf reads actions, which have been checked. Those of former versions of
// the specification, dont_notify and coalesce, do nothing.
func outcomeOf(actions []stdjson.RawMessage) Outcome {
	o := Outcome{Actions: actions, Tweaks: noTweaks}
	for _, raw := range actions {
		var a action
		switch {
		case string(raw) == `"notify"`:
			o.Notify = true
		case raw[0] == '{' && json.Unmarshal(raw, &a) == nil && a.SetTweak != nil:
			if a.Value == nil && *a.SetTweak == "highlight" {
				a.Value = stdjson.RawMessage("true")
			}
			if len(o.Tweaks) == 0 {
				o.Tweaks = map[string]stdjson.RawMessage{}
			}
			o.Tweaks[*a.SetTweak] = a.Value
		}
	}
	o.Highlight = o.Notify && string(o.Tweaks["highlight"]) == "true"
	return o
}

// checkActions checks a list of actions: M_MISSING_PARAM if it is missing, M_BAD_JSON
// for an element that is neither text nor object, M_INVALID_PARAM for an action that is
// not known.
func checkActions(actions []stdjson.RawMessage) error {
	if actions == nil {
		return matrix.Errorf(matrix.MissingParam, "actions is missing")
	}
	for _, raw := range actions {
		var a action
		switch raw[0] {
		case '"':
			if !slices.Contains([]string{`"notify"`, `"dont_notify"`, `"coalesce"`}, string(raw)) {
				return matrix.Errorf(matrix.InvalidParam, "an action is notify, or an object with set_tweak")
			}
		case '{':
			if json.Unmarshal(raw, &a) != nil {
				return matrix.Errorf(matrix.BadJSON, "set_tweak must be a string")
			}
			if a.SetTweak == nil {
				return matrix.Errorf(matrix.InvalidParam, "an action with parameters needs set_tweak")
			}
		default:
			return matrix.Errorf(matrix.BadJSON, "an action is a string or an object")
		}
	}
	return nil
}

// evaluate returns the outcome of the rules for an event, in a room with that context:
// that of the first rule that matches. For events of the rules' owner, and for redacted
// ones, it is zero.
func (r *Ruleset) evaluate(e *timeline.Event, in *RoomContext, l *look) Outcome {
	l.begin(r, e, in)
	defer l.end()
	if e.Sender == r.owner.userID || e.Redacted() {
		return Outcome{}
	}
	for i := range r.compiled {
		if r.compiled[i].matches(l) {
			return r.compiled[i].outcome
		}
	}
	return Outcome{}
}

func (c *compiledRule) matches(l *look) bool {
	for i := range c.conditions {
		if !c.conditions[i].holds(l) {
			return false
		}
	}
	return true
}
