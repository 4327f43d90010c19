package uia

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

	"homeserver/internal/matrix"
)

// The operations that stages may allow by themselves.
const (
	Register       = "POST /register"
	ChangePassword = "POST /account/password" //nolint:gosec // G101: a path, not a secret
	// UploadSigningKeys replaces the keys by which others know a user.
	UploadSigningKeys = "POST /keys/device_signing/upload"
)

// Operation is what a session of interactive authentication allows: one endpoint, with
// the parameters of its path, for one user. The specification has the client repeat the
// same request; a client may nevertheless change the other parameters of its body on
// the way, such as a user name that is in use meanwhile: it authenticates in the
// request that has them. Only what a user has approved on a page must stay as it was.
type Operation struct {
	Name   string // method and path
	UserID string // the owner of the access token; "" without one
	Flows  [][]string
	// effect describes to people what the request would do; "": they are not asked on a
	// page.
	effect string
	// parameters are those of the request for which an approval on a page is valid;
	// nil: for any.
	parameters []any
	// free is true if nothing needs to be proved.
	free bool
	// oauth is true for a session that was signed in by the OAuth 2.0 API, which has no stages: the
	// operation is not for it, unless it is approvable.
	oauth, approvable bool
}

// ByPassword returns an operation that needs the password of the user.
func ByPassword(name string, session matrix.Session) Operation {
	return Operation{Name: name, UserID: session.UserID, Flows: [][]string{{StagePassword}}, oauth: session.OAuth}
}

// FreeForAppServices returns the operation as one for which an application service that acts as
// the user need not authenticate. Application Service API, "Device management" and
// "Cross-signing".
func (op Operation) FreeForAppServices(session matrix.Session) Operation {
	op.free = session.AppService != ""
	return op
}

// ApprovedOnPage returns the operation as one that users approve on the page of their account, by
// [Service.ApproveOnPage], for sessions that were signed in by the OAuth 2.0 API. "OAuth
// authentication".
func (op Operation) ApprovedOnPage() Operation {
	if op.approvable = true; op.oauth {
		op.Flows = [][]string{{StageOAuth}, {stageOAuthOld}}
	}
	return op
}

// About sets the description of what the operation would do, and its parameters.
func (op Operation) About(effect string, parameters ...any) Operation {
	op.effect, op.parameters = effect, parameters
	return op
}

// mac returns the stored form of the parameters. Its key is the session's ID, which is
// not stored, so that it reveals nothing of a password among them.
func (op Operation) mac(session string) ([]byte, error) {
	if op.parameters == nil {
		return []byte{}, nil
	}
	encoded, err := json.Marshal(op.parameters)
	if err != nil {
		return nil, fmt.Errorf("encode the parameters of a request: %w", err)
	}
	mac := hmac.New(sha256.New, []byte(session))
	mac.Write(encoded)
	return mac.Sum(nil), nil
}

// flow is one of the flows in a challenge.
type flow struct {
	Stages []string `json:"stages"`
}

func (op Operation) describeFlows() []flow {
	flows := make([]flow, 0, len(op.Flows))
	for _, stages := range op.Flows {
		flows = append(flows, flow{Stages: stages})
	}
	return flows
}

// refuses returns why a stage can't be attempted: it is in no flow, or its turn has not
// come. nil if it can.
func (op Operation) refuses(completed []string, name string) *matrix.Error {
	known := false
	for _, stages := range op.Flows {
		known = known || slices.Contains(stages, name)
		n := len(completed)
		if n < len(stages) && slices.Equal(stages[:n], completed) && stages[n] == name {
			return nil
		}
	}
	if known {
		return matrix.Errorf(matrix.Forbidden, "It is not the turn of this stage")
	}
	return matrix.Errorf(matrix.Unrecognized, "This stage is not part of any flow")
}

// satisfiedBy reports whether the completed stages are a whole flow.
func (op Operation) satisfiedBy(completed []string) bool {
	return slices.ContainsFunc(op.Flows, func(stages []string) bool { return slices.Equal(stages, completed) })
}
