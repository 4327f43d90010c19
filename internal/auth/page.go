package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/uia"
	"homeserver/internal/matrix"
)

// The methods in this file are for the pages of this server on which people manage their
// accounts. The browser has shown who they are; what cannot be undone needs the password again.

// RegistrationOpen reports whether anybody may make an account.
func (s *Service) RegistrationOpen() bool { return s.o.RegistrationEnabled }

// TokenNeeded reports whether those who register need a token that the operator has made.
func (s *Service) TokenNeeded() bool {
	return slices.Contains(s.o.Policy.Stages, uia.StageRegistrationToken)
}

// PageRegistration is what a person has typed on the page to make an account.
type PageRegistration struct {
	Username, Password string
	// Token is the registration token; "": there is none.
	Token string
	// Accepted says that the person has accepted the documents that were shown.
	Accepted bool
}

// RegisterOnPage makes an account by the rules of [Service.Register], logs nothing in, and
// returns the user ID. M_MISSING_PARAM without a name or a password, M_UNAUTHORIZED for a token that is not good, and M_FORBIDDEN
// where the server asks for more.
func (s *Service) RegisterOnPage(ctx context.Context, r PageRegistration, by matrix.Client) (string, error) {
	if r.Username == "" || r.Password == "" {
		return "", matrix.Errorf(matrix.MissingParam, "A user name and a password are needed")
	}
	flow := s.registrationFlows()[0]
	interactive := ""
	for i, stage := range flow {
		proof, err := r.proof(stage, interactive)
		if err != nil {
			return "", err
		}
		made, err := s.Register(ctx, RegisterRequest{Username: r.Username, Password: r.Password, InhibitLogin: true, Auth: proof}, by)
		if challenge, ok := errors.AsType[*matrix.Error](err); ok && challenge.Code == "" && i < len(flow)-1 {
			interactive, _ = challenge.Fields["session"].(string)
			continue
		}
		return made.UserID, err
	}
	return "", errNotOnPage()
}

// proof returns what completes a stage of a session by what was typed; "": of a new session.
func (r PageRegistration) proof(stage, interactive string) (json.RawMessage, error) {
	fields := map[string]string{"type": stage}
	switch {
	case stage == uia.StageRegistrationToken:
		fields["token"] = r.Token
	case stage == uia.StageTerms && !r.Accepted:
		return nil, matrix.Errorf(matrix.MissingParam, "To go on, accept the documents")
	case stage != uia.StageDummy && stage != uia.StageTerms:
		return nil, errNotOnPage()
	}
	if interactive != "" {
		fields["session"] = interactive
	}
	proof, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("encode the proof of a registration: %w", err)
	}
	return proof, nil
}

func errNotOnPage() *matrix.Error {
	return matrix.Errorf(matrix.Forbidden, "This server asks for more than a password: register in an app")
}

// ReplacePassword sets a new password for a user who knows the old one, and logs all devices out
// if logout is set. The addresses of the account get a message. M_FORBIDDEN, M_WEAK_PASSWORD,
// M_LIMIT_EXCEEDED.
func (s *Service) ReplacePassword(ctx context.Context, userID, old, password string, logout bool) error {
	if err := s.checkNewPassword(password); err != nil {
		return err
	}
	if err := s.CheckPassword(ctx, userID, old); err != nil {
		return err
	}
	if err := s.changePassword(ctx, passwordChange{userID: userID, password: password, logout: logout}, uia.Approval{}); err != nil {
		return err
	}
	s.o.Threepids.NotifyNewPassword(ctx, userID)
	return nil
}

// HasPassword reports whether an account has a password here. Others sign in at a provider, or by that of a
// directory.
func (s *Service) HasPassword(ctx context.Context, userID string) (bool, error) {
	a, err := account.Find(ctx, s.pool, []string{userID})
	return a.PasswordHash != "", err
}

// DeactivateOnPage ends the account of a user who knows its password, as [Service.Deactivate] does. One
// that has none here needs a browser that was signed in lately: fresh.
func (s *Service) DeactivateOnPage(ctx context.Context, userID, password string, erase, fresh bool) error {
	known, err := s.HasPassword(ctx, userID)
	if err != nil {
		return err
	}
	if known || !fresh {
		if err := s.CheckPassword(ctx, userID, password); err != nil {
			return err
		}
	}
	bound, err := s.deactivate(ctx, userID, erase, uia.Approval{})
	if err != nil {
		return err
	}
	// The browser may be closed now; nobody could ask for it again.
	s.o.Threepids.UnbindAll(context.WithoutCancel(ctx), userID, bound, "")
	return nil
}

// CheckPassword checks the password of a user. M_FORBIDDEN, M_LIMIT_EXCEEDED.
func (s *Service) CheckPassword(ctx context.Context, userID, password string) error {
	_, err := s.WithPassword(ctx, userID, password, func(pgx.Tx, string) error { return nil })
	if matrix.IsCode(err, matrix.Forbidden) {
		err = matrix.Errorf(matrix.Forbidden, "That is not the password")
	}
	return err
}
