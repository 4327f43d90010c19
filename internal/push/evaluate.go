package push

import (
	"encoding/json"
	"slices"
	"strings"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
)

// Outcome is what the rules say about an event. The zero value: nothing.
type Outcome struct {
	Notify, Highlight bool
	// Tweaks are the tweaks that are set, by name, as JSON: client-server API,
	// "Actions". They must not be written to.
	Tweaks map[string]json.RawMessage
	// Actions are those of the rule that matched.
	Actions []json.RawMessage
}

// RoomContext is what rules may ask about the room of an event.
type RoomContext struct {
	// Members is how many have joined.
	Members int64
	// DisplayName is that of the rules' owner in the room; "": none.
	DisplayName string
	// Create and Levels are the room's m.room.create and m.room.power_levels; nil:
	// there is none.
	Create, Levels *event.Event
}

// Event makes RoomContext an event.State that holds what power depends on.
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

// mayNotify reports whether the sender of an event has the power to notify all:
// client-server API, "Conditions", sender_notification_permission.
func (r *RoomContext) mayNotify(e *rooms.Event, key string) bool {
	levels, err := r.Levels.PowerLevels()
	if err != nil {
		levels = nil // as event.UserPower takes it
	}
	return event.UserPower(e.Version, r, e.Sender) >= levels.Notification(key)
}

// compiledRule is a rule that is enabled, ready to be evaluated.
type compiledRule struct {
	conditions []condition
	outcome    Outcome
}

// compile makes the rules ready. It runs once, when the ruleset is made.
func (r *Ruleset) compile() {
	for k, list := range r.rules {
		for i := range list {
			if list[i].Enabled {
				r.compiled = append(r.compiled, r.compileRule(Kind(k), &list[i]))
			}
		}
	}
}

func (r *Ruleset) compileRule(k Kind, rule *Rule) compiledRule {
	c := compiledRule{outcome: outcomeOf(rule.Actions)}
	switch k {
	case Content:
		c.conditions = []condition{{test: matchProperty, path: newPath("content.body"), glob: newGlob(*rule.Pattern)}}
	case Room:
		c.conditions = []condition{{test: isRoom, text: rule.ID}}
	case Sender:
		c.conditions = []condition{{test: isSender, text: rule.ID}}
	default:
		for _, raw := range rule.Conditions {
			// What was stored has been checked; the zero value never holds.
			parsed, _ := parseCondition(raw)
			r.needsName = r.needsName || parsed.test == containsName
			c.conditions = append(c.conditions, parsed)
		}
	}
	return c
}

// action is an action with parameters.
type action struct {
	SetTweak *string         `json:"set_tweak"`
	Value    json.RawMessage `json:"value"`
}

// outcomeOf reads actions, which have been checked. Those of former versions of
// the specification, dont_notify and coalesce, do nothing.
func outcomeOf(actions []json.RawMessage) Outcome {
	o := Outcome{Actions: actions, Tweaks: map[string]json.RawMessage{}}
	for _, raw := range actions {
		var a action
		switch {
		case string(raw) == `"notify"`:
			o.Notify = true
		case raw[0] == '{' && json.Unmarshal(raw, &a) == nil && a.SetTweak != nil:
			if a.Value == nil && *a.SetTweak == "highlight" {
				a.Value = json.RawMessage("true")
			}
			o.Tweaks[*a.SetTweak] = a.Value
		}
	}
	o.Highlight = o.Notify && string(o.Tweaks["highlight"]) == "true"
	return o
}

// checkActions refuses what is no list of actions: M_MISSING_PARAM if it is not
// there at all, M_BAD_JSON for what is neither text nor object, M_INVALID_PARAM for
// an action that is not known.
func checkActions(actions []json.RawMessage) error {
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

// maxEffort bounds what evaluating rules on one event may take: some milliseconds,
// and enough for a hundred rules on the largest event.
const maxEffort = 8 << 20

// effort is how many bytes may still be looked at, more or less. Without a bound, a
// few long messages and many patterns would keep the server busy for minutes.
type effort struct{ left int }

// spend takes some of it, and reports whether there was any left.
func (e *effort) spend(bytes int) bool {
	e.left -= bytes
	return e.left >= 0
}

// bodyText is the text of content.body in lower case, made when it is first asked
// for, and how much effort is left for the event.
type bodyText struct {
	known, ok bool
	lower     string
	effort    effort
}

var bodyPath = newPath("content.body")

func (b *bodyText) text(e *rooms.Event) (string, bool) {
	if !b.known {
		text, ok := bodyPath.text(e)
		b.known, b.ok, b.lower = true, ok, strings.ToLower(text)
	}
	return b.lower, b.ok
}

// Evaluate says what the rules make of an event, in the room as it is described:
// what the first rule that matches says; rules that take too much effort match
// nothing. It is nothing for what the owner of the
// rules has sent, and for what was redacted.
func (r *Ruleset) Evaluate(e *rooms.Event, in *RoomContext) Outcome {
	if e.Sender == r.userID || e.Redacted() {
		return Outcome{}
	}
	body := bodyText{effort: effort{maxEffort}}
	for i := range r.compiled {
		if r.compiled[i].matches(e, in, &body) {
			return r.compiled[i].outcome
		}
	}
	return Outcome{}
}

func (c *compiledRule) matches(e *rooms.Event, in *RoomContext, body *bodyText) bool {
	for i := range c.conditions {
		if !c.conditions[i].holds(e, in, body) {
			return false
		}
	}
	return true
}
