package journal

import (
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// skip moves a journal that is not running.
func skip(t testing.TB, pool *pgxpool.Pool, to Position) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return Skip(t.Context(), tx, to) })
	if err != nil {
		t.Fatal(err)
	}
}

// far is further on than any batch could step.
const far Position = 1e15

func TestJournalGoesOnAfterAGap(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	j := New(pool, Options{})
	j.Add(notes)
	if err := j.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	commit(t, j, note(1, "before"))
	if err := j.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	skip(t, pool, far)

	j = started(t, pool, Options{})
	if p := j.Position(); p != far {
		t.Errorf("the position is %d", p)
	}
	commit(t, j, note(1, "after"))
	commit(t, j, note(1, "and on"))
	j.Read(func(v View) {
		if v.Position != far+2 || !v.Covers(far) || v.Covers(far-1) {
			t.Errorf("the view is of %d", v.Position)
		}
		if got := values(v.About(Topic{Room: 1}, far)); !slices.Equal(got, []string{"after", "and on"}) {
			t.Errorf("the window shows %v", got)
		}
		if e := v.At(far + 2); e == nil || e.Value != "and on" {
			t.Errorf("at its end stands %v", e)
		}
	})
	if err := j.CatchUp(within(t), far-1); err != nil {
		t.Errorf("a token from the gap: %v", err)
	}
	for p, lost := range map[Position]bool{0: false, 1: false, 2: true, far - 1: true, far: false, far + 2: false} {
		if j.Lost(p) != lost {
			t.Errorf("that position %d is lost is %t", p, j.Lost(p))
		}
	}
}

// A follower that had to step through a gap in batches would never get out of it.
func TestFollowerStepsOverAGap(t *testing.T) {
	t.Parallel()
	for name, behind := range map[string]int{"at its beginning": 0, "some entries before it": 5, "batches before it": followerBatch + 5} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := copiesPool(t)
			c := &copies{}
			j, f := following(t, pool, c)
			commit(t, j, note(1, "followed"))
			if err := f.Await(within(t), 1); err != nil {
				t.Fatal(err)
			}
			f.Stop()
			w := &Write{}
			for i := range behind {
				w.Entries = append(w.Entries, note(1, fmt.Sprint(i)).Entries...)
			}
			if behind > 0 {
				commit(t, j, w)
			}
			if err := j.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			skip(t, pool, far)
			skip(t, pool, 2*far) // restored again, before anything was written

			c = &copies{}
			j, f = following(t, pool, c)
			commit(t, j, note(1, "after"))
			if err := f.Await(within(t), 2*far+1); err != nil {
				t.Fatal(err)
			}
			f.Stop()
			if n := c.count(); n > 4 {
				t.Errorf("took %d steps: %v", n, c.steps)
			}
			var copied []string
			rows, _ := pool.Query(t.Context(), `SELECT body FROM copies ORDER BY position`)
			copied, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil || len(copied) != behind+2 || copied[len(copied)-1] != "after" {
				t.Errorf("copied %d notes, the last %v (%v)", len(copied), copied[max(0, len(copied)-1):], err)
			}
		})
	}
}

// A new follower reads the journal from its beginning, also long after the database was
// restored.
func TestNewFollowerOfAnOldJournal(t *testing.T) {
	t.Parallel()
	pool := copiesPool(t)
	for i := range 3 {
		j := New(pool, Options{})
		j.Add(notes)
		if err := j.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		commit(t, j, note(1, fmt.Sprint(i)))
		if err := j.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		skip(t, pool, far*Position(i+1))
	}
	c := &copies{}
	_, f := following(t, pool, c)
	if err := f.Await(within(t), 3*far); err != nil {
		t.Fatal(err)
	}
	rows, _ := pool.Query(t.Context(), `SELECT body FROM copies ORDER BY position`)
	if got, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || !slices.Equal(got, []string{"0", "1", "2"}) {
		t.Errorf("copied %v (%v)", got, err)
	}
}

// A replica that was behind takes over from a database: what it lacks was told to
// clients, who must not miss what is written in its place.
func TestJournalSkipsWhatTheDatabaseHasLost(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]string{
		"with the connection": `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%COMMIT%'`,
		"under the connection": `SELECT 1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := notesPool(t)
			a := started(t, pool, Options{Watch: never})
			b := started(t, openPool(t, pool.Config().ConnString()), Options{Watch: never})
			for i := range 5 {
				commit(t, a, note(1, fmt.Sprint(i)))
			}
			if err := b.CatchUp(t.Context(), 3); err != nil {
				t.Fatal(err)
			}
			for _, sql := range []string{`DELETE FROM notes WHERE position > 2`, `UPDATE journal SET position = 2`, lose} {
				if _, err := pool.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			for range 3 { // the first ones find it out
				if a.Commit(t.Context(), note(1, "after")) == nil {
					break
				}
			}
			commit(t, a, note(1, "a goes on"))
			if p := a.Position(); p <= 5 {
				t.Errorf("position %d is given out again", p)
			}
			commit(t, b, note(1, "b goes on"))
			if a.Position()+1 != b.Position() {
				t.Errorf("the processes are at %d and %d", a.Position(), b.Position())
			}
			if err := a.CatchUp(t.Context(), 5); err != nil {
				t.Errorf("a token of something lost: %v", err)
			}
			var gaps int
			if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM journal_gaps`).Scan(&gaps); err != nil || gaps != 1 {
				t.Errorf("%d gaps (%v)", gaps, err)
			}
		})
	}
}
