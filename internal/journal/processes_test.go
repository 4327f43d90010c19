package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

func TestCatchUpSeesWhatAnotherProcessHasWritten(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	a := started(t, pool, Options{Watch: never})
	b := started(t, openPool(t, pool.Config().ConnString()), Options{Watch: never})
	commit(t, a, note(1, "by a"))
	if err := b.CatchUp(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if b.Position() != 1 {
		t.Errorf("position %d", b.Position())
	}
	b.Read(func(v View) {
		if got := values(v.About(Topic{Room: 1}, 0)); !v.Covers(0) || !slices.Equal(got, []string{"by a"}) {
			t.Errorf("the window shows %v of what was written elsewhere", got)
		}
	})
	if err := b.CatchUp(t.Context(), 2); !matrix.IsCode(err, matrix.InvalidParam) {
		t.Errorf("a position that there is not: %v", err)
	}
	commit(t, b, note(1, "by b"))
	if err := a.CatchUp(t.Context(), 2); err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.CatchUp(ended, 3); !errors.Is(err, context.Canceled) && !matrix.IsCode(err, matrix.InvalidParam) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

func TestCatchUpIsNotStarvedByLoad(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	j := started(t, pool, Options{GroupWrites: 1, Watch: never})
	l := startLoad(t, j, 4)
	l.await(10)
	for range 20 {
		// It would be reached by the load alone only much later.
		if err := j.CatchUp(within(t), 1<<40); !matrix.IsCode(err, matrix.InvalidParam) {
			t.Fatal(err)
		}
	}
	l.end()
}

func TestIdleJournalWatchesOtherProcesses(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	a := started(t, pool, Options{})
	b := started(t, pool, Options{Watch: 10 * time.Millisecond})
	l := b.Listen()
	defer l.Close()
	l.Follow(Topic{Room: 1})
	woken := l.Woken()
	commit(t, a, note(1, "by a"))
	select {
	case <-woken:
	case <-within(t).Done():
		t.Fatal("nobody was woken")
	}
	if b.Position() != 1 {
		t.Errorf("position %d", b.Position())
	}
}

// The writers of the tests below, in one process or two.
const (
	processWriters = 6
	processEach    = 60
)

func writeFrom(j *Journal, process string) error {
	var wg sync.WaitGroup
	errs := make([]error, processWriters)
	for w := range processWriters {
		wg.Go(func() {
			for i := range processEach {
				errs[w] = errors.Join(errs[w], j.Commit(context.Background(), note(1, fmt.Sprintf("%s-%d-%d", process, w, i))))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// follow reads a journal as /sync does, until a position: from the live window
// where that covers what is new, else by SQL. It returns the bodies in order.
func follow(ctx context.Context, j *Journal, pool *pgxpool.Pool, end Position) ([]string, error) {
	l := j.Listen()
	defer l.Close()
	l.Follow(Topic{Room: 1})
	var got []string
	for since := Position(0); since < end; {
		woken := l.Woken()
		var upTo Position
		var covered bool
		var news []*Entry
		j.Read(func(v View) {
			upTo = v.Position
			if covered = v.Covers(since); covered {
				news = v.About(Topic{Room: 1}, since)
			}
		})
		if upTo == since {
			select {
			case <-woken:
				continue
			case <-ctx.Done():
				return nil, fmt.Errorf("at %d of %d: %w", since, end, ctx.Err())
			}
		}
		list := values(news)
		if !covered {
			rows, err := readNotes(ctx, pool, since, upTo)
			if err != nil {
				return nil, err
			}
			list = bodies(rows)
		}
		if len(list) != int(upTo-since) {
			return nil, fmt.Errorf("%d entries in (%d, %d], from the window: %t", len(list), since, upTo, covered)
		}
		got, since = append(got, list...), upTo
	}
	return got, nil
}

// poll reads by SQL alone, in two statements, until a position: first how far
// the journal is, then what is new.
func poll(ctx context.Context, pool *pgxpool.Pool, end Position) ([]string, error) {
	var got []string
	for since := Position(0); since < end; {
		var upTo Position
		if err := pool.QueryRow(ctx, "SELECT position FROM journal").Scan(&upTo); err != nil {
			return nil, err
		}
		rows, err := readNotes(ctx, pool, since, upTo)
		if err != nil {
			return nil, err
		}
		if len(rows) != int(upTo-since) {
			return nil, fmt.Errorf("%d rows in (%d, %d]", len(rows), since, upTo)
		}
		got, since = append(got, bodies(rows)...), upTo
	}
	return got, nil
}

// watchSnapshots checks until a position that every snapshot of the database
// holds exactly the rows up to its position: what is committed later has a
// higher position, always.
func watchSnapshots(ctx context.Context, pool *pgxpool.Pool, end Position) error {
	for position := Position(0); position < end; {
		var rows, newest Position
		err := pool.QueryRow(ctx, `SELECT (SELECT position FROM journal), count(*), coalesce(max(position), 0) FROM notes`).
			Scan(&position, &rows, &newest)
		if err != nil {
			return err
		}
		if rows != position || newest != position {
			return fmt.Errorf("a snapshot at position %d has %d rows, the newest at %d", position, rows, newest)
		}
	}
	return nil
}

// reader is one way to read all notes up to the end.
type reader func(ctx context.Context, end Position) ([]string, error)

// compareReaders runs readers until the end of what the writers write, and
// compares what each has seen with what is in the database then.
func compareReaders(t *testing.T, pool *pgxpool.Pool, end Position, readers map[string]reader) {
	t.Helper()
	ctx := within(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[string][]string{}
	for name, read := range readers {
		wg.Go(func() {
			got, err := read(ctx, end)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			mu.Lock()
			seen[name] = got
			mu.Unlock()
		})
	}
	wg.Go(func() {
		if err := watchSnapshots(ctx, pool, end); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	want := bodies(written(t, pool, 0))
	if len(want) != int(end) {
		t.Errorf("%d notes were written, want %d", len(want), end)
	}
	for name, got := range seen {
		if !slices.Equal(got, want) {
			t.Errorf("%s has seen something else than was written", name)
		}
	}
	slices.Sort(want)
	if n := len(slices.Compact(want)); n != int(end) {
		t.Errorf("only %d notes are different", n)
	}
}

func TestTwoJournalsOnOneDatabase(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	pools := []*pgxpool.Pool{openPool(t, pool.Config().ConnString()), openPool(t, pool.Config().ConnString())}
	readers := map[string]reader{
		"SQL": func(ctx context.Context, end Position) ([]string, error) { return poll(ctx, pool, end) },
	}
	var wg sync.WaitGroup
	for i, p := range pools {
		j := started(t, p, Options{GroupWrites: 3, Watch: 10 * time.Millisecond})
		readers[fmt.Sprint("journal ", i)] = func(ctx context.Context, end Position) ([]string, error) {
			return follow(ctx, j, p, end)
		}
		wg.Go(func() {
			if err := writeFrom(j, fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
		})
	}
	compareReaders(t, pool, 2*processWriters*processEach, readers)
	wg.Wait()
}

// The environment of TestWriterProcess: the database, and the process's name.
const (
	processDatabase = "HOMESERVER_TEST_JOURNAL_DATABASE"
	processName     = "HOMESERVER_TEST_JOURNAL_PROCESS"
)

// TestWriterProcess is not a test: it is another server process, which writes
// and reads.
func TestWriterProcess(t *testing.T) {
	address := os.Getenv(processDatabase)
	if address == "" {
		t.Skip("runs only inside another test")
	}
	pool := openPool(t, address)
	j := started(t, pool, Options{GroupWrites: 3, Watch: 10 * time.Millisecond})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := writeFrom(j, os.Getenv(processName)); err != nil {
			t.Error(err)
		}
	})
	got, err := follow(within(t), j, pool, 2*processWriters*processEach)
	if err != nil {
		t.Error(err)
	}
	wg.Wait()
	if want := bodies(written(t, pool, 0)); !slices.Equal(got, want) {
		t.Error("this process has seen something else than was written")
	}
}

func TestTwoProcessesOnOneDatabase(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	pool := notesPool(t)
	idle := started(t, openPool(t, pool.Config().ConnString()), Options{Watch: time.Millisecond})
	var wg sync.WaitGroup
	for i := range 2 {
		process := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWriterProcess$")
		process.Env = append(os.Environ(), processDatabase+"="+pool.Config().ConnString(), processName+"="+fmt.Sprint(i))
		wg.Go(func() {
			if output, err := process.CombinedOutput(); err != nil {
				t.Errorf("process %d: %v\n%s", i, err, output)
			}
		})
	}
	compareReaders(t, pool, 2*processWriters*processEach, map[string]reader{
		"SQL": func(ctx context.Context, end Position) ([]string, error) { return poll(ctx, pool, end) },
		"a process that does not write": func(ctx context.Context, end Position) ([]string, error) {
			return follow(ctx, idle, pool, end)
		},
	})
	wg.Wait()
}

// TestKilledWriterLeavesNoHalfGroup kills a process in the middle of its load.
func TestKilledWriterLeavesNoHalfGroup(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	pool := notesPool(t)
	process := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWriterProcess$")
	process.Env = append(os.Environ(), processDatabase+"="+pool.Config().ConnString(), processName+"=killed")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	j := started(t, openPool(t, pool.Config().ConnString()), Options{Watch: time.Millisecond})
	if _, err := follow(within(t), j, pool, 50); err != nil {
		t.Error(err)
	}
	if err := process.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = process.Wait() // it was killed
	commit(t, j, note(1, "survivor"))
	var position Position
	if err := pool.QueryRow(t.Context(), "SELECT position FROM journal").Scan(&position); err != nil {
		t.Fatal(err)
	}
	if got := written(t, pool, 0); Position(len(got)) != position || j.Position() != position {
		t.Errorf("%d notes; the journal is at %d, its survivor at %d", len(got), position, j.Position())
	}
}
