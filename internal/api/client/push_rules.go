package client

import (
	"bytes"
	"encoding/json"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/personal/push"
)

// getPushRules returns all rulesets of the user who asks, of which there is one.
// Section "Push Rules: API", GET /pushrules/.
func (a *api) getPushRules(r *httpapi.Request, who matrix.Session) (any, error) {
	content, _, err := a.Push.RulesEvent(r.Context(), who.UserID)
	return content, err
}

// getGlobalPushRules returns that ruleset. GET /pushrules/global/.
func (a *api) getGlobalPushRules(r *httpapi.Request, who matrix.Session) (any, error) {
	if err := checkRuleScope(r); err != nil {
		return nil, err
	}
	return a.Push.Ruleset(r.Context(), who.UserID)
}

// checkRuleScope refuses a path with another scope than global, which was a parameter up
// to version 1.11: M_NOT_FOUND, as no rule has it.
func checkRuleScope(r *httpapi.Request) error {
	if r.Param("scope") != "global" {
		return matrix.Errorf(matrix.NotFound, "the scope of a rule is global")
	}
	return nil
}

// ruleKind reads the kind of rule from the path, and checks the scope: M_NOT_FOUND for
// one that there is not, as no rule has it.
func ruleKind(r *httpapi.Request) (push.Kind, error) {
	if err := checkRuleScope(r); err != nil {
		return 0, err
	}
	kind, ok := push.ParseKind(r.Param("kind"))
	if !ok {
		return 0, matrix.Errorf(matrix.NotFound, "the kind of a rule is override, content, room, sender or underride")
	}
	return kind, nil
}

// getPushRulesOfKind lists the rules of one kind, the most important first. The
// specification has no such endpoint; older clients ask for it.
// GET /pushrules/global/{kind}/.
func (a *api) getPushRulesOfKind(r *httpapi.Request, who matrix.Session) (any, error) {
	kind, err := ruleKind(r)
	if err != nil {
		return nil, err
	}
	rules, err := a.Push.Ruleset(r.Context(), who.UserID)
	if err != nil {
		return nil, err
	}
	return rules.OfKind(kind), nil
}

// pushRule finds the rule that the path names. M_NOT_FOUND.
func (a *api) pushRule(r *httpapi.Request, who matrix.Session) (push.Rule, error) {
	kind, err := ruleKind(r)
	if err != nil {
		return push.Rule{}, err
	}
	rules, err := a.Push.Ruleset(r.Context(), who.UserID)
	if err != nil {
		return push.Rule{}, err
	}
	rule, ok := rules.Rule(kind, r.Param("ruleId"))
	if !ok {
		return push.Rule{}, push.ErrNoRule()
	}
	return rule, nil
}

// getPushRule returns one rule. GET /pushrules/global/{kind}/{ruleId}.
func (a *api) getPushRule(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.pushRule(r, who)
}

// putPushRule adds or changes a rule. PUT /pushrules/global/{kind}/{ruleId}.
func (a *api) putPushRule(r *httpapi.Request, who matrix.Session) (any, error) {
	kind, err := ruleKind(r)
	if err != nil {
		return nil, err
	}
	var body push.NewRule
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	at := push.Place{Before: r.Query("before"), After: r.Query("after")}
	return httpapi.Empty{}, a.Push.PutRule(r.Context(), who.UserID, kind, r.Param("ruleId"), body, at)
}

// deletePushRule deletes a rule. DELETE /pushrules/global/{kind}/{ruleId}.
func (a *api) deletePushRule(r *httpapi.Request, who matrix.Session) (any, error) {
	kind, err := ruleKind(r)
	if err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.Push.DeleteRule(r.Context(), who.UserID, kind, r.Param("ruleId"))
}

type ruleEnabled struct {
	Enabled *bool `json:"enabled"`
}

// getPushRuleEnabled reports whether a rule is enabled. GET
// /pushrules/global/{kind}/{ruleId}/enabled.
func (a *api) getPushRuleEnabled(r *httpapi.Request, who matrix.Session) (any, error) {
	rule, err := a.pushRule(r, who)
	return ruleEnabled{&rule.Enabled}, err
}

// putPushRuleEnabled enables or disables a rule. Old clients send just true or
// false. PUT /pushrules/global/{kind}/{ruleId}/enabled.
func (a *api) putPushRuleEnabled(r *httpapi.Request, who matrix.Session) (any, error) {
	kind, err := ruleKind(r)
	if err != nil {
		return nil, err
	}
	var body ruleEnabled
	switch string(bytes.TrimSpace(r.RawJSON())) {
	case "true":
		body.Enabled = new(true)
	case "false":
		body.Enabled = new(false)
	default:
		if err := r.Decode(&body); err != nil {
			return nil, err
		}
	}
	if body.Enabled == nil {
		return nil, matrix.Errorf(matrix.MissingParam, "enabled is missing")
	}
	return httpapi.Empty{}, a.Push.SetEnabled(r.Context(), who.UserID, kind, r.Param("ruleId"), *body.Enabled)
}

type ruleActions struct {
	Actions []json.RawMessage `json:"actions"`
}

// getPushRuleActions returns the actions of a rule. GET
// /pushrules/global/{kind}/{ruleId}/actions.
func (a *api) getPushRuleActions(r *httpapi.Request, who matrix.Session) (any, error) {
	rule, err := a.pushRule(r, who)
	return ruleActions{rule.Actions}, err
}

// putPushRuleActions changes the actions of a rule.
// PUT /pushrules/global/{kind}/{ruleId}/actions.
func (a *api) putPushRuleActions(r *httpapi.Request, who matrix.Session) (any, error) {
	kind, err := ruleKind(r)
	if err != nil {
		return nil, err
	}
	var body ruleActions
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.Push.SetActions(r.Context(), who.UserID, kind, r.Param("ruleId"), body.Actions)
}
