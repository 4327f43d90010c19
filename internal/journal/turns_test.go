package journal

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

// One caller with a thousand writes kept everybody else's at the end of the queue.
func TestWhoFloodsTheQueueWaitsForHimself(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	pool := notesPool(t)
	j := started(t, pool, Options{Watch: never})
	release := holdJournal(t, pool)
	const flood = 40
	large := strings.Repeat("x", 1<<20)
	var all sync.WaitGroup
	for range flood {
		all.Go(func() {
			if err := j.Commit(matrix.WithCaller(t.Context(), "@flood:localhost"), note(1, large)); err != nil {
				t.Error(err)
			}
		})
	}
	matrixtest.Until(t, "the flood waits", func() bool { return j.turns.Waiting() == flood-4 }) // half of two groups of 4 MiB is on its way
	all.Go(func() {
		if err := j.Commit(matrix.WithCaller(t.Context(), "@other:localhost"), note(1, "other")); err != nil {
			t.Error(err)
		}
	})
	matrixtest.Until(t, "the others wait as well", func() bool { // however many of the flood are with the writer already
		j.queue.mu.Lock()
		defer j.queue.mu.Unlock()
		return slices.ContainsFunc(j.queue.writes, func(p *Pending) bool { return p.size < len(large) })
	})
	release()
	all.Wait()
	for _, n := range written(t, pool, 0) {
		if n.Body == "other" && n.Position > 5 {
			t.Errorf("the other caller came at position %d of %d", n.Position, flood+1)
		}
	}
}

func TestABrokenTurnLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	j := started(t, notesPool(t), Options{})
	end, err := j.Turn(matrix.WithCaller(t.Context(), "@a:localhost"), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	end()
	if err := j.Commit(t.Context(), note(1, refusedByDatabase)); err == nil {
		t.Error("the note is written")
	}
	if n := j.turns.Held(); n != 0 {
		t.Errorf("%d is still held", n)
	}
}

func TestWrittenBytesAreCountedForTheCaller(t *testing.T) {
	t.Parallel()
	limits := ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{
		ratelimit.WrittenBytes: {PerSecond: 1e-6, Burst: 100},
	}, time.Now, 0)
	pool := notesPool(t)
	j := started(t, pool, Options{Limits: limits})
	alice := matrix.WithCaller(t.Context(), "@alice:localhost")
	for range 3 { // what fails does not count
		if err := j.Commit(alice, note(1, refusedByDatabase)); err == nil {
			t.Error("the note is written")
		}
	}
	if err := j.Commit(alice, note(1, strings.Repeat("x", 80))); err != nil {
		t.Fatal(err)
	}
	err := j.Commit(alice, note(1, strings.Repeat("x", 80)))
	if e, ok := errors.AsType[*matrix.Error](err); !ok || e.Code != matrix.LimitExceeded || e.RetryAfter == 0 {
		t.Errorf("got %v", err)
	}
	for _, ctx := range []string{"@bob:localhost", ""} {
		if err := j.Commit(matrix.WithCaller(t.Context(), ctx), note(1, strings.Repeat("x", 80))); err != nil {
			t.Errorf("%q: %v", ctx, err)
		}
	}
	if n := len(written(t, pool, 0)); n != 3 {
		t.Errorf("%d notes are written", n)
	}
}
