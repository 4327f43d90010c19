package journal

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Outside does the work of a follower outside of any transaction, such as requests to other
// machines. It is called while this process leads, and works until the context ends or it
// returns an error, after which it is called again, here or in another process.
type Outside func(ctx context.Context, t *Trail) error

// FollowerOutside adds a follower whose work runs outside of any transaction, between Start
// and Stop. How far it has come is what it has saved last: it happens at least once. Call it
// before the journal is started.
func (j *Journal) FollowerOutside(name string, work Outside) *Follower {
	f := j.addFollower()
	f.leader = newLeader(j, name, func(ctx context.Context, conn *pgx.Conn, well func()) error {
		t := &Trail{f: f, conn: conn, well: well}
		var err error
		if t.taken, err = f.stored(ctx, conn); err != nil {
			return err
		}
		if t.unused, err = loadGaps(ctx, conn); err != nil {
			return err
		}
		f.advance(t.taken)
		return j.guard("a follower of the journal", func() error { return work(ctx, t) })
	})
	return f
}

// Trail is the way of a follower along the journal while it leads. It serves one goroutine.
type Trail struct {
	f      *Follower
	conn   *pgx.Conn
	unused gaps
	well   func()
	taken  Position
}

// More receives when the journal has moved.
func (t *Trail) More() <-chan struct{} { return t.f.more }

// Take returns the next entries, those in (after, upTo], of which there may be up to 1,000.
// If both are the same there are none yet.
func (t *Trail) Take() (after, upTo Position) {
	after, t.taken = t.taken, t.Next(t.taken)
	return after, t.taken
}

// PutBack has the entries after a position, which were taken last, be taken again.
func (t *Trail) PutBack(after Position) { t.taken = after }

// Taken returns the position up to which entries were taken.
func (t *Trail) Taken() Position { return t.taken }

// Save stores that everything taken so far is handled, but for what also notes in the same
// transaction.
func (t *Trail) Save(ctx context.Context, also func(tx pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, t.conn, func(tx pgx.Tx) error {
		if err := also(tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, moveFollower, t.f.name, t.taken)
		return err
	})
	if err != nil {
		return fmt.Errorf("store that the entries up to %d are handled: %w", t.taken, err)
	}
	t.f.advance(t.taken)
	t.well()
	return nil
}

// Next returns where the entries after a position end that are looked at together, for work
// that has several positions of its own: the position itself if there are none yet. It may be
// called concurrently.
func (t *Trail) Next(after Position) (upTo Position) {
	if now := t.f.j.Position(); after < now {
		return t.unused.past(min(now, after+followerBatch))
	}
	return after
}
