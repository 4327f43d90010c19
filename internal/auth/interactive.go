package auth

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	jsonexp "github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/secret"
	"homeserver/internal/auth/threepid"
	"homeserver/internal/matrix"
)

// The stages of interactive authentication that this server knows. Client-server
// API, "Authentication types".
const (
	StageDummy    = "m.login.dummy"
	StagePassword = "m.login.password"
	StageEmail    = "m.login.email.identity"
	StagePhone    = "m.login.msisdn"
)

// stagePhoneOld is what some clients call StagePhone.
const stagePhoneOld = "m.login.msisdn.identity"

const (
	// interactionLifetime is how long a client may take for all stages.
	interactionLifetime = 24 * time.Hour
	// maxInteractionsOfUser bounds the unfinished sessions of one user, and
	// maxInteractionsOfNobody those of all clients without an access token. Beyond
	// it the oldest is forgotten.
	maxInteractionsOfUser   = 20
	maxInteractionsOfNobody = 5000
)

// operation is what a session of interactive authentication allows: one endpoint,
// with what stands in its path, for one user. The specification has the client
// repeat the same request; a client may nevertheless change the other parameters of
// its body on the way, such as a user name that somebody else has taken meanwhile:
// it proves who it is in the request that has them. Only what somebody has approved
// on a page must stay as it was.
type operation struct {
	name   string // method and path
	userID string // the owner of the access token; "" without one
	flows  [][]string
	// effect says to people what the request would do; "": they are not asked on a page.
	effect string
	// parameters are those of the request that an approval on a page holds for; nil: it
	// holds for any.
	parameters []any
}

// about says what the operation would do, and by which parameters.
func (op operation) about(effect string, parameters ...any) operation {
	op.effect, op.parameters = effect, parameters
	return op
}

// mac is what is kept of the parameters. Its key is the session's ID, which is not
// kept, so that it tells nothing of a password among them.
func (op operation) mac(session string) ([]byte, error) {
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

// purpose is what an address must be proved for to complete a stage of the
// operation.
func (op operation) purpose() threepid.Purpose {
	switch op.name {
	case operationRegister:
		return threepid.ForRegistration
	case operationPassword:
		return threepid.ForPassword
	default:
		return ""
	}
}

// The operations that can be allowed by proving an address.
const (
	operationRegister = "POST /register"
	operationPassword = "POST /account/password" //nolint:gosec // G101: a path, not a secret
)

// passwordOperation is an operation that needs the password of the user.
func passwordOperation(name string, session matrix.Session) operation {
	return operation{name: name, userID: session.UserID, flows: [][]string{{StagePassword}}}
}

// stage is one type of authentication.
type stage struct {
	// check judges what a client has sent. A *matrix.Error means that the client may
	// try again.
	check func(ctx context.Context, a attempt) (evidence, error)
	// params is what a client must know to complete the stage; nil for nothing.
	params map[string]any
}

// attempt is what a stage judges: the auth object as it was sent.
type attempt struct {
	auth    json.RawMessage
	purpose threepid.Purpose // set from the operation
	byPage  bool             // it was typed on a page of this server
}

// evidence is what a stage has found out: whom the client has proved to be, and by
// which session of internal/auth/threepid. Either is "" where the stage does not tell.
type evidence struct {
	userID, threepidSID string
}

// interaction is a session of interactive authentication.
type interaction struct {
	id        string // as the client knows it
	stored    bool
	completed []string
	// provedUserID is whom a stage has found the client to be; "" if none has.
	provedUserID string
	// threepidSID is the session by which a stage has proved an address; "" if none has.
	threepidSID string
	// mac is that of the parameters of the request that began it, and byPage whether
	// they were approved on a page.
	mac    []byte
	byPage bool
}

// holdsFor reports whether what was approved on a page, if anything was, is what a
// request would do.
func (i interaction) holdsFor(op operation) (bool, error) {
	mac, err := op.mac(i.id)
	return err == nil && (!i.byPage || hmac.Equal(mac, i.mac)), err
}

func (i interaction) hash() secret.Hash { return secret.HashOf(i.id) }

// approval is a completed interaction. Its zero value stands for what needs none.
type approval struct {
	userID      string
	threepidSID string       // a session to be claimed with it; "" for none
	interaction *interaction // nil where nothing was stored
}

// consume uses the interaction up, in the transaction of what it allows; so if that
// fails, the client need not authenticate again. M_FORBIDDEN where another request
// has used it.
func (p approval) consume(ctx context.Context, tx pgx.Tx) error {
	if p.interaction == nil {
		return nil
	}
	found, err := deleteInteraction(ctx, tx, p.interaction.hash())
	if err == nil && !found {
		return matrix.Errorf(matrix.Forbidden, "The session of this authentication has been used already")
	}
	return err
}

// interact carries interactive authentication one step further. Unless that
// completes it, the error is a *matrix.Error with status 401 and the body of
// "User-interactive API in the REST API".
//
// An auth object without a session starts one, so that a flow of one stage, such as
// m.login.dummy, can be completed by the first request, without anything stored.
func (s *Service) interact(ctx context.Context, op operation, auth json.RawMessage) (approval, error) {
	var sent struct {
		Type    string `json:"type"`
		Session string `json:"session"`
	}
	current := interaction{id: secret.New("")}
	if len(auth) == 0 || bytes.Equal(auth, []byte("null")) {
		return approval{}, s.challenge(ctx, op, current, nil)
	}
	if err := decodeAuth(auth, &sent); err != nil {
		return approval{}, matrix.Errorf(matrix.BadJSON, "auth must be an object whose type and session are strings")
	}
	if sent.Session != "" {
		found, err := s.resume(ctx, op, sent.Session)
		if err != nil {
			return approval{}, err
		}
		if !found.stored {
			return approval{}, s.challenge(ctx, op, current, matrix.Errorf(matrix.Unknown, "The session is unknown or has expired"))
		}
		current = found
	}
	if sent.Type == stagePhoneOld {
		sent.Type = StagePhone
	}
	if sent.Type != "" && !slices.Contains(current.completed, sent.Type) {
		var failure *matrix.Error
		var err error
		if current, failure, err = s.tryStage(ctx, op, current, sent.Type, attempt{auth: auth}); err != nil {
			return approval{}, err
		}
		if failure != nil {
			return approval{}, s.challenge(ctx, op, current, failure)
		}
	}
	if !op.satisfiedBy(current.completed) {
		return approval{}, s.challenge(ctx, op, current, nil)
	}
	return op.approve(current), nil
}

// resume finds the session of an interaction; one that is not stored where there is
// none. M_FORBIDDEN for one of another user or another request, and where the request
// is not what was approved on a page.
func (s *Service) resume(ctx context.Context, op operation, session string) (interaction, error) {
	of, current, err := findInteraction(ctx, s.pool, session, s.nowMS()-interactionLifetime.Milliseconds())
	if err != nil || !current.stored {
		return current, err
	}
	if of.name != op.name || of.userID != op.userID {
		return interaction{}, matrix.Errorf(matrix.Forbidden, "This session is for another request, or of another user")
	}
	holds, err := current.holdsFor(op)
	if err == nil && !holds {
		err = matrix.Errorf(matrix.Forbidden, "This is not the request that was approved")
	}
	return current, err
}

// tryStage tries to complete one stage. A failure is to be told with the challenge;
// an error ends the request.
func (s *Service) tryStage(ctx context.Context, op operation, current interaction, name string, a attempt) (interaction, *matrix.Error, error) {
	if failure := op.refuses(current.completed, name); failure != nil {
		return current, failure, nil
	}
	a.purpose = op.purpose()
	found, err := s.stages[name].check(ctx, a)
	if failure, ok := errors.AsType[*matrix.Error](err); ok && retriable(failure) {
		return current, failure, nil
	}
	if err != nil {
		return current, nil, err
	}
	expected := cmp.Or(op.userID, current.provedUserID)
	if found.userID != "" && expected != "" && found.userID != expected {
		return current, matrix.Errorf(matrix.Forbidden, "This is not the user who has to authenticate"), nil
	}
	next := current
	next.completed = append(slices.Clone(current.completed), name)
	next.provedUserID = cmp.Or(found.userID, next.provedUserID)
	next.threepidSID = cmp.Or(found.threepidSID, next.threepidSID)
	next.byPage = current.byPage || a.byPage
	if current.stored {
		if err := storeProgress(ctx, s.pool, current, next); err != nil {
			return current, nil, err
		}
	}
	return next, nil, nil
}

// retriable reports whether an error of a stage is about the authentication. The
// others are about the request, and are answered as they are.
func retriable(err *matrix.Error) bool {
	switch err.Code {
	case matrix.LimitExceeded, matrix.BadJSON, matrix.MissingParam, matrix.InvalidParam:
		return false
	default:
		return true
	}
}

// challenge is the answer that asks for the next stage, and stores the interaction
// for it. failure tells why the last attempt did not succeed; nil where there was
// none.
func (s *Service) challenge(ctx context.Context, op operation, current interaction, failure *matrix.Error) error {
	if !current.stored {
		if err := insertInteraction(ctx, s.pool, op, current, s.nowMS()); err != nil {
			return err
		}
	}
	answer := matrix.Errorf("", "Interactive authentication is needed")
	answer.Status = http.StatusUnauthorized
	answer.Fields = map[string]any{
		"flows":   op.describeFlows(),
		"params":  s.paramsOf(op.flows),
		"session": current.id,
	}
	if len(current.completed) > 0 || failure != nil {
		answer.Fields["completed"] = notNil(current.completed)
	}
	if failure != nil {
		answer.Code, answer.Message = failure.Code, failure.Message
	}
	return answer
}

// flow is one of the flows in a challenge.
type flow struct {
	Stages []string `json:"stages"`
}

func (op operation) describeFlows() []flow {
	flows := make([]flow, 0, len(op.flows))
	for _, stages := range op.flows {
		flows = append(flows, flow{Stages: stages})
	}
	return flows
}

func (s *Service) paramsOf(flows [][]string) map[string]any {
	params := map[string]any{}
	for _, name := range slices.Concat(flows...) {
		if p := s.stages[name].params; p != nil {
			params[name] = p
		}
	}
	return params
}

// refuses tells why a stage can't be attempted: it stands in no flow, or its turn
// has not come. nil where it can.
func (op operation) refuses(completed []string, name string) *matrix.Error {
	known := false
	for _, stages := range op.flows {
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
func (op operation) satisfiedBy(completed []string) bool {
	return slices.ContainsFunc(op.flows, func(stages []string) bool { return slices.Equal(stages, completed) })
}

// approve makes the approval of a completed interaction.
func (op operation) approve(done interaction) approval {
	p := approval{userID: cmp.Or(op.userID, done.provedUserID), threepidSID: done.threepidSID}
	if done.stored {
		p.interaction = &done
	}
	return p
}

// decodeAuth reads an auth object. As in the rest of a body, names must match
// exactly, which the standard library can't do.
func decodeAuth(auth json.RawMessage, into any) error { return jsonexp.Unmarshal(auth, into) }

// checkDummy is the stage m.login.dummy: "Dummy Auth".
func checkDummy(context.Context, attempt) (evidence, error) { return evidence{}, nil }

// checkPasswordStage is the stage m.login.password: "Password-based".
func (s *Service) checkPasswordStage(ctx context.Context, a attempt) (evidence, error) {
	var sent struct {
		Identifier *Identifier `json:"identifier"`
		User       string      `json:"user"`
		Medium     string      `json:"medium"`
		Address    string      `json:"address"`
		Password   string      `json:"password"`
	}
	if err := decodeAuth(a.auth, &sent); err != nil {
		return evidence{}, matrix.Errorf(matrix.BadJSON, "A member of auth has a wrong type")
	}
	name, err := readName(sent.Identifier, sent.User, sent.Medium, sent.Address)
	if err != nil {
		return evidence{}, err
	}
	found, _, err := s.checkPassword(ctx, name, sent.Password)
	return evidence{userID: found.UserID}, err
}
