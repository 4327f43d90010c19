package journal

import (
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
)

func TestAGroupIsWrittenAtOnceUntilAnotherProcessWrites(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	counting, s := countingPool(t, pool)
	j := started(t, counting, Options{Watch: never})
	other := started(t, pool, Options{Watch: never})
	number := 0
	wantBatches := func(want int64, when string) {
		t.Helper()
		number++
		before := s.batches.Load()
		commit(t, j, note(1, fmt.Sprint(number)))
		if n := s.batches.Load() - before; n != want {
			t.Fatalf("%s a group took %d round trips", when, n)
		}
	}
	for range 3 {
		wantBatches(1, "while no other process writes")
		commit(t, other, note(1, "from elsewhere"))
		wantBatches(3, "overtaken by another process")
		for range cautiousGroups {
			wantBatches(2, "soon after that")
		}
	}
	checkSeen(t, pool, j)
}

// checkSeen checks that the window shows what is written.
func checkSeen(t *testing.T, pool *pgxpool.Pool, j *Journal) {
	t.Helper()
	want := bodies(written(t, pool, 0))
	j.Read(func(v View) {
		if got := values(v.About(Topic{Room: 1}, 0)); !v.Covers(0) || !slices.Equal(got, want) {
			t.Errorf("the window shows %q of %q", got, want)
		}
	})
}

// TestAnErrorOfTheCommitItself has a constraint that PostgreSQL looks at when all
// statements have succeeded.
func TestAnErrorOfTheCommitItself(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	_, err := pool.Exec(t.Context(), `
		CREATE TABLE taken (body text UNIQUE DEFERRABLE INITIALLY DEFERRED);
		CREATE FUNCTION take() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO taken VALUES (NEW.body); RETURN NEW; END $$;
		CREATE TRIGGER take AFTER INSERT ON notes FOR EACH ROW EXECUTE FUNCTION take()`)
	if err != nil {
		t.Fatal(err)
	}
	j := started(t, pool, Options{Watch: never})
	other := started(t, openPool(t, pool.Config().ConnString()), Options{Watch: never})
	for i := range 3 { // at once, and in two steps
		body := fmt.Sprint("once ", i)
		commit(t, j, note(1, body))
		if err := j.Commit(t.Context(), note(1, body)); err == nil {
			t.Error("a write that was not committed was acknowledged")
		}
		commit(t, j, note(1, body+" after"))
		if i == 1 {
			commit(t, other, note(1, "from elsewhere"))
		}
	}
	checkSeen(t, pool, j)
}
