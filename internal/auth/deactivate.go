package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// DeactivateRequest is the body of POST /account/deactivate.
type DeactivateRequest struct {
	Erase bool            `json:"erase"`
	Auth  json.RawMessage `json:"auth"`
}

// Deactivation is the answer to POST /account/deactivate.
type Deactivation struct {
	// IDServerUnbindResult is "success" for a user who has nothing bound at an
	// identity server.
	IDServerUnbindResult string `json:"id_server_unbind_result"`
}

// OnDeactivate adds something to be done after an account has been deactivated,
// such as leaving its rooms. Since it is tried again until it succeeds, also by a
// later process or by several at once, it must bear being done twice. To be called
// while the server is being wired, not later.
func (s *Service) OnDeactivate(do func(ctx context.Context, userID string) error) {
	s.leave = append(s.leave, do)
}

// Deactivate ends an account for good after interactive authentication: nobody can
// log in any more, and nobody gets the user ID again. The password hash stays, so
// that only whoever knows the password learns that the account has been
// deactivated. What follows (see OnDeactivate) is tried before this returns, but if
// it goes wrong it is left to the background work, since nobody is logged in who
// could ask again. With a zero session, that is without an access token, the user
// is whom the authentication proves.
// Client-server API, POST /account/deactivate.
func (s *Service) Deactivate(ctx context.Context, session Session, r DeactivateRequest, client Client) (Deactivation, error) {
	op, err := s.passwordOperation("POST /account/deactivate", session, client)
	if err != nil {
		return Deactivation{}, err
	}
	proof, err := s.interact(ctx, op, r.Auth, client)
	if err != nil {
		return Deactivation{}, err
	}
	if err := s.deactivate(ctx, proof.userID, r.Erase, proof); err != nil {
		return Deactivation{}, err
	}
	return Deactivation{IDServerUnbindResult: "success"}, nil
}

// DeactivateAccount does the same for the operator, who names the account by its
// user ID or the local part of it. A process that has nothing to do after a
// deactivation leaves that to one that has. M_NOT_FOUND.
func (s *Service) DeactivateAccount(ctx context.Context, name string, erase bool) error {
	userID, err := s.existingUser(ctx, name)
	if err != nil {
		return err
	}
	return s.deactivate(ctx, userID, erase, approval{})
}

func (s *Service) deactivate(ctx context.Context, userID string, erase bool, proof approval) error {
	var revoked []tokenHash
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := lockAccount(ctx, tx, userID); err != nil {
			return err
		}
		if err := proof.consume(ctx, tx); err != nil {
			return err
		}
		if err := markDeactivated(ctx, tx, userID, erase, s.nowMS()); err != nil {
			return err
		}
		if err := deleteInteractionsOf(ctx, tx, userID); err != nil {
			return err
		}
		var err error
		revoked, err = removeOtherDevices(ctx, tx, userID, "")
		return err
	})
	if err != nil {
		return fmt.Errorf("deactivate %s: %w", userID, err)
	}
	s.cache.remove(revoked)
	// The client may hang up now; what has begun goes on.
	s.logFailure(s.finishDeactivations(context.WithoutCancel(ctx), []string{userID}))
	return nil
}

// ResumeDeactivations does what a process that ended, or a fault, has left undone
// of deactivations. Start does so at once, and again every minute. It returns what
// went wrong; the others have been done nevertheless.
func (s *Service) ResumeDeactivations(ctx context.Context) error {
	if len(s.leave) == 0 {
		return nil
	}
	pending, err := pendingDeactivations(ctx, s.pool)
	if err != nil || len(pending) == 0 {
		return err
	}
	return s.finishDeactivations(ctx, pending)
}

// finishDeactivations does what follows from the deactivation of each user, and
// notes for whom all of it has been done.
func (s *Service) finishDeactivations(ctx context.Context, userIDs []string) error {
	if len(s.leave) == 0 {
		return nil
	}
	var done []string
	var failures []error
	for _, userID := range userIDs {
		if err := s.finishDeactivation(ctx, userID); err != nil {
			failures = append(failures, fmt.Errorf("finish the deactivation of %s: %w", userID, err))
			continue
		}
		done = append(done, userID)
	}
	failures = append(failures, markDeactivationsFinished(ctx, s.pool, done))
	return errors.Join(failures...)
}

func (s *Service) finishDeactivation(ctx context.Context, userID string) error {
	for _, do := range s.leave {
		if err := do(ctx, userID); err != nil {
			return err
		}
	}
	return nil
}
