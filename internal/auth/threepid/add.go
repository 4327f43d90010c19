package threepid

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/uia"
	"homeserver/internal/matrix"
)

// AddRequest is the body of POST /account/3pid/add.
type AddRequest struct {
	ClientSecret string          `json:"client_secret"`
	SID          string          `json:"sid"`
	Auth         json.RawMessage `json:"auth"`
}

// Add adds the address that a session has proved to the account of the user who asks,
// after interactive authentication. Client-server API, POST /account/3pid/add.
//
// M_MISSING_PARAM, M_THREEPID_AUTH_FAILED if the address is not confirmed,
// M_THREEPID_IN_USE if another account has it, M_THREEPID_DENIED if the user has too
// many.
func (s *Service) Add(ctx context.Context, session matrix.Session, r AddRequest) error {
	v, err := s.Validated(ctx, ForAccount, Credentials{SID: r.SID, ClientSecret: r.ClientSecret})
	if err != nil {
		return err
	}
	return s.claimAll(ctx, addOperation("POST /account/3pid/add", session, v), r.Auth, []Validated{v})
}

// AddOrBindRequest is the body of POST /account/3pid, whose credentials went by
// several names.
type AddOrBindRequest struct {
	Creds     CredentialsList `json:"three_pid_creds"`
	OldCreds  CredentialsList `json:"threePidCreds"`
	AuthCreds CredentialsList `json:"threepid_creds"`
	MoreCreds CredentialsList `json:"threepidCreds"`
	Auth      json.RawMessage `json:"auth"`
}

// AddOrBind adds the addresses that sessions of this server have proved to a user's
// account, as Add does and after the same interactive authentication: with an address a
// new password can be set, and an access token alone must not be enough for that.
// Sessions of identity servers are bound there, without authentication. Client-server
// API, POST /account/3pid. Errors as for Add and Bind.
func (s *Service) AddOrBind(ctx context.Context, session matrix.Session, r AddOrBindRequest) error {
	list := slices.Concat(r.Creds, r.OldCreds, r.AuthCreds, r.MoreCreds)
	proved, elsewhere, err := s.Resolve(ctx, list)
	if err != nil {
		return err
	}
	if len(proved) > 0 {
		if err := s.claimAll(ctx, addOperation("POST /account/3pid", session, proved...), r.Auth, proved); err != nil {
			return err
		}
	}
	for _, c := range elsewhere {
		if err := s.Bind(ctx, session.UserID, c); err != nil {
			return err
		}
	}
	return nil
}

// addOperation returns the operation that adds addresses to an account.
func addOperation(name string, session matrix.Session, proved ...Validated) uia.Operation {
	addresses := make([]string, len(proved))
	for i, v := range proved {
		addresses[i] = v.Address.Address
	}
	return uia.ByPassword(name, session).About(
		"Add "+strings.Join(addresses, ", ")+" to your account, so that your password can be reset with it", addresses)
}

// claimAll adds addresses to a user's account after interactive authentication, and
// sends a message to the others of the account.
func (s *Service) claimAll(ctx context.Context, op uia.Operation, auth json.RawMessage, proved []Validated) error {
	proof, err := s.o.Stages.Interact(ctx, op, auth)
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, s.o.Pool, func(tx pgx.Tx) error {
		if _, err := account.Lock(ctx, tx, op.UserID); err != nil {
			return err
		}
		if err := proof.Consume(ctx, tx); err != nil {
			return err
		}
		for _, v := range proved {
			if err := s.ClaimNew(ctx, tx, v.SID, op.UserID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("add an address to %s: %w", op.UserID, err)
	}
	for _, v := range proved {
		s.notifyAdded(ctx, op.UserID, v.Address)
	}
	return nil
}
