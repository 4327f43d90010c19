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
	// provedUserID is whom a stage has found the client to be; "" if none has.
	provedUserID string
	// proof is what a stage has to claim; "" if none has.
	proof string
	// mac is that of the parameters of the request that began it, and byPage whether
	// they were approved on a page.
	mac    []byte
	byPage bool
}

// holdsFor reports whether what was approved on a page, if anything was, is what a
// request would do.
func (i session) holdsFor(op Operation) (bool, error) {
	mac, err := op.mac(i.id)
	return err == nil && (!i.byPage || hmac.Equal(mac, i.mac)), err
}

func (i session) hash() secret.Hash { return secret.HashOf(i.id) }

// Approval is a completed session. Its zero value stands for what needs none.
type Approval struct {
	// UserID is whom the operation is about; "" where nobody has been proved.
	UserID  string
	session *session // nil where nothing was stored
	claim   func(ctx context.Context, tx pgx.Tx, userID string) error
}

// approve makes the approval of a completed session.
func (s *Service) approve(op Operation, done session) Approval {
	p := Approval{UserID: cmp.Or(op.UserID, done.provedUserID)}
	if done.stored {
		p.session = &done
	}
	for _, name := range done.completed {
		if claim := s.stages[name].Claim; claim != nil && done.proof != "" {
			p.claim = func(ctx context.Context, tx pgx.Tx, userID string) error {
				return claim(ctx, tx, op.Name, done.proof, userID)
			}
		}
	}
	return p
}

// Consume uses the session up, in the transaction of what it allows; so if that
// fails, the client need not authenticate again. M_FORBIDDEN where another request
// has used it.
func (p Approval) Consume(ctx context.Context, tx pgx.Tx) error {
	if p.session == nil {
		return nil
	}
	found, err := deleteSession(ctx, tx, p.session.hash())
	if err == nil && !found {
		return matrix.Errorf(matrix.Forbidden, "The session of this authentication has been used already")
	}
	return err
}

// Claim uses up what the stages have proved, such as an address, for a user whose
// account is locked. Errors are those of the stage.
func (p Approval) Claim(ctx context.Context, tx pgx.Tx, userID string) error {
	if p.claim == nil {
		return nil
	}
	return p.claim(ctx, tx, userID)
}
