package journal

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/journal/replica"
	"homeserver/internal/matrixtest"
)

// pair returns the journals of two processes. They learn of each other's commits only by
// messages, and never look by themselves.
func pair(t *testing.T) (a, b *Journal, pool *pgxpool.Pool) {
	t.Helper()
	pool = notesPool(t)
	journals, channels := make([]*Journal, 2), make([]*replica.Channel, 2)
	joined := make(chan struct{}, 10)
	for i := range journals {
		channels[i] = replica.New(pool, slog.New(slog.DiscardHandler))
		if i == 0 {
			channels[i].OnJoined(func() { joined <- struct{}{} })
		}
		journals[i] = New(pool, Options{Watch: never, Channel: channels[i]}) // which listens to the channel
		if err := channels[i].Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(channels[i].Stop)
		start(t, journals[i])
	}
	<-joined // the first knows of the second
	matrixtest.Until(t, "the second process knows of the first", func() bool { return !channels[1].Alone() })
	return journals[0], journals[1], pool
}

func TestOtherProcessesAreToldAtOnce(t *testing.T) {
	t.Parallel()
	a, b, _ := pair(t)
	l := b.Listen()
	defer l.Close()
	l.Follow(Topic{User: "@alice:localhost"})
	woken := l.Woken()
	commit(t, a, note(1, "not hers"))
	commit(t, a, privateNote("@alice:localhost", "hers"))
	select {
	case <-woken:
	case <-within(t).Done():
		t.Fatal("nobody was woken")
	}
	b.Read(func(v View) {
		if got := values(v.About(Topic{User: "@alice:localhost"}, 0)); v.Position != 2 || !slices.Equal(got, []string{"hers"}) {
			t.Errorf("at %d the window shows %v", v.Position, got)
		}
	})
}

func TestObserversAreToldOfWhatOthersWrite(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	a := started(t, pool, Options{Watch: never})
	b := New(openPool(t, pool.Config().ConnString()), Options{Watch: never})
	var told []string
	b.Observe(Observer{
		Committed: func(_ View, entries []*Entry) { told = append(told, values(entries)...) },
		Reset:     func(p Position) { told = append(told, fmt.Sprint("reset to ", p)) },
	})
	start(t, b)
	commit(t, a, note(1, "a1"))
	commit(t, a, note(1, "a2"))
	commit(t, b, note(1, "b1"))
	commit(t, a, note(1, "a3"))
	if err := b.CatchUp(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a1", "a2", "b1", "a3"}; !slices.Equal(told, want) {
		t.Errorf("told of %q, want %q", told, want)
	}
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func TestWhatIsNotUnderstoodIsLeftToTheDatabase(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	var log lines
	a := started(t, pool, Options{Watch: never})
	b := started(t, pool, Options{Watch: never, Log: slog.New(slog.NewTextHandler(&log, nil))})
	commit(t, a, note(1, notUnderstood))
	commit(t, b, note(1, "goes on"))
	b.Read(func(v View) {
		if v.Position != 2 || v.Covers(0) || !v.Covers(1) {
			t.Errorf("at %d the window claims to hold what was not understood", v.Position)
		}
	})
	if text := log.text.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "read notes after 0 up to 1: this note is not understood") {
		t.Errorf("the log says: %s", text)
	}
}

func TestOverwrittenEntriesOfOthersLeaveNoGap(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	a := started(t, pool, Options{Watch: never})
	b := started(t, pool, Options{Watch: never})
	for i := range 3 {
		commit(t, a, note(1, fmt.Sprint(i)))
	}
	if _, err := pool.Exec(t.Context(), `DELETE FROM notes WHERE position IN (1, 3)`); err != nil {
		t.Fatal(err)
	}
	commit(t, b, note(1, "own"))
	b.Read(func(v View) {
		got := values(v.About(Topic{Room: 1}, 0))
		if !v.Covers(0) || !slices.Equal(got, []string{"1", "own"}) || v.At(4).Value != "own" || v.At(2).Value != "1" {
			t.Errorf("the window shows %v", got)
		}
	})
}

func TestWhoIsFarBehindReadsNothing(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	b := started(t, pool, Options{Watch: never})
	commit(t, b, note(1, "before"))
	_, err := pool.Exec(t.Context(), `
		INSERT INTO notes SELECT n, 1, '', 'other' FROM generate_series(2, $1::bigint + 2) n`, readAtOnce)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `UPDATE journal SET position = $1`, readAtOnce+2); err != nil {
		t.Fatal(err)
	}
	commit(t, b, note(1, "after"))
	b.Read(func(v View) {
		if v.Covers(readAtOnce+1) || !v.Covers(readAtOnce+2) || v.Position != readAtOnce+3 {
			t.Errorf("the window reaches further back at %d", v.Position)
		}
	})
}

// In TestMoreBytesThanOneReadBringsAreNotRead another process writes few entries, and each
// is large.
func TestMoreBytesThanOneReadBringsAreNotRead(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	a := started(t, pool, Options{Watch: never})
	b := started(t, pool, Options{Watch: never})
	commit(t, b, note(1, "before"))
	const size = 1 << 20
	for range bytesAtOnce/size - 1 {
		commit(t, a, note(1, strings.Repeat("a", size)))
	}
	commit(t, b, note(1, "between"))
	b.Read(func(v View) {
		if !v.Covers(0) {
			t.Error("what fits is not read")
		}
	})
	for range bytesAtOnce / size {
		commit(t, a, note(1, strings.Repeat("a", size)))
	}
	commit(t, b, note(1, "after"))
	b.Read(func(v View) {
		if p := v.Position; v.Covers(p-2) || !v.Covers(p-1) || v.At(p).Value != "after" {
			t.Error("more is read than fits")
		}
	})
}

// Two processes write to the same thing, each from what it has seen of it. The second write
// is built anew, in the same transaction.
func TestStaleWritesAreBuiltAnew(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	a := started(t, pool, Options{Watch: never})
	b := New(openPool(t, pool.Config().ConnString()), Options{Watch: never})
	var others atomic.Int64 // how many notes of others b has seen
	b.Observe(Observer{
		Committed: func(_ View, entries []*Entry) {
			for _, e := range entries {
				if e.Value == "a" {
					others.Add(1)
				}
			}
		},
		Reset: func(Position) {},
	})
	start(t, b)
	// write adds a note that says how many of a's there were before it, until it fits.
	write := func() (failed int) {
		for {
			seen := others.Load()
			w := note(1, fmt.Sprint("b after ", seen))
			w.Stale = func() bool { return others.Load() != seen }
			err := b.Commit(t.Context(), w)
			if err == nil {
				return failed
			}
			if !errors.Is(err, ErrStale) {
				t.Fatal(err)
			}
			failed++
		}
	}
	const rounds = 20
	for i := range rounds {
		commit(t, a, note(1, "a"))
		if failed := write(); failed != 1 {
			t.Errorf("in round %d the write was refused %d times", i, failed)
		}
	}
	for i, body := range bodies(written(t, pool, 0)) {
		want := "a"
		if i%2 == 1 {
			want = fmt.Sprint("b after ", i/2+1)
		}
		if body != want {
			t.Errorf("at %d stands %q, want %q", i+1, body, want)
		}
	}
}

func TestStaleWritesDoNotHarmOthersOfTheGroup(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	j := started(t, pool, Options{Watch: never})
	release := holdJournal(t, pool)
	var pending []*Pending
	for i := range 6 {
		w := note(1, fmt.Sprint(i))
		w.Stale = func() bool { return i%3 == 0 }
		p, err := j.Enqueue(w)
		if err != nil {
			t.Fatal(err)
		}
		pending = append(pending, p)
	}
	release()
	for i, p := range pending {
		if err := p.Wait(); (i%3 == 0) != errors.Is(err, ErrStale) || p.Committed() != (i%3 != 0) {
			t.Errorf("write %d: %v", i, err)
		}
	}
	if got := bodies(written(t, pool, 0)); !slices.Equal(got, []string{"1", "2", "4", "5"}) {
		t.Errorf("written are %q", got)
	}
	all := note(1, "all are stale")
	all.Stale = func() bool { return true }
	if err := j.Commit(t.Context(), all); !errors.Is(err, ErrStale) {
		t.Error(err)
	}
	commit(t, j, note(1, "after"))
	if p := j.Position(); p != 5 {
		t.Errorf("the position is %d", p)
	}
}
