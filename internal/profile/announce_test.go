package profile

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// patience turns what would hang into a failure.
const patience = time.Minute

// told is a hook that passes on what it is called with.
func told(s *Service) <-chan string {
	names := make(chan string, 100)
	s.OnChange(func(_ context.Context, _ string, p Profile) error {
		names <- p.DisplayName
		return nil
	})
	return names
}

func next(t *testing.T, names <-chan string) string {
	t.Helper()
	select {
	case name := <-names:
		return name
	case <-time.After(patience):
		t.Fatal("no hook is called")
		return ""
	}
}

// untold is how many changes are not told yet.
func untold(t *testing.T, s *Service) int {
	t.Helper()
	rows, _ := s.pool.Query(t.Context(), `SELECT count(*) FROM profile_changes`)
	n, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func waitUntilTold(t *testing.T, s *Service) {
	t.Helper()
	for deadline := time.Now().Add(patience); untold(t, s) > 0; {
		if time.Now().After(deadline) {
			t.Fatal("changes are not told")
		}
		<-time.After(time.Millisecond)
	}
}

// A process that died after it had changed a profile, and before all rooms knew, left
// them without the new name for ever.
func TestAChangeIsToldAfterACrash(t *testing.T) {
	t.Parallel()
	dead := newService(t)
	set(t, dead, DisplayName, `"Alice"`) // and nobody tells
	s := New(dead.pool)
	names := told(s)
	s.Start(t.Context())
	t.Cleanup(s.Stop)
	if name := next(t, names); name != "Alice" {
		t.Errorf("told is %q", name)
	}
	waitUntilTold(t, s)
}

func TestWhatADeadProcessHasClaimedIsTakenOver(t *testing.T) {
	t.Parallel()
	s := newService(t)
	names := told(s)
	set(t, s, DisplayName, `"Alice"`)
	next(t, names)
	claim := func(until string) {
		t.Helper()
		_, err := s.pool.Exec(t.Context(), `
			INSERT INTO profile_changes (user_id, holder, until) VALUES ($1, 'another', now() + $2::interval)
			ON CONFLICT (user_id) DO UPDATE SET until = excluded.until`, alice.UserID, until)
		if err != nil {
			t.Fatal(err)
		}
	}
	claim("1 hour")
	if err := s.resume(t.Context()); err != nil || untold(t, s) != 1 || len(names) > 0 {
		t.Errorf("a claim that is good is not heeded (%v)", err)
	}
	claim("-1 second")
	if err := s.resume(t.Context()); err != nil || untold(t, s) != 0 || len(names) != 1 {
		t.Errorf("a dead process keeps its claim (%v)", err)
	}
}

func TestAHookThatHasFailedIsCalledAgain(t *testing.T) {
	t.Parallel()
	s := newService(t)
	calls := 0
	s.OnChange(func(context.Context, string, Profile) error {
		if calls++; calls < 3 {
			return errors.New("not now")
		}
		return nil
	})
	if err := s.Set(t.Context(), alice, alice.UserID, DisplayName, json.RawMessage(`"Alice"`)); err == nil {
		t.Error("the client is told that all is well")
	}
	failures := 0
	for deadline := time.Now().Add(patience); untold(t, s) > 0 && time.Now().Before(deadline); {
		if s.resume(t.Context()) != nil {
			failures++
		}
		<-time.After(time.Millisecond)
	}
	if calls != 3 || failures != 1 || untold(t, s) > 0 {
		t.Errorf("%d calls, %d failures, %d changes are left", calls, failures, untold(t, s))
	}
}

// Two processes that told of two changes at once could end with the older one in some
// rooms.
func TestOneProcessTellsOfAUserAtATime(t *testing.T) {
	t.Parallel()
	one := newService(t)
	names, goOn := make(chan string, 10), make(chan struct{})
	one.OnChange(func(_ context.Context, _ string, p Profile) error {
		names <- p.DisplayName
		<-goOn
		return nil
	})
	two := New(one.pool)
	others := told(two)
	done := make(chan error, 2)
	change := func(s *Service, name string) {
		done <- s.Set(t.Context(), alice, alice.UserID, DisplayName, json.RawMessage(name))
	}
	go change(one, `"first"`)
	next(t, names)
	go change(two, `"second"`)
	for deadline := time.Now().Add(patience); ; <-time.After(time.Millisecond) {
		if p, err := one.Get(t.Context(), alice.UserID); err != nil || p.DisplayName == "second" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the second change is not stored")
		}
	}
	if len(done) > 0 {
		t.Error("a client is answered before all is told")
	}
	close(goOn)
	if name := next(t, names); name != "second" {
		t.Errorf("told is %q", name)
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if len(others) > 0 || untold(t, one) > 0 {
		t.Errorf("%d calls by the other process, %d changes are left", len(others), untold(t, one))
	}
}
