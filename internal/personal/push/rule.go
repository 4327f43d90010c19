package push

import (
	"encoding/json"
	"slices"
	"sync"

	"homeserver/internal/cache"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

// Kind is a kind of push rule. The kinds are checked in their order.
type Kind int

// The kinds of push rules: client-server API, "Push Rules".
const (
	Override Kind = iota
	Content
	Room
	Sender
	Underride

	kinds = iota
)

var kindNames = [kinds]string{"override", "content", "room", "sender", "underride"}

// String returns the name of the kind in paths and rulesets.
func (k Kind) String() string { return kindNames[k] }

// ParseKind reads the name of a kind.
func ParseKind(name string) (Kind, bool) {
	i := slices.Index(kindNames[:], name)
	return Kind(i), i >= 0
}

// Rule is a push rule as clients see it: client-server API, the schema PushRule.
// It does not change.
type Rule struct {
	Actions []json.RawMessage `json:"actions"`
	// Conditions is nil but for rules of the kinds override and underride.
	Conditions []json.RawMessage `json:"conditions,omitzero"`
	Default    bool              `json:"default"`
	Enabled    bool              `json:"enabled"`
	// Pattern is nil but for rules of the kind content.
	Pattern *string `json:"pattern,omitzero"`
	ID      string  `json:"rule_id"`
}

// Ruleset is all rules of one user. It does not change, and is safe for
// concurrent use.
type Ruleset struct {
	// Changed is the position of the last change; 0: there was none.
	Changed journal.Position

	*ruleList // all users who have changed nothing share one
	owner     owner
}

// ruleList is rules as they are for any owner.
type ruleList struct {
	rules    [kinds][]Rule // the most important first
	compiled []compiledRule
	// slots numbers the members of the content that the rules examine, by their names
	// in JSON.
	slots map[string]int
	// needsName reports that some rule examines the user's display name.
	needsName bool
	// quietMembers reports that no rule notifies of changes that others make to the
	// membership of others: then these events need not even be read.
	quietMembers bool
	// json returns the rules by kind, the schema Ruleset, which is made at the first call.
	json func() ([]byte, error)
}

// newRuleset puts the predefined rules and the user's own together.
func newRuleset(userID string, own *ownRules, changed journal.Position) *Ruleset {
	r := &Ruleset{Changed: changed, ruleList: predefinedList(), owner: newOwner(userID)}
	if own.count() > 0 || len(own.Predefined) > 0 {
		r.ruleList = newRuleList(own)
	}
	return r
}

// predefinedList is the rules of users who have none of their own, and have changed none.
var predefinedList = sync.OnceValue(func() *ruleList { return newRuleList(&ownRules{}) })

func newRuleList(own *ownRules) *ruleList {
	l := &ruleList{}
	predefined := predefinedRules()
	for k := range Kind(kinds) {
		list := slices.Clone(predefined[k])
		for i := range list {
			if c, ok := own.Predefined[predefinedKey(k, list[i].ID)]; ok {
				c.apply(&list[i])
			}
		}
		// The master rule is above all others, the rest below the user's own.
		first := 0
		if k == Override {
			first = 1
		}
		l.rules[k] = slices.Insert(list, first, own.Rules[k]...)
	}
	l.compile()
	l.quietMembers = quietMembers(l.rules[Override])
	l.json = sync.OnceValues(l.encode)
	return l
}

func (l *ruleList) encode() ([]byte, error) {
	byKind := make(map[string][]Rule, kinds)
	for k, list := range l.rules {
		byKind[Kind(k).String()] = append([]Rule{}, list...)
	}
	return matrix.EncodeJSON(byKind)
}

// quietMembers reports whether the predefined rule about members is in force, and no
// rule that notifies is above it, except that about one's own invites.
func quietMembers(override []Rule) bool {
	for _, rule := range override {
		if !rule.Enabled || rule.ID == ruleInviteForMe {
			continue
		}
		notifies := outcomeOf(rule.Actions).Notify
		if notifies || rule.ID == ruleMemberEvent {
			return !notifies
		}
	}
	return false
}

// weighRuleset is about how many bytes the rules of a user take, without those that all
// users share.
func weighRuleset(userID string, r *Ruleset) int {
	const structs = 500 // the owner with it
	bytes := structs + 6*cache.Text(userID)
	if r != nil && r.ruleList != predefinedList() {
		bytes += r.weigh()
	}
	return bytes
}

// weigh is about how many bytes rules take: as they are, compiled, and in JSON.
func (l *ruleList) weigh() int {
	const structs, perRule, perCondition, perPart, perTweak, perRaw = 400, 280, 180, 40, 150, 40
	bytes := structs
	for _, list := range l.rules {
		for i := range list {
			rule := &list[i]
			text := len(rule.ID)
			if rule.Pattern != nil {
				text += len(*rule.Pattern)
			}
			for _, list := range [][]json.RawMessage{rule.Actions, rule.Conditions} {
				for _, raw := range list {
					text += len(raw)
				}
			}
			bytes += perRule + 2*text // in the content it is once more
			if !rule.Default {        // all users share the predefined ones
				bytes += cache.Text(rule.ID) + perRaw*(cap(rule.Actions)+cap(rule.Conditions)) + text
			}
		}
	}
	for name := range l.slots {
		bytes += perTweak + cache.Text(name)
	}
	for i := range l.compiled {
		bytes += perTweak * len(l.compiled[i].outcome.Tweaks)
		bytes += perCondition * cap(l.compiled[i].conditions)
		for _, c := range l.compiled[i].conditions {
			bytes += cache.Text(c.text, c.path.top) + cache.Text(c.value) + 2*cache.Text(c.path.inside...) + 16*len(c.path.inside)
			if c.glob != nil {
				bytes += perPart*len(c.glob.parts) + 2*len(c.glob.literal)
			}
		}
	}
	return bytes
}

// Rule finds a rule.
func (r *Ruleset) Rule(k Kind, id string) (Rule, bool) {
	i := indexRule(r.rules[k], id)
	if i < 0 {
		return Rule{}, false
	}
	return r.owner.rule(r.rules[k][i]), true
}

// OfKind lists the rules of a kind, the most important first. The list is never nil, and
// what it points to must not be written to.
func (r *Ruleset) OfKind(k Kind) []Rule {
	list := append([]Rule{}, r.rules[k]...)
	for i := range list {
		list[i] = r.owner.rule(list[i])
	}
	return list
}

// MarshalJSON writes the rules by kind: client-server API, the schema Ruleset.
func (r *Ruleset) MarshalJSON() ([]byte, error) {
	text, err := r.json()
	return r.owner.fillIn(text), err
}

func indexRule(rules []Rule, id string) int {
	return slices.IndexFunc(rules, func(r Rule) bool { return r.ID == id })
}

// ownRules has a user's own and changed rules, as the table stores them.
type ownRules struct {
	// Rules has the user's own rules, the most important first.
	Rules [kinds][]Rule `json:"rules"`
	// Predefined has the changes of predefined rules, by predefinedKey.
	Predefined map[string]changedRule `json:"predefined,omitempty"`
}

// changedRule is a user's change of a predefined rule; nil: none.
type changedRule struct {
	Enabled *bool             `json:"enabled,omitempty"`
	Actions []json.RawMessage `json:"actions,omitzero"`
}

func (c changedRule) apply(r *Rule) {
	if c.Enabled != nil {
		r.Enabled = *c.Enabled
	}
	if c.Actions != nil {
		r.Actions = c.Actions
	}
}

func predefinedKey(k Kind, id string) string { return k.String() + "/" + id }

func (o *ownRules) count() int {
	n := 0
	for _, list := range o.Rules {
		n += len(list)
	}
	return n
}
