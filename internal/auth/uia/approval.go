package uia

import (
	"context"
	"net/http"
	"time"

	"homeserver/internal/matrix"
)

// approvalLifetime is how long an approval on the page of an account is good.
const approvalLifetime = 10 * time.Minute

// RegisterPage adds the stage m.oauth, with the address of the page on which users approve
// operations. It is meant for wiring, before the first request. "OAuth authentication".
func (s *Service) RegisterPage(address string) {
	for _, name := range []string{StageOAuth, stageOAuthOld} {
		s.Register(name, Stage{
			Check: func(context.Context, Attempt) (Evidence, error) {
				return Evidence{}, matrix.Errorf(matrix.Forbidden, "You have not approved this on the page of your account yet")
			},
			Params: map[string]any{"url": address},
		})
	}
}

// ApproveOnPage notes that a user approves an operation of a session of theirs, once, within ten
// minutes.
func (s *Service) ApproveOnPage(ctx context.Context, userID, operation string) error {
	return insertApproval(ctx, s.pool, userID, operation, s.now().Add(approvalLifetime).UnixMilli())
}

// approved returns the approval of a user for an operation of a session that was signed in by the OAuth 2.0
// API; the zero value if there is none. M_UNRECOGNIZED for an operation that such sessions
// cannot do: section "OAuth 2.0 API".
func (s *Service) approved(ctx context.Context, op Operation) (Approval, error) {
	if !op.approvable {
		refusal := matrix.Errorf(matrix.Unrecognized, "This app has signed in by OAuth: do this on the page of your account")
		refusal.Status = http.StatusNotFound
		return Approval{}, refusal
	}
	now := s.now().UnixMilli()
	found, err := hasApproval(ctx, s.pool, op.UserID, op.Name, now)
	if err != nil || !found {
		return Approval{}, err
	}
	return Approval{UserID: op.UserID, operation: op.Name, now: now}, nil
}
