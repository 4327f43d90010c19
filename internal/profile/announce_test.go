package profile

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/matrixtest"
)

// patience turns what would hang into a failure.
const patience = time.Minute

// told returns a process whose hook passes on its arguments.
func told(t *testing.T, pool *pgxpool.Pool) (*Service, <-chan string) {
	t.Helper()
	names := make(chan string, 100)
	return processOn(t, pool, func(_ context.Context, _ string, p Profile) error {
		names <- p.DisplayName
		return nil
	}), names
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

// untold returns the number of changes that have not been passed on.
func untold(t *testing.T, s *Service) int {
	t.Helper()
	rows, _ := s.pool.Query(t.Context(), `SELECT count(*) FROM outbox`)
	n, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func waitUntilTold(t *testing.T, s *Service) {
	t.Helper()
	matrixtest.Until(t, "all changes are told", func() bool { return untold(t, s) == 0 })
}

// A process that died after it had changed a profile, and before all rooms knew, left
// them without the new name for ever.
func TestAChangeIsToldAfterACrash(t *testing.T) {
	t.Parallel()
	pool := newDatabase(t)
	set(t, New(pool, nil), DisplayName, `"Alice"`) // this process never announces it
	s, names := told(t, pool)
	if name := next(t, names); name != "Alice" {
		t.Errorf("told is %q", name)
	}
	waitUntilTold(t, s)
}

func TestWhatADeadProcessHasBegunIsTakenOver(t *testing.T) {
	t.Parallel()
	one := newService(t)
	begun := make(chan string, 1)
	one.OnChange(func(ctx context.Context, _ string, p Profile) error {
		begun <- p.DisplayName
		<-ctx.Done() // it dies
		return ctx.Err()
	})
	set(t, New(one.pool, nil), DisplayName, `"Alice"`)
	next(t, begun)
	two, names := told(t, one.pool)
	if len(names) > 0 || untold(t, one) != 1 {
		t.Error("two processes tell")
	}
	stop(t, one)
	if name := next(t, names); name != "Alice" {
		t.Errorf("told is %q", name)
	}
	waitUntilTold(t, two)
}

func TestAHookThatHasFailedIsCalledAgain(t *testing.T) {
	t.Parallel()
	s := newService(t)
	calls := 0
	s.OnChange(func(context.Context, string, Profile) error {
		if calls++; calls < 2 {
			return errors.New("not now")
		}
		return nil
	})
	if err := s.Set(t.Context(), alice, alice.UserID, DisplayName, json.RawMessage(`"Alice"`)); err == nil {
		t.Error("the client is told that all is well")
	}
	waitUntilTold(t, s)
	stop(t, s)
	if calls != 2 {
		t.Errorf("%d calls", calls)
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
	done := make(chan error, 2)
	change := func(s *Service, name string) {
		done <- s.Set(t.Context(), alice, alice.UserID, DisplayName, json.RawMessage(name))
	}
	go change(one, `"first"`)
	next(t, names)
	two, others := told(t, one.pool)
	go change(two, `"second"`)
	matrixtest.Until(t, "the second change is stored", func() bool {
		p, err := one.Get(t.Context(), alice.UserID)
		return err != nil || p.DisplayName == "second"
	})
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
