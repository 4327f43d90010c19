package journal

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/matrixtest"
)

// seen is a range of positions that work outside of transactions has taken.
type seen struct{ after, upTo Position }

// taking adds a follower that takes whatever there is, and saves it if told so.
func taking(t *testing.T, j *Journal, save bool) (f *Follower, took chan seen) {
	t.Helper()
	took = make(chan seen, 100)
	f = j.FollowerOutside("taking", func(ctx context.Context, trail *Trail) error {
		for ctx.Err() == nil {
			if after, upTo := trail.Take(); after < upTo {
				if save {
					if err := trail.Save(ctx, func(pgx.Tx) error { return nil }); err != nil {
						return err
					}
				}
				took <- seen{after, upTo}
				continue
			}
			select {
			case <-trail.More():
			case <-ctx.Done():
			}
		}
		return ctx.Err()
	})
	return f, took
}

func (s seen) from(t *testing.T, took chan seen) seen {
	t.Helper()
	for s.after = -1; ; {
		select {
		case next := <-took:
			if s.after < 0 {
				s.after = next.after
			}
			if next.upTo >= s.upTo {
				return seen{s.after, next.upTo}
			}
		case <-time.After(matrixtest.Patience):
			t.Fatalf("nothing is taken up to %d", s.upTo)
		}
	}
}

// What was taken and not saved is taken again; what was saved is not.
func TestWorkOutsideOfTransactionsGoesOnWhereItHasSaved(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	run := func(save bool, want seen) {
		t.Helper()
		j := New(pool, Options{})
		f, took := taking(t, j, save)
		start(t, j)
		for range 3 {
			commit(t, j, note(1, "x"))
		}
		f.Start(t.Context())
		if got := (seen{upTo: want.upTo}).from(t, took); got != want {
			t.Errorf("took %v, want %v", got, want)
		}
		if save {
			if err := f.Await(within(t), want.upTo); err != nil {
				t.Error(err)
			}
		}
		f.Stop()
	}
	run(false, seen{0, 3})
	run(true, seen{0, 6})
	run(true, seen{6, 9})
}
