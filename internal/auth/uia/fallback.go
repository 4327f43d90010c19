package uia

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"homeserver/internal/matrix"
)

// FallbackStage is what a page for one stage of an interactive authentication has
// to know. Client-server API, "Fallback".
type FallbackStage struct {
	// UserID is whom the stage has to be completed by; "" where that is open.
	UserID string
	// Effect says what the request would do that the session is about; "": it does
	// nothing to an account that there is.
	Effect string
	// Params is what the challenge tells of the stage; nil for nothing.
	Params map[string]any
	// Operation is the name of what the session is to allow.
	Operation string
	// Completed says that nothing is left to be done.
	Completed bool
}

// Fallback looks a stage of a session up, for whoever knows the session's ID.
// M_NOT_FOUND for a session that is unknown, used up or expired, M_UNRECOGNIZED for
// a stage that it does not have, M_FORBIDDEN for one whose turn has not come.
//
// A page that asks for a password must say what it is for, and whose request it was:
// else everybody could have other people approve what they do not know of. There is
// none (M_UNRECOGNIZED) for a request without an access token.
func (s *Service) Fallback(ctx context.Context, id, name string) (FallbackStage, error) {
	op, current, err := s.openSession(ctx, id, name)
	if err != nil {
		return FallbackStage{}, err
	}
	open := FallbackStage{
		UserID: cmp.Or(op.UserID, current.provedUserID), Effect: op.effect, Params: s.stages[name].Params, Operation: op.Name,
	}
	if slices.Contains(current.completed, name) {
		open.Completed = true
		return open, nil
	}
	if refusal := op.refuses(current.completed, name); refusal != nil {
		return FallbackStage{}, refusal
	}
	return open, nil
}

// CompleteFallback tries to complete a stage of a session without the request that
// the session is about; its client goes on by repeating that with the session
// alone. The fields are the members of the auth object that the stage wants. A
// stage that has been completed stays so. Errors are those of Fallback, and those
// of the stage, such as M_FORBIDDEN for a wrong password.
func (s *Service) CompleteFallback(ctx context.Context, id, name string, fields map[string]any) error {
	op, current, err := s.openSession(ctx, id, name)
	if err != nil {
		return err
	}
	if slices.Contains(current.completed, name) {
		return nil
	}
	sent := maps.Clone(fields)
	if sent == nil {
		sent = map[string]any{}
	}
	sent["type"], sent["session"] = name, id
	auth, err := json.Marshal(sent)
	if err != nil {
		return fmt.Errorf("encode the auth object of a fallback: %w", err)
	}
	_, failure, err := s.tryStage(ctx, op, current, name, Attempt{Operation: op.Name, auth: auth, byPage: true})
	if failure != nil {
		return failure
	}
	return err
}

// openSession finds a session, with its operation, by its ID alone, for a page of a
// stage.
func (s *Service) openSession(ctx context.Context, id, stage string) (Operation, session, error) {
	op, current, err := findSession(ctx, s.pool, id, s.oldest())
	switch {
	case err != nil:
	case !current.stored:
		err = matrix.Errorf(matrix.NotFound, "The session is unknown or has expired")
	case stage == StagePassword && (op.UserID == "" || op.effect == ""):
		err = matrix.Errorf(matrix.Unrecognized, "There is no page on which this request could be approved")
	}
	return op, current, err
}
