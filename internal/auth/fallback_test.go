package auth

import (
	"fmt"
	"testing"
	"time"

	"homeserver/internal/auth/uia"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

// complete completes a stage of the example of two flows by a page.
func complete(t *testing.T, s *Service, session, stage, credential string) error {
	t.Helper()
	return s.o.Stages.CompleteFallback(t.Context(), session, stage, map[string]any{"credential": credential})
}

func TestFallbackCompletesAStageForTheClient(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	withStages(s)
	session := begin(t, s, twoFlows)

	open, err := s.o.Stages.Fallback(t.Context(), session, "example.type.foo")
	must(t, err)
	if open.Completed || open.UserID != "" || open.Params != nil {
		t.Errorf("got %+v", open)
	}
	must(t, complete(t, s, session, "example.type.foo", "foo"))
	if open, err = s.o.Stages.Fallback(t.Context(), session, "example.type.foo"); err != nil || !open.Completed {
		t.Errorf("got %+v, %v, want it completed", open, err)
	}
	if open, err = s.o.Stages.Fallback(t.Context(), session, "example.type.baz"); err != nil || open.Params["example_key"] != "foobar" {
		t.Errorf("got %+v, %v, want the parameters of the stage", open, err)
	}

	_, err = try(t, s, twoFlows, `{"session":%q}`, session)
	if got := wantChallenge(t, err, ""); len(got.Completed) != 1 || got.Completed[0] != "example.type.foo" {
		t.Errorf("got %+v, want the first stage completed", got)
	}
	must(t, complete(t, s, session, "example.type.baz", "baz"))
	proof, err := try(t, s, twoFlows, `{"session":%q}`, session)
	must(t, err)
	must(t, consume(t, s, proof))
	matrixtest.WantCode(t, complete(t, s, session, "example.type.baz", "baz"), matrix.NotFound)
}

func TestFallbackMixesWithRequests(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	withStages(s)
	session := begin(t, s, twoFlows)
	_, err := try(t, s, twoFlows, `{"type":"example.type.foo","session":%q,"credential":"foo"}`, session)
	wantChallenge(t, err, "")
	must(t, s.o.Stages.CompleteFallback(t.Context(), session, "example.type.bar",
		map[string]any{"credential": "bar", "user": userID("example")}))

	open, err := s.o.Stages.Fallback(t.Context(), session, "example.type.bar")
	if err != nil || open.UserID != userID("example") {
		t.Errorf("got %+v, %v, want to know who has proved to be whom", open, err)
	}
	proof, err := try(t, s, twoFlows, `{"session":%q}`, session)
	if err != nil || proof.UserID != userID("example") {
		t.Errorf("got %+v, %v", proof, err)
	}
}

func TestFallbackThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	withStages(s)
	session := begin(t, s, twoFlows)
	matrixtest.WantCode(t, complete(t, s, session, "example.type.foo", "wrong"), matrix.Forbidden)
	matrixtest.WantCode(t, s.o.Stages.CompleteFallback(t.Context(), session, "example.type.foo", nil), matrix.Forbidden)
	if open, err := s.o.Stages.Fallback(t.Context(), session, "example.type.foo"); err != nil || open.Completed {
		t.Errorf("got %+v, %v", open, err)
	}
}

// TestFallbackDecidesTypeAndSession checks that a form cannot name others.
func TestFallbackDecidesTypeAndSession(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	withStages(s)
	mine, other := begin(t, s, twoFlows), begin(t, s, twoFlows)
	fields := map[string]any{"credential": "foo", "type": "example.type.baz", "session": other}
	must(t, s.o.Stages.CompleteFallback(t.Context(), mine, "example.type.foo", fields))
	if fields["session"] != other {
		t.Error("the fields of the caller were changed")
	}
	if open, err := s.o.Stages.Fallback(t.Context(), other, "example.type.foo"); err != nil || open.Completed {
		t.Errorf("the other session: %+v, %v", open, err)
	}
}

func TestFallbackKeepsToTheFlows(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	withStages(s)
	session := begin(t, s, twoFlows)
	tests := map[string]matrix.Code{
		"example.type.baz": matrix.Forbidden, // not yet
		uia.StageDummy:     matrix.Unrecognized,
		uia.StagePassword:  matrix.Unrecognized,
		"unknown":          matrix.Unrecognized,
		"":                 matrix.Unrecognized,
	}
	for stage, code := range tests {
		_, err := s.o.Stages.Fallback(t.Context(), session, stage)
		matrixtest.WantCode(t, err, code)
		matrixtest.WantCode(t, complete(t, s, session, stage, "baz"), code)
	}
}

func TestFallbackOfUnknownSessions(t *testing.T) {
	t.Parallel()
	s, clock := newTestService(t)
	withStages(s)
	session := begin(t, s, twoFlows)
	for _, unknown := range []string{"", "guess", session + "x"} {
		_, err := s.o.Stages.Fallback(t.Context(), unknown, "example.type.foo")
		matrixtest.WantCode(t, err, matrix.NotFound)
		matrixtest.WantCode(t, complete(t, s, unknown, "example.type.foo", "foo"), matrix.NotFound)
	}
	clock.Pass(24*time.Hour + time.Second)
	matrixtest.WantCode(t, complete(t, s, session, "example.type.foo", "foo"), matrix.NotFound)
}

func TestFallbackOfPasswordIsForTheOwnerOfTheRequest(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	mustRegister(t, s, "other")
	op := uia.Operation{Name: "x", UserID: userID("example"), Flows: [][]string{{uia.StagePassword}}}.About("Do something")
	session := begin(t, s, op)
	open, err := s.o.Stages.Fallback(t.Context(), session, uia.StagePassword)
	if err != nil || open.UserID != userID("example") {
		t.Errorf("got %+v, %v", open, err)
	}
	as := func(name, password string) error {
		return s.o.Stages.CompleteFallback(t.Context(), session, uia.StagePassword, map[string]any{
			"identifier": Identifier{Type: "m.id.user", User: name}, "password": password,
		})
	}
	matrixtest.WantCode(t, as("other", testPassword), matrix.Forbidden)
	matrixtest.WantCode(t, as("example", "wrong"), matrix.Forbidden)
	must(t, as("example", testPassword))
	if _, err := try(t, s, op, `{"session":%q}`, session); err != nil {
		t.Error(err)
	}
}

// A user who follows a link to a page must not type a password there for an operation that
// a stranger has begun.
func TestAPageAskedForAPasswordForAStranger(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	session := wantChallenge(t, s.ChangePassword(t.Context(), matrix.Session{}, ChangePasswordRequest{NewPassword: "chosen by a stranger"}), "").Session
	_, err := s.o.Stages.Fallback(t.Context(), session, uia.StagePassword)
	matrixtest.WantCode(t, err, matrix.Unrecognized)
	typed := map[string]any{"identifier": Identifier{Type: "m.id.user", User: "example"}, "password": testPassword}
	matrixtest.WantCode(t, s.o.Stages.CompleteFallback(t.Context(), session, uia.StagePassword, typed), matrix.Unrecognized)
}

// The page said that the account would be closed, and not that all would be erased.
func TestAPageDidNotSayThatAllWouldBeErased(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	owner := mustAuthenticate(t, s, mustRegister(t, s, "example").AccessToken)
	for erase, want := range map[bool]string{
		false: "Close your account for ever",
		true:  "Close your account for ever, and erase what you have written",
	} {
		_, err := s.Deactivate(t.Context(), owner, DeactivateRequest{Erase: erase})
		open, err := s.o.Stages.Fallback(t.Context(), wantChallenge(t, err, "").Session, uia.StagePassword)
		must(t, err)
		if open.Effect != want {
			t.Errorf("the page says: %s", open.Effect)
		}
	}
}

// The operation has the parameters that were approved on the page.
func TestAnApprovalOnAPageHeldForOtherParameters(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	owner := mustAuthenticate(t, s, mustRegister(t, s, "example").AccessToken)
	for _, id := range []string{"ONE", "TWO"} {
		mustLogin(t, s, "example", onDevice(id))
	}
	session := wantChallenge(t, s.Sessions.DeleteDevices(t.Context(), owner, []string{"ONE"}, nil), "").Session
	open, err := s.o.Stages.Fallback(t.Context(), session, uia.StagePassword)
	must(t, err)
	if open.Effect != "Log out and delete your device ONE" {
		t.Errorf("the page says: %s", open.Effect)
	}
	typed := map[string]any{"identifier": Identifier{Type: "m.id.user", User: "example"}, "password": testPassword}
	must(t, s.o.Stages.CompleteFallback(t.Context(), session, uia.StagePassword, typed))

	approved := fmt.Appendf(nil, `{"session":%q}`, session)
	e := matrixtest.WantCode(t, s.Sessions.DeleteDevices(t.Context(), owner, []string{"ONE", "TWO"}, approved), matrix.Forbidden)
	if e.HTTPStatus() != 403 {
		t.Errorf("got status %d, want 403", e.HTTPStatus())
	}
	must(t, s.Sessions.DeleteDevices(t.Context(), owner, []string{"ONE"}, approved))
	left, err := s.Sessions.Devices(t.Context(), owner.UserID)
	must(t, err)
	if len(left) != 2 {
		t.Errorf("%d devices are left, want 2", len(left))
	}
}
