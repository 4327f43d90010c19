package uia

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"

	"homeserver/internal/auth/secret"
	"homeserver/internal/matrix"
)

// Interact carries interactive authentication one step further. Unless that
// completes it, the error is a *matrix.Error with status 401 and the body of
// "User-interactive API in the REST API".
//
// An auth object without a session starts one, so that a flow of one stage, such as
// m.login.dummy, can be completed by the first request, without anything stored.
func (s *Service) Interact(ctx context.Context, op Operation, auth json.RawMessage) (Approval, error) {
	if op.free {
		return Approval{UserID: op.UserID}, nil
	}
	if op.oauth {
		if approved, err := s.approved(ctx, op); err != nil || approved.operation != "" {
			return approved, err
		}
	}
	var sent struct {
		Type    string `json:"type"`
		Session string `json:"session"`
	}
	op, err := s.withAlternatives(ctx, op)
	if err != nil {
		return Approval{}, err
	}
	current := session{id: secret.New("")}
	if len(auth) == 0 || bytes.Equal(auth, []byte("null")) {
		return Approval{}, s.challenge(ctx, op, current, nil)
	}
	if err := (Attempt{auth: auth}).Decode(&sent); err != nil {
		return Approval{}, matrix.Errorf(matrix.BadJSON, "auth must be an object whose type and session are strings")
	}
	if sent.Session != "" {
		found, err := s.resume(ctx, op, sent.Session)
		if err != nil {
			return Approval{}, err
		}
		if !found.stored {
			return Approval{}, s.challenge(ctx, op, current, matrix.Errorf(matrix.Unknown, "The session is unknown or has expired"))
		}
		current = found
	}
	if sent.Type == stagePhoneOld {
		sent.Type = StagePhone
	}
	if sent.Type != "" && !slices.Contains(current.completed, sent.Type) {
		var failure *matrix.Error
		var err error
		if current, failure, err = s.tryStage(ctx, op, current, sent.Type, Attempt{Operation: op.Name, auth: auth}); err != nil {
			return Approval{}, err
		}
		if failure != nil {
			return Approval{}, s.challenge(ctx, op, current, failure)
		}
	}
	if !op.satisfiedBy(current.completed) {
		return Approval{}, s.challenge(ctx, op, current, nil)
	}
	return s.approve(op, current), nil
}

// resume finds a session by its ID, or makes one that is not stored if there is none.
// M_FORBIDDEN for one of another user or another request, and if the request is not the
// one that was approved on a page.
func (s *Service) resume(ctx context.Context, op Operation, id string) (session, error) {
	of, current, err := findSession(ctx, s.pool, id, s.oldest())
	if err != nil || !current.stored {
		return current, err
	}
	if of.Name != op.Name || of.UserID != op.UserID {
		return session{}, matrix.Errorf(matrix.Forbidden, "This session is for another request, or of another user")
	}
	holds, err := current.holdsFor(op)
	if err == nil && !holds {
		err = matrix.Errorf(matrix.Forbidden, "This is not the request that was approved")
	}
	return current, err
}

// tryStage tries to complete one stage. A failure is to be reported with the challenge;
// an error ends the request.
func (s *Service) tryStage(ctx context.Context, op Operation, current session, name string, a Attempt) (session, *matrix.Error, error) {
	if failure := op.refuses(current.completed, name); failure != nil {
		return current, failure, nil
	}
	found, err := s.stages[name].Check(ctx, a)
	if failure, ok := errors.AsType[*matrix.Error](err); ok && retriable(failure) {
		return current, failure, nil
	}
	if err != nil {
		return current, nil, err
	}
	expected := cmp.Or(op.UserID, current.provedUserID)
	if found.UserID != "" && expected != "" && found.UserID != expected {
		return current, matrix.Errorf(matrix.Forbidden, "This is not the user who has to authenticate"), nil
	}
	next := current
	next.completed = append(slices.Clone(current.completed), name)
	next.provedUserID = cmp.Or(found.UserID, next.provedUserID)
	if found.Proof != "" {
		next.proofs = maps.Clone(proofsOf(current))
		next.proofs[name] = found.Proof
	}
	next.byPage = current.byPage || a.byPage
	if current.stored {
		if err := storeProgress(ctx, s.pool, current, next); err != nil {
			return current, nil, err
		}
	}
	return next, nil, nil
}

// challenge is the answer that asks for the next stage, and stores the session
// for it. failure says why the last attempt did not succeed; nil where there was
// none.
func (s *Service) challenge(ctx context.Context, op Operation, current session, failure *matrix.Error) error {
	if !current.stored {
		if err := insertSession(ctx, s.pool, op, current, s.now().UnixMilli()); err != nil {
			return err
		}
	}
	answer := matrix.Errorf("", "Interactive authentication is needed")
	answer.Status = http.StatusUnauthorized
	answer.Fields = map[string]any{
		"flows":   op.describeFlows(),
		"params":  s.paramsOf(op.Flows),
		"session": current.id,
	}
	if len(current.completed) > 0 || failure != nil {
		answer.Fields["completed"] = notNil(current.completed)
	}
	if failure != nil {
		answer.Code, answer.Message = failure.Code, failure.Message
	}
	return answer
}

func (s *Service) paramsOf(flows [][]string) map[string]any {
	params := map[string]any{}
	for _, name := range slices.Concat(flows...) {
		if p := s.stages[name].Params; p != nil {
			params[name] = p
		}
	}
	return params
}
