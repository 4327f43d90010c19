package sso

import (
	"context"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/uia"
	"homeserver/internal/matrix"
)

// mayConfirm reports whether a user can confirm requests by single sign-on, and whether by nothing else.
func (s *Service) mayConfirm(ctx context.Context, userID string) (may, only bool, err error) {
	ids := make([]string, len(s.providers))
	for i, p := range s.providers {
		ids[i] = p.ID
	}
	if may, err = hasIdentity(ctx, s.o.Pool, userID, ids); err != nil || !may {
		return false, false, err
	}
	found, err := account.Find(ctx, s.o.Pool, []string{userID})
	if err != nil || found.PasswordHash != "" {
		return true, false, err
	}
	hasPassword, err := s.IsOfDirectory(ctx, userID)
	return true, !hasPassword, err
}

// checkStage is the stage m.login.sso: it is completed by the page alone, for a person who has signed in there.
// Client-server API, "SSO during User-Interactive Authentication".
func (s *Service) checkStage(_ context.Context, attempt uia.Attempt) (uia.Evidence, error) {
	var sent struct {
		Kept string `json:"kept"`
		Key  string `json:"key"`
	}
	if err := attempt.Decode(&sent); err != nil {
		return uia.Evidence{}, matrix.Errorf(matrix.BadJSON, "A member of auth has a wrong type")
	}
	arrival, err := s.Kept(sent.Kept, sent.Key)
	if err != nil || arrival.UserID == "" || arrival.Purpose.Session != attempt.Session() {
		return uia.Evidence{}, matrix.Errorf(matrix.Forbidden, "Confirm it on the page of this stage")
	}
	return uia.Evidence{UserID: arrival.UserID}, nil
}

// Confirm completes the stage of interactive authentication for which a person has signed in. Errors of
// [uia.Service.CompleteFallback].
func (s *Service) Confirm(ctx context.Context, a *Arrival) error {
	kept, err := s.Keep(a)
	if err != nil {
		return err
	}
	return s.o.Stages.CompleteFallback(ctx, a.Purpose.Session, uia.StageSSO, map[string]any{"kept": kept, "key": a.Key})
}
