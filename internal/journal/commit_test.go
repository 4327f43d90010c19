package journal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"homeserver/internal/matrix"
)

func TestPositionsHaveNoGaps(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	j := started(t, pool, Options{GroupWrites: 7})
	const writers, each = 16, 40
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				body := fmt.Sprint(w, "-", i)
				if i%5 == 0 {
					body = refusedByDatabase
				}
				if err := j.Commit(t.Context(), note(1, body)); (err != nil) != (body == refusedByDatabase) {
					t.Errorf("%s: %v", body, err)
				}
			}
		})
	}
	wg.Wait()
	const good = writers * each * 4 / 5
	if got := len(written(t, pool, 0)); got != good || j.Position() != good {
		t.Errorf("%d notes, position %d, want %d", got, j.Position(), good)
	}
}

func TestWritesAreCommittedInTheOrderOfTheQueue(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	j := New(pool, Options{GroupWrites: 10})
	var want []string
	for i := range 100 {
		want = append(want, fmt.Sprint(i))
		if _, err := j.Enqueue(note(1, want[i])); err != nil {
			t.Fatal(err)
		}
	}
	start(t, j)
	commit(t, j, note(1, "last"))
	if got := bodies(written(t, pool, 0)); !slices.Equal(got, append(want, "last")) {
		t.Errorf("got %q", got)
	}
}

func TestGroupIsOneTransactionWithinItsBounds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"number":  {Options{GroupWrites: 4}, "[4 4 2]"},
		"bytes":   {Options{GroupBytes: 30}, "[3 3 3 1]"},
		"too big": {Options{GroupBytes: 5}, "[1 1 1 1 1 1 1 1 1 1]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := notesPool(t)
			j := New(pool, c.o)
			var groups []int
			j.Observe(Observer{
				Committed: func(_ View, entries []*Entry) { groups = append(groups, len(entries)) },
				Reset:     func(Position) {},
			})
			var last *Pending
			for range 10 {
				p, err := j.Enqueue(note(1, "ten bytes!"))
				if err != nil {
					t.Fatal(err)
				}
				last = p
			}
			start(t, j)
			if err := last.Wait(); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(groups); got != c.want {
				t.Errorf("groups of %s, want %s", got, c.want)
			}
			rows, err := pool.Query(t.Context(), "SELECT count(*) FROM notes GROUP BY xmin::text::bigint ORDER BY xmin::text::bigint")
			if err != nil {
				t.Fatal(err)
			}
			transactions, err := pgx.CollectRows(rows, pgx.RowTo[int])
			if got := fmt.Sprint(transactions); err != nil || got != c.want {
				t.Errorf("transactions of %s, %v, want %s", got, err, c.want)
			}
		})
	}
}

func TestBadWriteFailsAlone(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{refusedByDatabase, refusedByTable, unfit, panics} {
		t.Run(bad, func(t *testing.T) {
			t.Parallel()
			pool := notesPool(t)
			j := New(pool, Options{})
			var want []string
			var pending []*Pending
			guilty := map[int]bool{0: true, 17: true, 18: true, 49: true}
			for i := range 50 {
				body := fmt.Sprint(i)
				if guilty[i] {
					body = bad
				} else {
					want = append(want, body)
				}
				p, err := j.Enqueue(note(1, body))
				if err != nil {
					t.Fatal(err)
				}
				pending = append(pending, p)
			}
			start(t, j)
			for i, p := range pending {
				if err := p.Wait(); (err != nil) != guilty[i] {
					t.Errorf("write %d: %v", i, err)
				}
			}
			if got := bodies(written(t, pool, 0)); !slices.Equal(got, want) {
				t.Errorf("got %q", got)
			}
			if bad == refusedByDatabase {
				var pg *pgconn.PgError
				if err := pending[0].Wait(); !errors.As(err, &pg) || pg.ConstraintName != "notes_body_check" {
					t.Errorf("the caller is not told of the constraint: %v", err)
				}
			}
		})
	}
}

func TestWriteIsAtomic(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	j := started(t, pool, Options{})
	several := func(body ...string) *Write {
		w := &Write{Also: func(b *pgx.Batch) { b.Queue("INSERT INTO notes VALUES (-$1::bigint, 0, '', 'also')", len(body)) }}
		for _, text := range body {
			w.Entries = append(w.Entries, note(1, text).Entries...)
		}
		return w
	}
	if err := j.Commit(t.Context(), several("one", refusedByDatabase, "two")); err == nil {
		t.Error("a write with a bad entry was committed")
	}
	if err := j.Commit(t.Context(), several("one", "two")); err != nil {
		t.Error(err)
	}
	if err := j.Commit(t.Context(), several("three", "four")); err == nil {
		t.Error("a write whose further statement fails was committed")
	}
	rows, err := pool.Query(t.Context(), "SELECT body FROM notes ORDER BY position")
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || !slices.Equal(got, []string{"also", "one", "two"}) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestWriteWithoutEntriesIsRefused(t *testing.T) {
	t.Parallel()
	j := started(t, notesPool(t), Options{})
	if err := j.Commit(t.Context(), &Write{}); err == nil {
		t.Error("it was taken")
	}
	commit(t, j, note(1, "still at work"))
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"number": {QueueWrites: 5},
		"bytes":  {QueueBytes: 54},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := New(notesPool(t), o)
			for range 5 {
				if _, err := j.Enqueue(note(1, "ten bytes!")); err != nil {
					t.Fatal(err)
				}
			}
			last, err := j.Enqueue(note(1, "ten bytes!"))
			var refused *matrix.Error
			if !errors.As(err, &refused) || refused.Code != matrix.LimitExceeded || refused.RetryAfter == 0 {
				t.Fatalf("got %v, %v", last, err)
			}
			start(t, j)
			for j.Position() < 5 { // the five make room as soon as they are taken
				if last, err = j.Enqueue(note(1, "ten bytes!")); err == nil {
					break
				}
			}
			if last == nil {
				last, err = j.Enqueue(note(1, "ten bytes!"))
			}
			if err != nil {
				t.Fatalf("when there is room again: %v", err)
			}
			if err := last.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWriteBeyondTheWholeQueueIsTooLarge(t *testing.T) {
	t.Parallel()
	j := New(notesPool(t), Options{QueueBytes: 5})
	if _, err := j.Enqueue(note(1, "ten bytes!")); !matrix.IsCode(err, matrix.TooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestWaitReturnsAfterObserversWereTold(t *testing.T) {
	t.Parallel()
	j := New(notesPool(t), Options{GroupWrites: 3})
	var mu sync.Mutex
	seen := map[string]bool{}
	last := Position(0)
	j.Observe(Observer{
		Committed: func(v View, entries []*Entry) {
			mu.Lock()
			defer mu.Unlock()
			for _, e := range entries {
				if last++; e.Position != last || v.At(last) != e {
					t.Errorf("told of %d after %d; the view has %v", e.Position, last-1, v.At(last))
				}
				seen[e.Value.(string)] = true
			}
			if v.Position != last {
				t.Errorf("the view is at %d, the entries at %d", v.Position, last)
			}
		},
		Reset: func(p Position) { t.Errorf("reset to %d", p) },
	})
	start(t, j)
	var wg sync.WaitGroup
	for w := range 10 {
		wg.Go(func() {
			for i := range 20 {
				body := fmt.Sprint(w, "-", i)
				if err := j.Commit(t.Context(), note(RoomNID(w), body)); err != nil {
					t.Error(err)
				}
				mu.Lock()
				if !seen[body] {
					t.Errorf("%s was answered before the observer was told", body)
				}
				mu.Unlock()
				j.Read(func(v View) {
					if mine := v.About(Topic{Room: RoomNID(w)}, 0); len(mine) != i+1 || mine[i].Value != body {
						t.Errorf("%s was answered, and the window shows %q", body, values(mine))
					}
				})
			}
		})
	}
	wg.Wait()
}

func TestObserverThatPanicsIsReset(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	j := New(pool, Options{})
	var resets []Position
	panicking := Observer{
		Committed: func(_ View, entries []*Entry) {
			if entries[0].Value == "surprise" {
				panic("not understood")
			}
		},
		Reset: func(p Position) { resets = append(resets, p) },
	}
	other := 0
	j.Observe(panicking)
	j.Observe(Observer{Committed: func(_ View, entries []*Entry) { other += len(entries) }, Reset: func(Position) { panic("hopeless") }})
	start(t, j)
	l := j.Listen()
	defer l.Close()
	l.Follow(Topic{Room: 1})
	for _, body := range []string{"one", "surprise", "three"} {
		woken := l.Woken()
		commit(t, j, note(1, body)) // it is durable, whatever the observer does
		<-woken
	}
	if got := fmt.Sprint(resets); got != "[2]" || other != 3 {
		t.Errorf("reset to %s; the other observer was told of %d entries", got, other)
	}
	j.Read(func(v View) {
		if v.Covers(1) || !v.Covers(2) || v.Position != 3 {
			t.Error("what the observer has not understood is still in the window")
		}
	})
}

func TestStopCommitsWhatIsQueued(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	j := started(t, pool, Options{GroupWrites: 10})
	var pending []*Pending
	for i := range 500 {
		p, err := j.Enqueue(note(1, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		pending = append(pending, p)
	}
	if err := j.Stop(within(t)); err != nil {
		t.Fatal(err)
	}
	for i, p := range pending {
		if err := p.Wait(); err != nil {
			t.Errorf("write %d: %v", i, err)
		}
	}
	if got := len(written(t, pool, 0)); got != 500 {
		t.Errorf("%d notes were written", got)
	}
	wantStopping(t, j.Commit(t.Context(), note(1, "late")))
	wantStopping(t, j.CatchUp(t.Context(), 1000))
	if err := j.CatchUp(t.Context(), 500); err != nil {
		t.Errorf("what is known already: %v", err)
	}
}

func wantStopping(t testing.TB, err error) {
	t.Helper()
	var e *matrix.Error
	if !errors.As(err, &e) || e.HTTPStatus() != http.StatusServiceUnavailable {
		t.Errorf("got %v, want 503", err)
	}
}

func TestStopEndsWithItsContext(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	j := New(pool, Options{GroupWrites: 2})
	enqueue := func() []*Pending {
		var pending []*Pending
		for range 5 {
			p, err := j.Enqueue(note(1, "stuck"))
			if err != nil {
				t.Fatal(err)
			}
			pending = append(pending, p)
		}
		return pending
	}
	release := holdJournal(t, pool)
	defer release()
	pending := enqueue()
	if err := j.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop returns %v", err)
	}
	for _, p := range pending {
		wantStopping(t, p.Wait())
	}
	if err := j.Stop(t.Context()); err != nil {
		t.Errorf("stopping again: %v", err)
	}
}

func TestStopWithoutStartAnswersWhatIsQueued(t *testing.T) {
	t.Parallel()
	j := New(notesPool(t), Options{})
	p, err := j.Enqueue(note(1, "too early"))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	wantStopping(t, p.Wait())
}

func TestJournalStartsWhereItWas(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	first := started(t, pool, Options{})
	commit(t, first, note(1, "before"))
	if err := first.Stop(within(t)); err != nil {
		t.Fatal(err)
	}
	second := New(pool, Options{})
	var reset Position
	second.Observe(Observer{Committed: func(View, []*Entry) {}, Reset: func(p Position) { reset = p }})
	start(t, second)
	if second.Position() != 1 || reset != 1 {
		t.Errorf("position %d, observers at %d", second.Position(), reset)
	}
	second.Read(func(v View) {
		if v.Covers(0) || !v.Covers(1) || v.At(1) != nil {
			t.Error("the window claims what it has not seen")
		}
	})
}

func TestStartFailsWithoutDatabase(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	if _, err := pool.Exec(t.Context(), "DROP TABLE journal"); err != nil {
		t.Fatal(err)
	}
	if err := New(pool, Options{}).Start(t.Context()); err == nil {
		t.Error("it started on a database without a journal")
	}
}

func TestMetricsCanBeRegistered(t *testing.T) {
	t.Parallel()
	j := started(t, notesPool(t), Options{})
	commit(t, j, note(1, "counted"))
	got := gathered(t, j)
	if got["homeserver_journal_entries_total"] != 1 || got["homeserver_journal_position"] != 1 || got["homeserver_journal_window_bytes"] == 0 {
		t.Errorf("got %v", got)
	}
}
