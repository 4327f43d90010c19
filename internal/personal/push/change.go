package push

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

// Limits of a user's own rules.
const (
	MaxRules       = 1000
	MaxRuleBytes   = 8 << 10   // of one rule
	MaxRulesBytes  = 128 << 10 // of all, with what is changed in predefined ones
	maxRuleIDBytes = 255
)

// Changed is the value of the journal entry of a change of a user's rules. RulesEvent
// returns the rules.
type Changed struct {
	UserID string

	rules  []byte
	before journal.Position // of the rules that these were made from
}

// NewRule is a rule that a user adds or changes: client-server API,
// PUT /pushrules/global/{kind}/{ruleId}.
type NewRule struct {
	Actions    []json.RawMessage `json:"actions"`
	Conditions []json.RawMessage `json:"conditions"`
	Pattern    *string           `json:"pattern"`
}

// Place is the place of a rule among the user's own rules of its kind: next to the rule
// with an ID, above it (Before) or below it (After). Before has precedence; "" is not
// set.
type Place struct{ Before, After string }

// PutRule adds a rule, enabled and above the others of its kind unless its place is
// given, or changes the one with that ID, which keeps its place and stays enabled or
// disabled. M_INVALID_PARAM for an ID that a user's rule cannot have and for fields
// that the kind does not have; M_MISSING_PARAM, M_BAD_JSON and M_INVALID_PARAM for
// actions, conditions and patterns that are none; M_UNKNOWN if there is no rule of the
// user's at the place, or there are too many; M_TOO_LARGE for too long rules.
// Client-server API, PUT /pushrules/global/{kind}/{ruleId}.
func (s *Service) PutRule(ctx context.Context, userID string, k Kind, id string, n NewRule, at Place) error {
	if err := checkRuleID(id); err != nil {
		return err
	}
	rule, err := n.rule(k, id)
	if err != nil {
		return err
	}
	return s.change(ctx, userID, func(own *ownRules) error { return own.put(k, rule, at) })
}

// checkRuleID refuses an ID that the rule of a user cannot have: M_INVALID_PARAM.
func checkRuleID(id string) error {
	switch {
	case id == "" || len(id) > maxRuleIDBytes:
		return matrix.Errorf(matrix.InvalidParam, "the ID of a rule has 1 to %d bytes", maxRuleIDBytes)
	case id[0] == '.':
		return matrix.Errorf(matrix.InvalidParam, "rules whose ID begins with a dot belong to the server")
	case strings.ContainsAny(id, `/\`):
		return matrix.Errorf(matrix.InvalidParam, "the ID of a rule has neither slashes nor backslashes")
	}
	return nil
}

// rule checks the rule that a client has sent, and makes it.
func (n *NewRule) rule(k Kind, id string) (rule Rule, err error) {
	rule = Rule{ID: id, Enabled: true}
	if rule.Actions, err = canonicalList(n.Actions); err != nil {
		return rule, err
	}
	if err := checkActions(rule.Actions); err != nil {
		return rule, err
	}
	if rule.Conditions, err = n.conditions(k); err != nil {
		return rule, err
	}
	if err := n.setPattern(k, &rule); err != nil {
		return rule, err
	}
	encoded, err := matrix.EncodeJSON(rule)
	if err != nil {
		return rule, fmt.Errorf("encode a push rule: %w", err)
	}
	if len(encoded) > MaxRuleBytes {
		return rule, matrix.Errorf(matrix.TooLarge, "a rule has at most %d bytes", MaxRuleBytes)
	}
	return rule, nil
}

// conditions returns the conditions in canonical form; none at all are an empty list
// for the kinds that may have some, and nil for the others.
func (n *NewRule) conditions(k Kind) ([]json.RawMessage, error) {
	if k != Override && k != Underride {
		if len(n.Conditions) > 0 {
			return nil, matrix.Errorf(matrix.InvalidParam, "rules of the kind %s have no conditions of their own", k)
		}
		return nil, nil
	}
	list, err := canonicalList(n.Conditions)
	if err != nil {
		return nil, err
	}
	for _, raw := range list {
		if _, err := parseCondition(raw); err != nil {
			return nil, err
		}
	}
	if list == nil {
		list = []json.RawMessage{}
	}
	return list, nil
}

func (n *NewRule) setPattern(k Kind, rule *Rule) error {
	switch {
	case k != Content && n.Pattern == nil:
		return nil
	case k != Content:
		return matrix.Errorf(matrix.InvalidParam, "rules of the kind %s have no pattern", k)
	case n.Pattern == nil:
		return matrix.Errorf(matrix.MissingParam, "pattern is missing")
	}
	rule.Pattern = n.Pattern
	return checkPattern(*n.Pattern)
}

func canonicalList(list []json.RawMessage) ([]json.RawMessage, error) {
	if list == nil {
		return nil, nil
	}
	canonical := make([]json.RawMessage, len(list))
	for i, raw := range list {
		var err error
		if canonical[i], err = event.Canonical(raw, false); err != nil {
			return nil, err
		}
	}
	return canonical, nil
}

// put adds or changes a rule.
func (o *ownRules) put(k Kind, rule Rule, at Place) error {
	list := o.Rules[k]
	i := 0
	if old := indexRule(list, rule.ID); old >= 0 {
		rule.Enabled = list[old].Enabled
		list = slices.Delete(list, old, old+1)
		i = old
	} else if o.count() >= MaxRules {
		return matrix.Errorf(matrix.Unknown, "a user has at most %d rules", MaxRules)
	}
	if next := at.Before + at.After; next != "" {
		if at.Before != "" {
			next = at.Before
		}
		if i = indexRule(list, next); i < 0 {
			return matrix.Errorf(matrix.Unknown, "before/after rule not found: %s", next)
		}
		if at.Before == "" {
			i++
		}
	}
	o.Rules[k] = slices.Insert(list, i, rule)
	return nil
}

// DeleteRule deletes a rule of the user's own. M_NOT_FOUND if there is none,
// M_INVALID_PARAM for a predefined one. Client-server API,
// DELETE /pushrules/global/{kind}/{ruleId}.
func (s *Service) DeleteRule(ctx context.Context, userID string, k Kind, id string) error {
	return s.change(ctx, userID, func(own *ownRules) error {
		i := indexRule(own.Rules[k], id)
		switch {
		case i >= 0:
			own.Rules[k] = slices.Delete(own.Rules[k], i, i+1)
			return nil
		case isPredefined(k, id):
			return matrix.Errorf(matrix.InvalidParam, "predefined rules cannot be deleted, only disabled")
		}
		return ErrNoRule()
	})
}

// SetEnabled enables or disables a rule. M_NOT_FOUND if there is none. Client-server
// API, PUT /pushrules/global/{kind}/{ruleId}/enabled.
func (s *Service) SetEnabled(ctx context.Context, userID string, k Kind, id string, enabled bool) error {
	return s.changeRule(ctx, userID, k, id, changedRule{Enabled: &enabled})
}

// SetActions changes the actions of a rule. M_NOT_FOUND if there is none; for bad
// actions as PutRule. Client-server API, PUT /pushrules/global/{kind}/{ruleId}/actions.
func (s *Service) SetActions(ctx context.Context, userID string, k Kind, id string, actions []json.RawMessage) error {
	canonical, err := canonicalList(actions)
	if err != nil {
		return err
	}
	if err := checkActions(canonical); err != nil {
		return err
	}
	size := 0
	for _, raw := range canonical {
		size += len(raw)
	}
	if size > MaxRuleBytes {
		return matrix.Errorf(matrix.TooLarge, "a rule has at most %d bytes", MaxRuleBytes)
	}
	return s.changeRule(ctx, userID, k, id, changedRule{Actions: canonical})
}

// changeRule changes a rule of the user's own, or stores the change of a predefined
// one.
func (s *Service) changeRule(ctx context.Context, userID string, k Kind, id string, c changedRule) error {
	return s.change(ctx, userID, func(own *ownRules) error {
		if i := indexRule(own.Rules[k], id); i >= 0 {
			c.apply(&own.Rules[k][i])
			return nil
		}
		if !isPredefined(k, id) {
			return ErrNoRule()
		}
		key := predefinedKey(k, id)
		all := own.Predefined[key]
		if c.Enabled != nil {
			all.Enabled = c.Enabled
		}
		if c.Actions != nil {
			all.Actions = c.Actions
		}
		own.Predefined[key] = all
		return nil
	})
}

func isPredefined(k Kind, id string) bool { return indexRule(predefinedRules()[k], id) >= 0 }

// ErrNoRule is M_NOT_FOUND for a rule that is not there.
func ErrNoRule() error { return matrix.Errorf(matrix.NotFound, "The push rule was not found.") }

// patience is how long a change is made anew because another process has changed the
// rules of the same user.
const patience = 10 * time.Second

// change applies a change to the rules as they are stored, and commits it. One
// that changes nothing is not written.
func (s *Service) change(ctx context.Context, userID string, apply func(*ownRules) error) error {
	end, err := s.turns.Take(ctx, userID)
	if err != nil {
		return err
	}
	defer end()
	for start := time.Now(); time.Since(start) < patience; {
		own, before, err := s.loadRules(ctx, userID)
		if err != nil {
			return err
		}
		was, err := matrix.EncodeJSON(own)
		if err != nil {
			return fmt.Errorf("encode the push rules of %s: %w", userID, err)
		}
		if err := apply(own); err != nil {
			return err
		}
		becomes, err := matrix.EncodeJSON(own)
		if err != nil {
			return fmt.Errorf("encode the push rules of %s: %w", userID, err)
		}
		if bytes.Equal(was, becomes) {
			return nil
		}
		if len(becomes) > max(MaxRulesBytes, len(was)) {
			return matrix.Errorf(matrix.TooLarge, "all rules together have at most %d bytes", MaxRulesBytes)
		}
		err = s.commit(ctx, &Changed{UserID: userID, rules: becomes, before: before})
		if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != errRulesMoved {
			return err
		}
	}
	return &matrix.Error{
		Code: matrix.Unknown, Message: "too many requests change these rules at once: try again",
		Status: http.StatusServiceUnavailable, RetryAfter: time.Second,
	}
}

func (s *Service) commit(ctx context.Context, c *Changed) error {
	return s.journal.Commit(ctx, &journal.Write{Entries: []*journal.Entry{
		{Table: s.table, Topics: []journal.Topic{{User: c.UserID}}, Value: c, Size: len(c.rules) + len(c.UserID)},
	}})
}
