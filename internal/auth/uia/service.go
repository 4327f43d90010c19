package uia

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	jsonexp "github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/matrix"
)

// The stages of interactive authentication that this server knows. Client-server
// API, "Authentication types".
const (
	StageDummy    = "m.login.dummy"
	StagePassword = "m.login.password"
	StageEmail    = "m.login.email.identity"
	StagePhone    = "m.login.msisdn"
	StageTerms    = "m.login.terms"
	StageCaptcha  = "m.login.recaptcha"

	StageRegistrationToken = "m.login.registration_token" //nolint:gosec // G101: the name of a stage, not a secret
	StageSSO               = "m.login.sso"
	StageOAuth             = "m.oauth"
)

// stageOAuthOld is the name of StageOAuth as a proposal, MSC4312.
const stageOAuthOld = "org.matrix.cross_signing_reset"

// stagePhoneOld is the name of StagePhone in some clients.
const stagePhoneOld = "m.login.msisdn.identity"

const (
	// sessionLifetime is how long a client may take for all stages.
	sessionLifetime = 24 * time.Hour
	// maxSessionsOfUser bounds the unfinished sessions of one user, and
	// maxSessionsOfNobody those of all clients without an access token. Beyond it the
	// oldest is forgotten.
	maxSessionsOfUser   = 20
	maxSessionsOfNobody = 5000
)

// Service knows the stages and the sessions. It may be used concurrently once all
// stages have been registered.
type Service struct {
	pool   *pgxpool.Pool
	now    func() time.Time
	stages map[string]Stage
	names  []string // of the stages, in the order in which they were registered
}

// New makes a Service on a migrated database, with the one stage that proves nothing:
// "Dummy Auth". Without a clock it is time.Now.
func New(pool *pgxpool.Pool, now func() time.Time) *Service {
	if now == nil {
		now = time.Now
	}
	s := &Service{pool: pool, now: now, stages: map[string]Stage{}}
	s.Register(StageDummy, Stage{
		Check: func(context.Context, Attempt) (Evidence, error) { return Evidence{}, nil },
		Alone: []string{Register},
	})
	return s
}

// Stage is one type of authentication.
type Stage struct {
	// Check checks an attempt. A *matrix.Error means that the client may try again.
	Check func(ctx context.Context, a Attempt) (Evidence, error)
	// Params has what a client needs to complete the stage; nil for nothing.
	Params map[string]any
	// Alone are the names of the operations that the stage allows by itself, so that it
	// is one of their flows.
	Alone []string
	// Instead reports whether a user may complete this stage in place of the password, and whether that is the
	// only way, as of a user who has no password; nil: nobody may.
	Instead func(ctx context.Context, userID string) (may, only bool, err error)
	// Claim uses up the proof of an Evidence for the user of the operation, in its
	// transaction; nil if the stage has none.
	Claim func(ctx context.Context, tx pgx.Tx, operation, proof, userID string) error
}

// Attempt is a client's attempt to complete a stage.
type Attempt struct {
	Operation string // the name of what is to be allowed
	auth      json.RawMessage
	byPage    bool // it was typed on a page of this server
}

// Session returns the ID of the session that the attempt is about; "": it is about none that is stored.
func (a Attempt) Session() string {
	var sent struct {
		Session string `json:"session"`
	}
	if a.Decode(&sent) != nil {
		return ""
	}
	return sent.Session
}

// Decode reads the auth object as it was sent. As in the rest of a body, names must
// match exactly, which the standard library can't do.
func (a Attempt) Decode(into any) error { return jsonexp.Unmarshal(a.auth, into) }

// Evidence is the result of a stage: the user that the client has proved to be, and the
// proof to be claimed later. Either is "" if the stage has none.
type Evidence struct {
	UserID, Proof string
}

// Register adds a stage. It is meant for wiring, before the first request.
func (s *Service) Register(name string, stage Stage) {
	s.stages[name] = stage
	s.names = append(s.names, name)
}

// Alone returns a flow for each stage that allows the operation by itself.
func (s *Service) Alone(operation string) [][]string {
	var flows [][]string
	for _, name := range s.names {
		if slices.Contains(s.stages[name].Alone, operation) {
			flows = append(flows, []string{name})
		}
	}
	return flows
}

// withAlternatives adds flows in which the user completes another stage in place of the password.
func (s *Service) withAlternatives(ctx context.Context, op Operation) (Operation, error) {
	asked := slices.ContainsFunc(op.Flows, func(stages []string) bool { return slices.Contains(stages, StagePassword) })
	if !asked || op.UserID == "" {
		return op, nil
	}
	for _, name := range s.names {
		instead := s.stages[name].Instead
		if instead == nil {
			continue
		}
		may, only, err := instead(ctx, op.UserID)
		if err != nil {
			return op, err
		}
		if may {
			op.Flows = replaceStage(op.Flows, StagePassword, name, only)
		}
	}
	return op, nil
}

// replaceStage returns flows with another stage in place of one, behind those with that one unless only the other
// is possible.
func replaceStage(flows [][]string, old, other string, only bool) [][]string {
	var replaced [][]string
	if !only {
		replaced = slices.Clone(flows)
	}
	for _, stages := range flows {
		i := slices.Index(stages, old)
		switch {
		case i >= 0:
			stages = slices.Clone(stages)
			stages[i] = other
			replaced = append(replaced, stages)
		case only:
			replaced = append(replaced, stages)
		}
	}
	return replaced
}

// Params returns the parameters of a stage in the challenge; nil for none, or if there is no such stage.
func (s *Service) Params(name string) map[string]any { return s.stages[name].Params }

// DeleteExpired deletes the sessions that took too long.
func (s *Service) DeleteExpired(ctx context.Context) error {
	return errors.Join(deleteSessionsBefore(ctx, s.pool, s.oldest()), deleteApprovalsBefore(ctx, s.pool, s.now().UnixMilli()))
}

// oldest returns when the oldest session was begun that is good.
func (s *Service) oldest() int64 { return s.now().Add(-sessionLifetime).UnixMilli() }

// retriable reports whether an error of a stage is about the authentication. The
// others are about the request, and are answered as they are.
func retriable(err *matrix.Error) bool {
	switch err.Code {
	case matrix.LimitExceeded, matrix.BadJSON, matrix.MissingParam, matrix.InvalidParam, matrix.UserLocked:
		return false
	default:
		return true
	}
}
