package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	jsonexp "github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/secret"
	"homeserver/internal/auth/uia"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

// twoFlows are the flows of the example in the specification, "User-interactive API
// in the REST API".
var twoFlows = uia.Operation{
	Name:  "POST /endpoint",
	Flows: [][]string{{"example.type.foo", "example.type.bar"}, {"example.type.foo", "example.type.baz"}},
}

// withStages adds the stages of the example. The credential of each is the last part of its
// name, and bar also identifies the user.
func withStages(s *Service) *Service {
	for _, name := range []string{"foo", "bar", "baz"} {
		stage := uia.Stage{Check: func(_ context.Context, a uia.Attempt) (uia.Evidence, error) {
			var sent struct {
				Credential string `json:"credential"`
				User       string `json:"user"`
			}
			if err := a.Decode(&sent); err != nil {
				return uia.Evidence{}, matrix.Errorf(matrix.BadJSON, "bad credential")
			}
			if sent.Credential != name {
				return uia.Evidence{}, matrix.Errorf(matrix.Forbidden, "Invalid credential")
			}
			return uia.Evidence{UserID: sent.User}, nil
		}}
		if name == "baz" {
			stage.Params = map[string]any{"example_key": "foobar"}
		}
		s.o.Stages.Register("example.type."+name, stage)
	}
	return s
}

// try sends an auth object for an operation.
func try(t *testing.T, s *Service, op uia.Operation, format string, args ...any) (uia.Approval, error) {
	t.Helper()
	return s.o.Stages.Interact(t.Context(), op, fmt.Appendf(nil, format, args...))
}

// begin starts an interaction and returns its session.
func begin(t *testing.T, s *Service, op uia.Operation) string {
	t.Helper()
	_, err := s.o.Stages.Interact(t.Context(), op, nil)
	return wantChallenge(t, err, "").Session
}

func consume(t *testing.T, s *Service, proof uia.Approval) error {
	t.Helper()
	return pgx.BeginFunc(t.Context(), s.pool, func(tx pgx.Tx) error { return proof.Consume(t.Context(), tx) })
}

func TestInteractionDescribesItsFlows(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	withStages(s)

	for _, auth := range []string{"", "null", "{}"} {
		_, err := s.o.Stages.Interact(t.Context(), twoFlows, json.RawMessage(auth))
		e, ok := errors.AsType[*matrix.Error](err)
		if !ok || e.Code != "" {
			t.Fatalf("auth %q: got the error %v, want one without an errcode", auth, err)
		}
		delete(e.Fields, "session")
		body, err := json.Marshal(e.Fields)
		must(t, err)
		want := `{"flows":[{"stages":["example.type.foo","example.type.bar"]},{"stages":["example.type.foo","example.type.baz"]}],` +
			`"params":{"example.type.baz":{"example_key":"foobar"}}}`
		if string(body) != want {
			t.Errorf("auth %q: got %s, want %s", auth, body, want)
		}
	}
}

func TestInteractionGoesThroughAFlow(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	withStages(s)
	session := begin(t, s, twoFlows)

	_, err := try(t, s, twoFlows, `{"type":"example.type.foo","session":%q,"credential":"foo"}`, session)
	second := wantChallenge(t, err, "")
	if second.Session != session || !slices.Equal(second.Completed, []string{"example.type.foo"}) {
		t.Fatalf("got %+v", second)
	}
	_, err = try(t, s, twoFlows, `{"type":"example.type.baz","session":%q,"credential":"wrong"}`, session)
	failed := wantChallenge(t, err, matrix.Forbidden)
	if failed.Session != session || !slices.Equal(failed.Completed, second.Completed) {
		t.Fatalf("got %+v, want the same with an error", failed)
	}
	proof, err := try(t, s, twoFlows, `{"type":"example.type.baz","session":%q,"credential":"baz"}`, session)
	must(t, err)
	must(t, consume(t, s, proof))

	_, err = try(t, s, twoFlows, `{"type":"example.type.baz","session":%q,"credential":"baz"}`, session)
	if again := wantChallenge(t, err, matrix.Unknown); again.Session == session || len(again.Completed) > 0 {
		t.Errorf("got %+v, want a new session", again)
	}
}

func TestInteractionStages(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	withStages(s)
	tests := map[string]struct {
		auth string
		want matrix.Code
	}{
		"out of order":          {`{"type":"example.type.bar","credential":"bar"}`, matrix.Forbidden},
		"not in a flow":         {`{"type":"m.login.dummy"}`, matrix.Unrecognized},
		"unknown":               {`{"type":"m.login.nonsense"}`, matrix.Unrecognized},
		"unknown session":       {`{"type":"example.type.foo","session":"x","credential":"foo"}`, matrix.Unknown},
		"session with NUL":      {`{"type":"example.type.foo","session":"\u0000","credential":"foo"}`, matrix.Unknown},
		"wrong credential":      {`{"type":"example.type.foo","credential":"bar"}`, matrix.Forbidden},
		"names match exactly":   {`{"TYPE":"example.type.foo","credential":"foo"}`, ""},
		"first without session": {`{"type":"example.type.foo","credential":"foo"}`, ""},
	}
	for name, test := range tests {
		_, err := try(t, s, twoFlows, "%s", test.auth)
		e, ok := errors.AsType[*matrix.Error](err)
		if !ok || e.Code != test.want || e.HTTPStatus() != 401 || e.Fields["session"] == "" {
			t.Errorf("%s: got %v, want 401 with %q", name, err, test.want)
		}
	}
}

func TestInteractionRefusesABadRequest(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	withStages(s)
	for _, auth := range []string{`"text"`, `[]`, `{"type":1}`, `{"session":{}}`, `{"type":"example.type.foo","credential":1}`} {
		_, err := try(t, s, twoFlows, "%s", auth)
		if e := matrixtest.WantCode(t, err, matrix.BadJSON); e.HTTPStatus() != 400 {
			t.Errorf("%s: got status %d, want 400", auth, e.HTTPStatus())
		}
	}
}

func TestInteractionDoesNotRetryACompletedStage(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	withStages(s)
	session := begin(t, s, twoFlows)
	_, err := try(t, s, twoFlows, `{"type":"example.type.foo","session":%q,"credential":"foo"}`, session)
	wantChallenge(t, err, "")

	_, err = try(t, s, twoFlows, `{"type":"example.type.foo","session":%q,"credential":"wrong"}`, session)
	if again := wantChallenge(t, err, ""); !slices.Equal(again.Completed, []string{"example.type.foo"}) {
		t.Fatalf("got %+v", again)
	}
	_, err = try(t, s, twoFlows, `{"type":"example.type.bar","session":%q,"credential":"bar"}`, session)
	must(t, err)
	_, err = try(t, s, twoFlows, `{"type":"example.type.foo","session":%q,"credential":"wrong"}`, session)
	must(t, err)
}

func TestInteractionAnswersToTheSessionAlone(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	withStages(s)
	session := begin(t, s, twoFlows)

	_, err := try(t, s, twoFlows, `{"session":%q}`, session)
	if first := wantChallenge(t, err, ""); first.Session != session || first.Completed != nil {
		t.Fatalf("got %+v", first)
	}
	_, err = try(t, s, twoFlows, `{"type":"example.type.foo","session":%q,"credential":"foo"}`, session)
	wantChallenge(t, err, "")
	_, err = try(t, s, twoFlows, `{"type":"example.type.bar","session":%q,"credential":"bar"}`, session)
	must(t, err)
	_, err = try(t, s, twoFlows, `{"session":%q}`, session)
	must(t, err)
}

func TestInteractionIsBoundToItsOperationAndUser(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	withStages(s)
	op := twoFlows
	op.UserID = userID("example")
	session := begin(t, s, op)

	elsewhere, stranger, nobody := op, op, op
	elsewhere.Name, stranger.UserID, nobody.UserID = "DELETE /endpoint", userID("stranger"), ""
	for _, other := range []uia.Operation{elsewhere, stranger, nobody} {
		_, err := try(t, s, other, `{"type":"example.type.foo","session":%q,"credential":"foo"}`, session)
		if e := matrixtest.WantCode(t, err, matrix.Forbidden); e.HTTPStatus() != 403 {
			t.Errorf("the session for %s of %q: status %d, want 403", other.Name, other.UserID, e.HTTPStatus())
		}
	}
	_, err := try(t, s, op, `{"type":"example.type.foo","session":%q,"credential":"foo"}`, session)
	wantChallenge(t, err, "")
}

func TestAFailedStageDidNotSayWhatWasCompleted(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	withStages(s)
	session := begin(t, s, twoFlows)
	_, err := try(t, s, twoFlows, `{"type":"example.type.foo","session":%q,"credential":"wrong"}`, session)
	e := matrixtest.WantCode(t, err, matrix.Forbidden)
	for _, field := range []string{"flows", "params", "session", "completed"} {
		if e.Fields[field] == nil {
			t.Errorf("the answer lacks %s", field)
		}
	}
	if completed, ok := e.Fields["completed"].([]string); !ok || completed == nil || len(completed) > 0 {
		t.Errorf("completed: %#v, want an empty list", e.Fields["completed"])
	}
}

func TestInteractionExpires(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	withStages(s)
	session := begin(t, s, twoFlows)
	c.Pass(24*time.Hour - time.Second)
	must(t, s.tidy(t.Context()))
	_, err := try(t, s, twoFlows, `{"session":%q}`, session)
	wantChallenge(t, err, "")

	c.Pass(time.Second)
	_, err = try(t, s, twoFlows, `{"session":%q}`, session)
	wantChallenge(t, err, matrix.Unknown)
	must(t, s.tidy(t.Context()))
	if n := count(t, s, `SELECT count(*) FROM interactive_sessions`); n != 1 {
		t.Errorf("got %d sessions, want the new one only", n)
	}
}

// The limits of the package uia.
const mostOfUser, mostOfNobody = 20, 5000

func TestInteractionsOfAUserAreBounded(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	withStages(s)
	stranger := begin(t, s, twoFlows)
	op := twoFlows
	op.UserID = userID("example")
	first := begin(t, s, op)
	for range mostOfUser {
		c.Pass(time.Millisecond)
		begin(t, s, op)
	}

	if n := count(t, s, `SELECT count(*) FROM interactive_sessions WHERE user_id <> ''`); n != mostOfUser {
		t.Errorf("got %d sessions, want %d", n, mostOfUser)
	}
	_, err := try(t, s, op, `{"session":%q}`, first)
	wantChallenge(t, err, matrix.Unknown)
	_, err = try(t, s, twoFlows, `{"session":%q}`, stranger)
	wantChallenge(t, err, "")
}

func TestInteractionsOfStrangersAreBounded(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	withStages(s)
	_, err := s.pool.Exec(t.Context(), `
		INSERT INTO interactive_sessions (session_hash, operation, user_id, created_at)
		SELECT decode(md5(n::text), 'hex'), '', '', $1::bigint - n FROM generate_series(1, $2::int) n`,
		c.Now().UnixMilli(), mostOfNobody+7)
	must(t, err)

	session := begin(t, s, twoFlows)

	if n := count(t, s, `SELECT count(*) FROM interactive_sessions`); n != mostOfNobody {
		t.Errorf("got %d sessions, want %d", n, mostOfNobody)
	}
	_, err = try(t, s, twoFlows, `{"session":%q}`, session)
	wantChallenge(t, err, "")
}

func TestInteractionWithoutSessionStoresNothing(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)

	proof, err := try(t, s, uia.Operation{Name: "x", Flows: [][]string{{uia.StageDummy}}}, `{"type":"m.login.dummy"}`)
	must(t, err)
	must(t, consume(t, s, proof))

	if n := count(t, s, `SELECT count(*) FROM interactive_sessions`); n != 0 {
		t.Errorf("got %d sessions, want none", n)
	}
}

func TestInteractionIsUsedOnce(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	op := uia.Operation{Name: "x", Flows: [][]string{{uia.StageDummy}}}
	session := begin(t, s, op)
	var proofs []uia.Approval
	for range 4 {
		proof, err := try(t, s, op, `{"type":"m.login.dummy","session":%q}`, session)
		must(t, err)
		proofs = append(proofs, proof)
	}
	results := make(chan error, len(proofs))
	var group sync.WaitGroup
	for _, proof := range proofs {
		group.Go(func() {
			results <- pgx.BeginFunc(t.Context(), s.pool, func(tx pgx.Tx) error { return proof.Consume(t.Context(), tx) })
		})
	}
	group.Wait()
	close(results)

	used := 0
	for err := range results {
		if err == nil {
			used++
			continue
		}
		matrixtest.WantCode(t, err, matrix.Forbidden)
	}
	if used != 1 {
		t.Errorf("used %d times, want once", used)
	}
}

func TestInteractionStagesMustAgreeOnTheUser(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	withStages(s)
	session := begin(t, s, twoFlows)
	_, err := try(t, s, twoFlows, `{"type":"example.type.foo","session":%q,"credential":"foo","user":"@a:b"}`, session)
	wantChallenge(t, err, "")

	_, err = try(t, s, twoFlows, `{"type":"example.type.bar","session":%q,"credential":"bar","user":"@c:d"}`, session)
	wantChallenge(t, err, matrix.Forbidden)
	proof, err := try(t, s, twoFlows, `{"type":"example.type.bar","session":%q,"credential":"bar"}`, session)
	must(t, err)
	if proof.UserID != "@a:b" {
		t.Errorf("got the user %q, want whom the first stage has found", proof.UserID)
	}
}

func TestInteractionSurvivesARestart(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	withStages(s)
	session := begin(t, s, twoFlows)
	_, err := try(t, s, twoFlows, `{"type":"example.type.foo","session":%q,"credential":"foo"}`, session)
	wantChallenge(t, err, "")

	_, err = try(t, withStages(sibling(s)), twoFlows, `{"type":"example.type.bar","session":%q,"credential":"bar"}`, session)
	must(t, err)
}

func TestInteractionIDsAreStoredAsHashes(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	session := begin(t, s, twoFlows)
	hash := secret.HashOf(session)
	if n := count(t, s, `SELECT count(*) FROM interactive_sessions WHERE session_hash = $1`, hash[:]); n != 1 {
		t.Errorf("got %d rows, want 1", n)
	}
}

func TestPasswordStage(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	mustRegister(t, s, "another")
	op := uia.Operation{Name: "x", UserID: userID("example"), Flows: [][]string{{uia.StagePassword}}}
	tests := map[string]struct {
		members string
		want    matrix.Code
		status  int
	}{
		"identifier":        {`"identifier":{"type":"m.id.user","user":"example"},"password":"correct horse"`, "", 0},
		"user ID":           {`"identifier":{"type":"m.id.user","user":"@example:test.example"},"password":"correct horse"`, "", 0},
		"deprecated user":   {`"user":"example","password":"correct horse"`, "", 0},
		"wrong password":    {`"user":"example","password":"wrong"`, matrix.Forbidden, 401},
		"no password":       {`"user":"example"`, matrix.Forbidden, 401},
		"another user":      {`"user":"another","password":"correct horse"`, matrix.Forbidden, 401},
		"unknown user":      {`"user":"nobody","password":"correct horse"`, matrix.Forbidden, 401},
		"email":             {`"identifier":{"type":"m.id.thirdparty","medium":"email","address":"a@b"},"password":"x"`, matrix.Forbidden, 401},
		"deprecated email":  {`"medium":"email","address":"a@b","password":"x"`, matrix.Forbidden, 401},
		"no user":           {`"password":"correct horse"`, matrix.MissingParam, 400},
		"password a number": {`"user":"example","password":1`, matrix.BadJSON, 400},
		"identifier a text": {`"identifier":"example","password":"x"`, matrix.BadJSON, 400},
	}
	for name, test := range tests {
		proof, err := try(t, s, op, `{"type":"m.login.password",%s}`, test.members)
		if test.status == 0 {
			if err != nil || proof.UserID != userID("example") {
				t.Errorf("%s: got %+v, %v", name, proof, err)
			}
			continue
		}
		e, ok := errors.AsType[*matrix.Error](err)
		if !ok || e.Code != test.want || e.HTTPStatus() != test.status {
			t.Errorf("%s: got %v, want %d %s", name, err, test.status, test.want)
		}
	}
}

func TestPasswordStageCountsAsLogin(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t, limitFailedLogins(ratelimit.Limit{PerSecond: 1, Burst: 1}))
	mustRegister(t, s, "example")
	op := uia.Operation{Name: "x", UserID: userID("example"), Flows: [][]string{{uia.StagePassword}}}
	_, err := try(t, s, op, `{"type":"m.login.password","user":"example","password":"wrong"}`)
	wantChallenge(t, err, matrix.Forbidden)

	_, err = try(t, s, op, `{"type":"m.login.password","user":"example","password":"correct horse"}`)

	if e := matrixtest.WantCode(t, err, matrix.LimitExceeded); e.HTTPStatus() != 429 || e.Fields != nil {
		t.Errorf("got %d with %v, want a plain 429", e.HTTPStatus(), e.Fields)
	}
}

func FuzzInteractionAuth(f *testing.F) {
	for _, seed := range []string{``, `{}`, `{"type":"m.login.password","user":"a","password":"b"}`, `{"session":"x"}`, `{"identifier":[]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, auth []byte) {
		var sent struct {
			Identifier *Identifier `json:"identifier"`
			User       string      `json:"user"`
		}
		if jsonexp.Unmarshal(auth, &sent) != nil {
			return
		}
		name, err := readName(sent.Identifier, sent.User, "", "")
		if err == nil && name == (userName{}) {
			t.Errorf("%q names nobody without an error", auth)
		}
		if _, ok := errors.AsType[*matrix.Error](err); err != nil && !ok {
			t.Errorf("%q is answered with the internal error %v", auth, err)
		}
	})
}
