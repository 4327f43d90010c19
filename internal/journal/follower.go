package journal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/postgres"
)

const (
	// followerBatch is how many positions a follower is shown at once, at most.
	followerBatch = 1000
	// followerLook is how often the position of a follower in another process is read
	// while a caller waits for it.
	followerLook = 50 * time.Millisecond
	// followerGather is how long a follower waits for more entries after a step, unless
	// a caller waits for it: many small steps would cost more than they are worth, and
	// what they write is in the way of the commits of senders.
	followerGather = time.Second
	// followerAttempts is how often a follower tries an entry by itself before it goes
	// on without it.
	followerAttempts = 3
)

// Step handles the entries in (after, upTo], of which there may be up to 1,000. Its
// writes by tx are committed together with the follower's new position, or not at all:
// they happen exactly once. Everything else that it does happens at least once.
type Step func(ctx context.Context, tx pgx.Tx, after, upTo Position) error

// Follower does background work on everything that is committed. Its position is stored
// in the database, so that it goes on where it ended. It begins at the beginning of the
// journal. Of all processes on one database, one leads. No commit ever waits for a
// follower.
type Follower struct {
	leader
	step Step

	more  chan struct{} // the journal has moved
	hurry chan struct{} // a caller waits

	mu      sync.Mutex
	reached Position
	moved   chan struct{} // closed and replaced when reached has grown

	stuckAt Position // the position that has failed by itself
	failed  int      // how often
}

// Follower adds a follower of that name, which runs between Start and Stop. Call
// it before the journal is started.
func (j *Journal) Follower(name string, step Step) *Follower {
	f := j.addFollower()
	f.step = step
	f.leader = newLeader(j, name, f.follow)
	return f
}

// addFollower adds a follower that has no work yet.
func (j *Journal) addFollower() *Follower {
	f := &Follower{more: make(chan struct{}, 1), hurry: make(chan struct{}, 1), moved: make(chan struct{})}
	j.Observe(Observer{
		Committed: func(View, []*Entry) { signal(f.more) },
		Reset:     func(Position) { signal(f.more) },
	})
	j.followers = append(j.followers, f)
	return f
}

// signal puts a signal into a channel that holds one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Await returns when the follower has handled everything up to the position, in
// whatever process it runs. Else it returns the context's error, or that of the
// database.
func (f *Follower) Await(ctx context.Context, p Position) error {
	look := time.NewTicker(followerLook)
	defer look.Stop()
	for said := false; ; said = true {
		reached, moved := f.progress()
		if reached >= p {
			return nil
		}
		signal(f.hurry)
		if !said {
			f.j.notifyHurry(f.name)
		}
		select {
		case <-moved:
		case <-look.C:
			if err := f.look(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// AwaitNewest returns when the follower has handled everything that is committed now,
// or patience is over: the caller then goes on without the newest.
func (f *Follower) AwaitNewest(ctx context.Context, patience time.Duration) error {
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := f.Await(bounded, f.j.Position())
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil
	}
	return err
}

// AwaitFollowers returns when all followers of the database have handled everything that is
// committed now: what they keep there is then whole. It does not wait for those that send to others.
func (j *Journal) AwaitFollowers(ctx context.Context) error {
	upTo := j.Position()
	for _, f := range j.followers {
		if f.step == nil {
			continue
		}
		if err := f.Await(ctx, upTo); err != nil {
			return fmt.Errorf("wait for the follower %s: %w", f.name, err)
		}
	}
	return nil
}

// look reads how far the follower has come, here or elsewhere.
func (f *Follower) look(ctx context.Context) error {
	var p Position
	err := f.j.pool.QueryRow(ctx, `SELECT position FROM followers WHERE name = $1`, f.name).Scan(&p)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("read the position of the follower %s: %w", f.name, err)
	}
	f.advance(p)
	return nil
}

func (f *Follower) progress() (Position, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reached, f.moved
}

func (f *Follower) advance(p Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p > f.reached {
		f.reached = p
		close(f.moved)
		f.moved = make(chan struct{})
	}
}

// follow does the work for as long as this process leads.
func (f *Follower) follow(ctx context.Context, conn *pgx.Conn, well func()) error {
	after, err := f.stored(ctx, conn)
	if err != nil {
		return err
	}
	unused, err := loadGaps(ctx, conn)
	if err != nil {
		return err
	}
	batch := Position(followerBatch)
	for {
		f.advance(after)
		if after >= f.j.Position() {
			select {
			case <-f.more:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		upTo := unused.past(min(f.j.Position(), after+batch))
		switch err := f.handle(ctx, conn, after, upTo); {
		case err == nil:
			well()
			after, batch = upTo, followerBatch
			f.gather(ctx, after)
		case ctx.Err() != nil || conn.IsClosed() || postgres.Unavailable(err):
			return err
		case batch > 1: // for something in it: what is before that is handled
			batch = max(1, min(batch, upTo-after)/2)
		default:
			if err := f.goWithout(ctx, conn, upTo, err); err != nil {
				return err
			}
			after = upTo
		}
	}
}

// goWithout skips an entry that cannot be handled, after some attempts: later ones must
// not wait for it for ever.
func (f *Follower) goWithout(ctx context.Context, conn *pgx.Conn, p Position, cause error) error {
	if f.stuckAt != p {
		f.stuckAt, f.failed = p, 0
	}
	if f.failed++; f.failed < followerAttempts {
		return cause
	}
	f.j.o.Log.ErrorContext(ctx, "an entry of the journal cannot be handled in the background and is left out",
		"follower", f.name, "position", p, "error", cause)
	_, err := conn.Exec(ctx, moveFollower, f.name, p)
	return err
}

const moveFollower = `UPDATE followers SET position = $2 WHERE name = $1`

// gather waits until a step is worth it.
func (f *Follower) gather(ctx context.Context, after Position) {
	if f.j.Position() >= after+followerBatch {
		return
	}
	enough := time.NewTimer(followerGather)
	defer enough.Stop()
	select {
	case <-enough.C:
	case <-f.hurry:
	case <-ctx.Done():
	}
}

// stored reads the position at which the work goes on.
func (f *Follower) stored(ctx context.Context, conn *pgx.Conn) (p Position, err error) {
	err = conn.QueryRow(ctx, `
		INSERT INTO followers (name, position) VALUES ($1, 0)
		ON CONFLICT (name) DO UPDATE SET position = followers.position RETURNING position`, f.name).Scan(&p)
	if err != nil {
		return 0, fmt.Errorf("read the stored position: %w", err)
	}
	return p, nil
}

// handle does one step and moves the stored position, in one transaction.
func (f *Follower) handle(ctx context.Context, conn *pgx.Conn, after, upTo Position) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		err := f.j.guard("a follower of the journal", func() error { return f.step(ctx, tx, after, upTo) })
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, moveFollower, f.name, upTo)
		return err
	})
	if err != nil {
		return fmt.Errorf("handle the entries after %d up to %d: %w", after, upTo, err)
	}
	return nil
}
