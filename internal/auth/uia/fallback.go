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

// FallbackStage has what a page needs for one stage of an interactive authentication.
// Client-server API, "Fallback".
type FallbackStage struct {
	// UserID is the user who has to complete the stage; "" if that is open.
	UserID string
	// Effect describes what the request of the session would do; "": it does nothing to
	// an existing account.
	Effect string
	// Params has the parameters of the stage in the challenge; nil for none.
	Params map[string]any
	// Operation is the name of the operation that the session is to allow.
	Operation string
	// Completed says that nothing is left to be done.
	Completed bool
}

// Fallback returns a stage of a session to everybody who knows the session's ID.
// M_NOT_FOUND for a session that is unknown, used up or expired, M_UNRECOGNIZED for a
// stage that it does not have, M_FORBIDDEN for one whose turn has not come.
//
// A page that asks for a password must say what it is for, and whose request it was:
// otherwise anybody could make other people approve something that they do not know of.
// There is no such page (M_UNRECOGNIZED) for a request without an access token.
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

// CompleteFallback tries to complete a stage of a session without the request that the
// session is about; its client goes on by repeating that with the session alone. The
// fields are the members of the auth object that the stage needs. A stage that has been
// completed stays so. Errors are those of Fallback, and those of the stage, such as
// M_FORBIDDEN for a wrong password.
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
	case (stage == StagePassword || stage == StageSSO) && (op.UserID == "" || op.effect == ""):
		err = matrix.Errorf(matrix.Unrecognized, "There is no page on which this request could be approved")
	}
	return op, current, err
}
