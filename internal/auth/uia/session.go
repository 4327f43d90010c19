package uia

import (
	"cmp"
	"context"
	"crypto/hmac"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/secret"
	"homeserver/internal/matrix"
)

// session is a session of interactive authentication.
type session struct {
	id        string // as the client knows it
	stored    bool
	completed []string
	// provedUserID is the user that the client has proved to be in a stage; "" if in
	// none.
	provedUserID string
	// proofs are what stages have to claim, by their names.
	proofs map[string]string
	// mac is that of the parameters of the request that began it, and byPage whether
	// they were approved on a page.
	mac    []byte
	byPage bool
}

// holdsFor reports whether a request would do what was approved on a page, if anything
// was.
func (i session) holdsFor(op Operation) (bool, error) {
	mac, err := op.mac(i.id)
	return err == nil && (!i.byPage || hmac.Equal(mac, i.mac)), err
}

func (i session) hash() secret.Hash { return secret.HashOf(i.id) }

// Approval is a completed session. The zero value is for operations that need none.
type Approval struct {
	// UserID is the user of the operation; "" if no user has been proved.
	UserID  string
	session *session // nil where nothing was stored
	// operation is the one that the user has approved on a page; "": there is no such approval.
	operation string
	now       int64
	claims    []func(ctx context.Context, tx pgx.Tx, userID string) error
}

// approve makes the approval of a completed session.
func (s *Service) approve(op Operation, done session) Approval {
	p := Approval{UserID: cmp.Or(op.UserID, done.provedUserID)}
	if done.stored {
		p.session = &done
	}
	for _, name := range done.completed {
		if claim := s.stages[name].Claim; claim != nil && done.proofs[name] != "" {
			p.claims = append(p.claims, func(ctx context.Context, tx pgx.Tx, userID string) error {
				return claim(ctx, tx, op.Name, done.proofs[name], userID)
			})
		}
	}
	return p
}

// Consume uses the session up, in the transaction of the operation that it allows; so
// if that fails, the client need not authenticate again. M_FORBIDDEN where another
// request has used it.
func (p Approval) Consume(ctx context.Context, tx pgx.Tx) error {
	if p.operation != "" {
		return deleteApproval(ctx, tx, p.UserID, p.operation, p.now)
	}
	if p.session == nil {
		return nil
	}
	found, err := deleteSession(ctx, tx, p.session.hash())
	if err == nil && !found {
		return matrix.Errorf(matrix.Forbidden, "The session of this authentication has been used already")
	}
	return err
}

// Claim uses up the proofs of the stages, such as of an address, for a user whose
// account is locked. Errors are those of the stage.
func (p Approval) Claim(ctx context.Context, tx pgx.Tx, userID string) error {
	for _, claim := range p.claims {
		if err := claim(ctx, tx, userID); err != nil {
			return err
		}
	}
	return nil
}
