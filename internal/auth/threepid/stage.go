package threepid

import (
	"context"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/uia"
	"homeserver/internal/matrix"
)

// stage returns the stages m.login.email.identity and m.login.msisdn. It is offered for
// an operation as far as the server can send messages. Where it is about the password
// of an account, it also finds out whose address it is. Some old clients send the
// credentials under another name, or as a list. Client-server API, "Email-based" and
// "Phone number/MSISDN-based".
//
// M_THREEPID_AUTH_FAILED as long as the address is not confirmed,
// M_THREEPID_NOT_FOUND where nobody has it any more.
func (s *Service) stage(medium string) uia.Stage {
	stage := uia.Stage{Claim: s.claimProof, Check: func(ctx context.Context, a uia.Attempt) (uia.Evidence, error) {
		var sent struct {
			Creds    CredentialsList `json:"threepid_creds"`
			OldCreds CredentialsList `json:"threepidCreds"`
		}
		if err := a.Decode(&sent); err != nil {
			return uia.Evidence{}, matrix.Errorf(matrix.BadJSON, "threepid_creds must be an object of strings")
		}
		purpose := PurposeOf(a.Operation)
		v, err := s.Validated(ctx, purpose, append(sent.Creds, sent.OldCreds...).First())
		if err != nil {
			return uia.Evidence{}, err
		}
		if v.Medium != medium {
			return uia.Evidence{}, matrix.Errorf(matrix.ThreepidAuthFailed, "The session is for another medium")
		}
		found := uia.Evidence{Proof: v.SID}
		if purpose != ForPassword {
			return found, nil
		}
		if found.UserID, err = s.Owner(ctx, v.Address); err == nil && found.UserID == "" {
			err = matrix.Errorf(matrix.ThreepidNotFound, "No account has this address")
		}
		return found, err
	}}
	if s.Proves(medium) {
		stage.Alone = []string{uia.Register, uia.ChangePassword}
	}
	return stage
}

// PurposeOf returns the purpose that an address must be proved for to complete a stage
// of an operation; "" if none of the stages is about an address.
func PurposeOf(operation string) Purpose {
	switch operation {
	case uia.Register:
		return ForRegistration
	case uia.ChangePassword:
		return ForPassword
	default:
		return ""
	}
}

// claimProof uses up the session that a stage has named: its address becomes that of a
// new account, and must be that of one whose password is changed.
func (s *Service) claimProof(ctx context.Context, tx pgx.Tx, operation, sid, userID string) error {
	if PurposeOf(operation) == ForPassword {
		return s.ClaimOwned(ctx, tx, sid, userID)
	}
	return s.ClaimNew(ctx, tx, sid, userID)
}
