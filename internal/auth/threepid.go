package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/threepid"
	"homeserver/internal/matrix"
)

// threepidFlows are the flows of one stage each in which an address is proved, as
// far as the server can send messages.
func (s *Service) threepidFlows() [][]string {
	var flows [][]string
	if s.o.Threepids.Proves(threepid.Email) {
		flows = append(flows, []string{StageEmail})
	}
	if s.o.Threepids.Proves(threepid.Phone) {
		flows = append(flows, []string{StagePhone})
	}
	return flows
}

// checkThreepidStage is the stages m.login.email.identity and m.login.msisdn. Where
// it is about the password of an account, it also tells whose address it is. Some
// old clients send the credentials under another name, or as a list. Client-server
// API, "Email-based" and "Phone number/MSISDN-based".
//
// M_THREEPID_AUTH_FAILED as long as the address is not confirmed,
// M_THREEPID_NOT_FOUND where nobody has it any more.
func (s *Service) checkThreepidStage(medium string) func(context.Context, attempt) (evidence, error) {
	return func(ctx context.Context, a attempt) (evidence, error) {
		var sent struct {
			Creds    threepid.CredentialsList `json:"threepid_creds"`
			OldCreds threepid.CredentialsList `json:"threepidCreds"`
		}
		if err := decodeAuth(a.auth, &sent); err != nil {
			return evidence{}, matrix.Errorf(matrix.BadJSON, "threepid_creds must be an object of strings")
		}
		v, err := s.o.Threepids.Validated(ctx, a.purpose, append(sent.Creds, sent.OldCreds...).First())
		if err != nil {
			return evidence{}, err
		}
		if v.Medium != medium {
			return evidence{}, matrix.Errorf(matrix.ThreepidAuthFailed, "The session is for another medium")
		}
		found := evidence{threepidSID: v.SID}
		if a.purpose != threepid.ForPassword {
			return found, nil
		}
		if found.userID, err = s.o.Threepids.Owner(ctx, v.Address); err == nil && found.userID == "" {
			err = matrix.Errorf(matrix.ThreepidNotFound, "No account has this address")
		}
		return found, err
	}
}

// AddThreepidRequest is the body of POST /account/3pid/add.
type AddThreepidRequest struct {
	ClientSecret string          `json:"client_secret"`
	SID          string          `json:"sid"`
	Auth         json.RawMessage `json:"auth"`
}

// AddThreepid gives the address that a session has proved to the user who asks,
// after interactive authentication. Client-server API, POST /account/3pid/add.
//
// M_MISSING_PARAM, M_THREEPID_AUTH_FAILED where the address is not confirmed,
// M_THREEPID_IN_USE where another account has it, M_THREEPID_DENIED where the user
// has too many.
func (s *Service) AddThreepid(ctx context.Context, session matrix.Session, r AddThreepidRequest) error {
	v, err := s.o.Threepids.Validated(ctx, threepid.ForAccount, threepid.Credentials{SID: r.SID, ClientSecret: r.ClientSecret})
	if err != nil {
		return err
	}
	return s.claimThreepids(ctx, addOperation("POST /account/3pid/add", session, v), r.Auth, []threepid.Validated{v})
}

// PostThreepidRequest is the body of POST /account/3pid, whose credentials went by
// several names.
type PostThreepidRequest struct {
	Creds     threepid.CredentialsList `json:"three_pid_creds"`
	OldCreds  threepid.CredentialsList `json:"threePidCreds"`
	AuthCreds threepid.CredentialsList `json:"threepid_creds"`
	MoreCreds threepid.CredentialsList `json:"threepidCreds"`
	Auth      json.RawMessage          `json:"auth"`
}

// PostThreepid gives a user the addresses that sessions of this server have proved,
// as AddThreepid does and after the same interactive authentication: with an address a
// new password can be set, and an access token alone must not be enough for that.
// Sessions of identity servers are bound there, without. Client-server API,
// POST /account/3pid. Errors as for AddThreepid and threepid.Service.Bind.
func (s *Service) PostThreepid(ctx context.Context, session matrix.Session, r PostThreepidRequest) error {
	list := slices.Concat(r.Creds, r.OldCreds, r.AuthCreds, r.MoreCreds)
	proved, elsewhere, err := s.o.Threepids.Resolve(ctx, list)
	if err != nil {
		return err
	}
	if len(proved) > 0 {
		if err := s.claimThreepids(ctx, addOperation("POST /account/3pid", session, proved...), r.Auth, proved); err != nil {
			return err
		}
	}
	for _, c := range elsewhere {
		if err := s.o.Threepids.Bind(ctx, session.UserID, c); err != nil {
			return err
		}
	}
	return nil
}

// addOperation is the operation that gives a user addresses.
func addOperation(name string, session matrix.Session, proved ...threepid.Validated) operation {
	addresses := make([]string, len(proved))
	for i, v := range proved {
		addresses[i] = v.Address.Address
	}
	return passwordOperation(name, session).about(
		"Add "+strings.Join(addresses, ", ")+" to your account, so that your password can be reset with it", addresses)
}

// claimThreepids gives a user addresses after interactive authentication, and tells the
// others that the user has.
func (s *Service) claimThreepids(ctx context.Context, op operation, auth json.RawMessage, proved []threepid.Validated) error {
	proof, err := s.interact(ctx, op, auth)
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := account.Lock(ctx, tx, op.userID); err != nil {
			return err
		}
		if err := proof.consume(ctx, tx); err != nil {
			return err
		}
		for _, v := range proved {
			if err := s.o.Threepids.ClaimNew(ctx, tx, v.SID, op.userID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("add an address to %s: %w", op.userID, err)
	}
	for _, v := range proved {
		s.o.Threepids.TellAdded(ctx, op.userID, v.Address)
	}
	return nil
}
