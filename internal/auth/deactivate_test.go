package auth

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

// recordLeaving returns a server that records the users whose deactivation it finishes.
func recordLeaving(t *testing.T, s *Service) (*Service, *[]string) {
	t.Helper()
	var left []string
	return serverOn(t, s, func(server *Service) {
		server.OnDeactivate(func(_ context.Context, userID string) error {
			left = append(left, userID)
			return nil
		})
	}), &left
}

func pending(t *testing.T, s *Service) int {
	t.Helper()
	return count(t, s, `SELECT count(*) FROM outbox`)
}

func waitUntilFinished(t *testing.T, s *Service) {
	t.Helper()
	matrixtest.Until(t, "deactivations are finished", func() bool { return pending(t, s) == 0 })
}

func TestDeactivate(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	s, left := recordLeaving(t, s)
	own := mustRegister(t, s, "example", func(r *RegisterRequest) { r.RefreshToken = true })
	other := mustLogin(t, s, "example")
	session := mustAuthenticate(t, s, own.AccessToken)
	mustAuthenticate(t, s, other.AccessToken)

	_, err := s.Deactivate(t.Context(), session, DeactivateRequest{})
	auth := passwordAuth(t, "example", testPassword, wantChallenge(t, err, "").Session)
	got, err := s.Deactivate(t.Context(), session, DeactivateRequest{Auth: auth})
	must(t, err)

	body, err := json.Marshal(got)
	must(t, err)
	if string(body) != `{"id_server_unbind_result":"success"}` {
		t.Errorf("got %s", body)
	}
	wantUnknown(t, s, own.AccessToken, false)
	wantUnknown(t, s, other.AccessToken, false)
	wantNoRefresh(t, s, own.RefreshToken, false)
	_, err = s.Login(t.Context(), loginRequest("example", testPassword), testClient)
	matrixtest.WantCode(t, err, matrix.UserDeactivated)
	if !slices.Equal(*left, []string{userID("example")}) || pending(t, s) != 0 {
		t.Errorf("finished for %v, %d unfinished", *left, pending(t, s))
	}
	if n := count(t, s, `SELECT count(*) FROM accounts WHERE erased`); n != 0 {
		t.Error("the account counts as erased")
	}
}

func TestDeactivateRefuses(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	s, left := recordLeaving(t, s)
	own := mustRegister(t, s, "example")
	mustRegister(t, s, "another")
	session := mustAuthenticate(t, s, own.AccessToken)

	for _, auth := range []json.RawMessage{passwordAuth(t, "example", "wrong", ""), passwordAuth(t, "another", testPassword, "")} {
		_, err := s.Deactivate(t.Context(), session, DeactivateRequest{Auth: auth})
		wantChallenge(t, err, matrix.Forbidden)
	}
	mustAuthenticate(t, s, own.AccessToken)
	if len(*left) != 0 {
		t.Errorf("finished for %v", *left)
	}
}

func TestDeactivateWithoutAccessTokenAndErase(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	own := mustRegister(t, s, "example")

	r := DeactivateRequest{Erase: true, Auth: passwordAuth(t, "example", testPassword, "")}
	_, err := s.Deactivate(t.Context(), matrix.Session{}, r)
	must(t, err)

	wantUnknown(t, s, own.AccessToken, false)
	if n := count(t, s, `SELECT count(*) FROM accounts WHERE erased`); n != 1 {
		t.Error("the wish to be erased was not stored")
	}
	_, err = s.Deactivate(t.Context(), matrix.Session{}, r)
	wantChallenge(t, err, matrix.UserDeactivated)
}

func TestDeactivationIsFinishedLaterWhenItGoesWrong(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	s, _ := newTestService(t)
	broken := errors.New("the room is out of reach")
	attempts := 0
	s = serverOn(t, s, func(server *Service) {
		server.OnDeactivate(func(_ context.Context, user string) error {
			if user == userID("stuck") {
				attempts++
				return broken
			}
			return nil
		})
	})
	for _, name := range []string{"fine", "stuck"} {
		mustRegister(t, s, name)
		must(t, s.DeactivateAccount(t.Context(), name, false))
	}
	if n := pending(t, s); n != 1 {
		t.Fatalf("%d unfinished, want 1", n)
	}
	must(t, s.o.Journal.Stop(t.Context()))
	if attempts == 0 {
		t.Error("it was not tried at once")
	}

	later, left := recordLeaving(t, s)
	waitUntilFinished(t, s)
	must(t, later.o.Journal.Stop(t.Context()))
	if !slices.Equal(*left, []string{userID("stuck")}) {
		t.Errorf("finished for %v", *left)
	}
}

func TestDeactivationIsFinishedAfterTheClientHasGone(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var seen error
	s = serverOn(t, s, func(server *Service) {
		server.OnDeactivate(func(ctx context.Context, _ string) error {
			cancel()
			seen = ctx.Err()
			return seen
		})
	})

	must(t, s.DeactivateAccount(ctx, "example", false))

	if seen != nil || pending(t, s) != 0 {
		t.Errorf("got %v, %d unfinished", seen, pending(t, s))
	}
}

func TestDeactivationByTheCommandLineIsLeftToTheServer(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	mustRegister(t, s, "example")

	must(t, s.DeactivateAccount(t.Context(), "example", true))
	if n := pending(t, s); n != 1 {
		t.Fatalf("%d unfinished, want 1", n)
	}

	server, left := recordLeaving(t, s)
	waitUntilFinished(t, s)
	must(t, server.o.Journal.Stop(t.Context()))
	if len(*left) != 1 {
		t.Errorf("finished for %v", *left)
	}
	matrixtest.WantCode(t, s.DeactivateAccount(t.Context(), "nobody", false), matrix.NotFound)
}

func TestDeactivationTwiceKeepsTheFirstTime(t *testing.T) {
	t.Parallel()
	s, c := newTestService(t)
	mustRegister(t, s, "example")
	must(t, s.DeactivateAccount(t.Context(), "example", true))
	first := c.Now().UnixMilli()
	c.Pass(24 * time.Hour)

	must(t, s.DeactivateAccount(t.Context(), "example", false))

	if n := count(t, s, `SELECT count(*) FROM accounts WHERE deactivated_at = $1 AND erased`, first); n != 1 {
		t.Error("the time, or the wish to be erased, was lost")
	}
}
