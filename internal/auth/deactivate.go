package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
	"homeserver/internal/auth/session"
	"homeserver/internal/auth/threepid"
	"homeserver/internal/auth/uia"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

// DeactivateRequest is the body of POST /account/deactivate.
type DeactivateRequest struct {
	Erase    bool            `json:"erase"`
	IDServer string          `json:"id_server"`
	Auth     json.RawMessage `json:"auth"`
}

// Deactivation is the answer to POST /account/deactivate.
type Deactivation struct {
	// IDServerUnbindResult is "success" where nothing that the user has bound at
	// identity servers remains there, else "no-support".
	IDServerUnbindResult string `json:"id_server_unbind_result"`
}

// kindDeactivation is the kind of the entries of the outbox that say that an account is
// deactivated. Their topic is the user.
const kindDeactivation = "deactivation"

// deactivation is the payload of such an entry.
type deactivation struct {
	Erase bool `json:"erase"`
}

// OnDeactivate adds something to be done after an account has been deactivated,
// such as leaving its rooms. Since it is tried again until it succeeds, also by a
// later process, it must bear being done twice. To be called
// while the server is being wired, not later.
func (s *Service) OnDeactivate(do func(ctx context.Context, userID string) error) {
	s.leave = append(s.leave, do)
}

// OnErase adds a function that is called, after those of OnDeactivate, if the user
// wants to be erased, such as clearing the profile. The rules of OnDeactivate apply.
func (s *Service) OnErase(do func(ctx context.Context, userID string) error) {
	s.erase = append(s.erase, do)
}

// OnNewPassword adds a function that deletes what a user has begun with an earlier password. It is
// called, with the account locked, when an account gets a new password or is deactivated, in
// that transaction. To be called while the server is being wired, not later.
func (s *Service) OnNewPassword(forget func(ctx context.Context, tx pgx.Tx, userID string) error) {
	s.forget = append(s.forget, forget)
}

// deletePending deletes what a user has begun with an earlier password.
func (s *Service) deletePending(ctx context.Context, tx pgx.Tx, userID string) error {
	for _, forget := range s.forget {
		if err := forget(ctx, tx, userID); err != nil {
			return err
		}
	}
	return session.DeletePending(ctx, tx, userID)
}

// Deactivate ends an account for good after interactive authentication, which an application
// service need not for users that it alone may make: nobody can log
// in any more, and nobody gets the user ID again. The password hash stays, so that only
// a person with the password learns that the account has been deactivated. Others may
// use the addresses of the account from then on, and identity servers are asked to
// forget them. The functions of OnDeactivate are called before this returns, but if
// they fail that is left to the background work, since nobody is logged in who could
// ask again. With a zero session, that is without an access token, the user is the one
// that the authentication proves. Client-server API, POST /account/deactivate.
func (s *Service) Deactivate(ctx context.Context, session matrix.Session, r DeactivateRequest) (Deactivation, error) {
	effect := "Close your account for ever"
	if r.Erase {
		effect += ", and erase what you have written"
	}
	op := uia.ByPassword("POST /account/deactivate", session).About(effect, r.Erase)
	if s.belongsTo(session.AppService, session.UserID) {
		op = op.FreeForAppServices(session)
	}
	proof, err := s.o.Stages.Interact(ctx, op, r.Auth)
	if err != nil {
		return Deactivation{}, err
	}
	bound, err := s.deactivate(ctx, proof.UserID, r.Erase, proof)
	if err != nil {
		return Deactivation{}, err
	}
	// The client may hang up now; nobody could ask for it again.
	return Deactivation{s.o.Threepids.UnbindAll(context.WithoutCancel(ctx), proof.UserID, bound, r.IDServer)}, nil
}

// DeactivateAccount does the same for the operator, who names the account by its user
// ID or the local part of it, except that identity servers are not asked. A process
// without functions of OnDeactivate leaves these to one that has them. M_NOT_FOUND.
func (s *Service) DeactivateAccount(ctx context.Context, name string, erase bool) error {
	userID, err := s.existingUser(ctx, name)
	if err != nil {
		return err
	}
	_, err = s.deactivate(ctx, userID, erase, uia.Approval{})
	return err
}

// deactivate deactivates the account and returns the bindings that are to be removed
// from identity servers.
func (s *Service) deactivate(ctx context.Context, userID string, erase bool, proof uia.Approval) (bound []threepid.Binding, err error) {
	var revoked []secret.Hash
	var posted int64
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := account.Lock(ctx, tx, userID); err != nil {
			return err
		}
		if err := proof.Consume(ctx, tx); err != nil {
			return err
		}
		erased, err := account.MarkDeactivated(ctx, tx, userID, erase, s.nowMS())
		if err != nil {
			return err
		}
		if err := s.deletePending(ctx, tx, userID); err != nil {
			return err
		}
		if bound, err = s.o.Threepids.RemoveAll(ctx, tx, userID); err != nil {
			return err
		}
		if revoked, err = s.Sessions.RemoveOthers(ctx, tx, userID, ""); err != nil {
			return err
		}
		follows, err := json.Marshal(deactivation{erased})
		if err != nil {
			return fmt.Errorf("note what follows: %w", err)
		}
		posted, err = journal.Post(ctx, tx, kindDeactivation, []journal.Topic{{User: userID}}, follows)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("deactivate %s: %w", userID, err)
	}
	s.Sessions.Revoke(revoked)
	if s.o.Journal != nil {
		// The client may close the connection now; the deactivation goes on.
		s.logFailure(s.o.Journal.Settle(context.WithoutCancel(ctx), posted))
	}
	return bound, nil
}

// finishDeactivation calls the functions that follow a deactivation.
func (s *Service) finishDeactivation(ctx context.Context, e *journal.Entry) error {
	var d deactivation
	if err := json.Unmarshal(e.Value.(*journal.Posted).Payload, &d); err != nil {
		return fmt.Errorf("read what follows from a deactivation: %w", err)
	}
	todo := s.leave
	if d.Erase {
		todo = slices.Concat(s.leave, s.erase)
	}
	userID := e.Topics[0].User
	for _, do := range todo {
		if err := do(ctx, userID); err != nil {
			return fmt.Errorf("finish the deactivation of %s: %w", userID, err)
		}
	}
	return nil
}
