package journal

import (
	"context"
	"errors"
	"fmt"
	"homeserver/internal/matrixtest"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// copies is a follower that copies the notes, in the same transaction, and can be
// told to fail.
type copies struct {
	mu      sync.Mutex
	fail    error
	panic   bool
	steps   [][2]Position
	blocked chan struct{} // where not nil, a step waits until it is closed
}

func (c *copies) step(ctx context.Context, tx pgx.Tx, after, upTo Position) error {
	c.mu.Lock()
	c.steps = append(c.steps, [2]Position{after, upTo})
	fail, panics, blocked := c.fail, c.panic, c.blocked
	c.mu.Unlock()
	if blocked != nil {
		select {
		case <-blocked:
		case <-ctx.Done():
		}
	}
	if panics {
		panic("this is not understood")
	}
	_, err := tx.Exec(ctx, `INSERT INTO copies SELECT position, body FROM notes WHERE position > $1 AND position <= $2`, after, upTo)
	return errors.Join(err, fail)
}

func (c *copies) set(fail error, panics bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail, c.panic = fail, panics
}

func (c *copies) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.steps)
}

// following returns a journal and its follower, both started.
func following(t testing.TB, pool *pgxpool.Pool, c *copies) (*Journal, *Follower) {
	t.Helper()
	j := New(pool, Options{})
	f := j.Follower("copies", c.step)
	start(t, j)
	f.Start(t.Context())
	t.Cleanup(f.Stop)
	return j, f
}

func copiesPool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool := notesPool(t)
	if _, err := pool.Exec(t.Context(), `CREATE TABLE copies (position bigint PRIMARY KEY, body text)`); err != nil {
		t.Fatal(err)
	}
	return pool
}

// copied checks that each note up to now was copied once, in order.
func copied(t testing.TB, pool *pgxpool.Pool) int {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT position, body FROM copies ORDER BY position`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		t.Fatal(err)
	}
	if want := written(t, pool, 0); !slices.Equal(got, want) {
		t.Errorf("copied %v, want %v", got, want)
	}
	return len(got)
}

func TestFollowerSeesEverythingOnceAndInOrder(t *testing.T) {
	t.Parallel()
	pool := copiesPool(t)
	c := &copies{}
	j, f := following(t, pool, c)
	for i := range 50 {
		commit(t, j, note(1, fmt.Sprint(i)))
		if i%10 == 0 { // after Await the copies have all that was written before
			if err := f.Await(within(t), j.Position()); err != nil {
				t.Fatal(err)
			}
			copied(t, pool)
		}
	}
	if err := f.Await(within(t), j.Position()); err != nil {
		t.Fatal(err)
	}
	if n := copied(t, pool); n != 50 {
		t.Errorf("%d copies", n)
	}
}

func TestFollowersAreAwaitedAllTogether(t *testing.T) {
	t.Parallel()
	pool := copiesPool(t)
	c := &copies{blocked: make(chan struct{})}
	j, f := following(t, pool, c)
	commit(t, j, note(1, "one"))
	last := j.Position()
	done := make(chan error, 1)
	go func() { done <- j.AwaitFollowers(t.Context()) }()
	matrixtest.Until(t, "the follower is at work", func() bool { return c.count() > 0 })
	select {
	case err := <-done:
		t.Fatalf("it was not waited for (%v)", err)
	default:
	}
	close(c.blocked)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if reached, _ := f.progress(); reached < last {
		t.Errorf("the follower is at %d of %d", reached, last)
	}
}

func TestFollowerGoesOnWhereItEnded(t *testing.T) {
	t.Parallel()
	pool := copiesPool(t)
	j := started(t, pool, Options{})
	const notes = followerBatch + 500
	big := &Write{}
	for i := range notes { // from before there was a follower
		big.Entries = append(big.Entries, note(1, fmt.Sprint(i)).Entries...)
	}
	commit(t, j, big)
	for round := range 3 {
		c := &copies{}
		j, f := following(t, pool, c)
		commit(t, j, note(1, fmt.Sprint("round ", round)))
		if err := f.Await(within(t), j.Position()); err != nil {
			t.Fatal(err)
		}
		f.Stop()
		if n := copied(t, pool); n != notes+2*round+1 {
			t.Errorf("round %d: %d copies", round, n)
		}
		for _, s := range c.steps {
			if s[1]-s[0] > followerBatch || round > 0 && s[0] < notes {
				t.Errorf("round %d: a step after %d up to %d", round, s[0], s[1])
			}
		}
		commit(t, j, note(1, fmt.Sprint("while nobody follows ", round)))
	}
}

func TestFollowerTriesAgain(t *testing.T) {
	t.Parallel()
	pool := copiesPool(t)
	c := &copies{fail: errors.New("not now")}
	j, f := following(t, pool, c)
	commit(t, j, note(1, "first"))
	failed := func(more int) {
		t.Helper()
		from := c.count()
		matrixtest.Until(t, "it tries again", func() bool { return c.count() >= from+more })
	}
	failed(1)
	if n, _ := f.progress(); n != 0 {
		t.Errorf("it claims to have come to %d", n)
	}
	c.set(nil, true)
	failed(1)
	c.set(nil, false)
	if err := f.Await(within(t), 1); err != nil {
		t.Fatal(err)
	}
	copied(t, pool)
}

func TestFollowerLeadsInOneProcess(t *testing.T) {
	t.Parallel()
	pool := copiesPool(t)
	one, other := &copies{}, &copies{}
	j, f := following(t, pool, one)
	commit(t, j, note(1, "a"))
	if err := f.Await(within(t), 1); err != nil {
		t.Fatal(err)
	}
	j2, f2 := following(t, openPool(t, pool.Config().ConnString()), other)
	for i := range 20 {
		commit(t, j2, note(1, fmt.Sprint(i)))
	}
	if err := j.CatchUp(t.Context(), j2.Position()); err != nil {
		t.Fatal(err)
	}
	if err := f2.Await(within(t), j2.Position()); err != nil { // waits for the other process
		t.Fatal(err)
	}
	copied(t, pool)
	if n := other.count(); n != 0 {
		t.Errorf("the second process has done %d steps", n)
	}
	f.Stop()
	commit(t, j2, note(1, "after"))
	if err := f2.Await(within(t), j2.Position()); err != nil { // takes over
		t.Fatal(err)
	}
	copied(t, pool)
	if other.count() == 0 {
		t.Error("nobody leads")
	}
}

func TestFollowerHoldsUpNobody(t *testing.T) {
	t.Parallel()
	pool := copiesPool(t)
	c := &copies{blocked: make(chan struct{})}
	j, f := following(t, pool, c)
	for i := range 10 {
		commit(t, j, note(1, fmt.Sprint(i)))
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := f.Await(short, j.Position()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	close(c.blocked)
	if err := f.Await(within(t), j.Position()); err != nil {
		t.Fatal(err)
	}
	copied(t, pool)
}

func TestFollowerStopsInTheMiddle(t *testing.T) {
	t.Parallel()
	pool := copiesPool(t)
	c := &copies{blocked: make(chan struct{})}
	j, f := following(t, pool, c)
	commit(t, j, note(1, "a"))
	matrixtest.Until(t, "it copies", func() bool { return c.count() > 0 })
	f.Stop()
	if n := len(written(t, pool, 0)); n != 1 {
		t.Errorf("%d notes", n)
	}
	never := New(pool, Options{}).Follower("copies", c.step)
	never.Stop() // was not started
}

// One entry that cannot be handled, by a mistake in the program say, must not keep the
// follower from all that come after.
func TestFollowerGoesOnWithoutWhatItCannotHandle(t *testing.T) {
	t.Parallel()
	pool := copiesPool(t)
	var log lines
	j := New(pool, Options{Watch: never, Log: slog.New(slog.NewTextHandler(&log, nil))})
	const bad = 7
	c := &copies{}
	f := j.Follower("copies", func(ctx context.Context, tx pgx.Tx, after, upTo Position) error {
		if after < bad && bad <= upTo {
			return errors.New("this is not understood")
		}
		return c.step(ctx, tx, after, upTo)
	})
	start(t, j)
	for i := range 20 {
		commit(t, j, note(1, fmt.Sprint(i)))
	}
	f.Start(t.Context())
	t.Cleanup(f.Stop)
	if err := f.Await(within(t), 20); err != nil {
		t.Fatal(err)
	}
	rows, _ := pool.Query(t.Context(), `SELECT position FROM copies ORDER BY position`)
	got, err := pgx.CollectRows(rows, pgx.RowTo[Position])
	if err != nil || len(got) != 19 || got[5] != bad-1 || got[6] != bad+1 {
		t.Errorf("copied are %v (%v)", got, err)
	}
	if text := log.text.String(); !strings.Contains(text, "follower=copies position=7 error=") {
		t.Errorf("the log says: %s", text)
	}
}

// counted counts the connections that are made with a configuration, and the queries.
type counted struct{ connections, queries atomic.Int64 }

func (c *counted) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if strings.Contains(q.SQL, "wait_to_lead") {
		c.queries.Add(1)
	}
	return ctx
}

func (c *counted) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (c *counted) pool(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.Tracer = c
	config.ConnConfig.AfterConnect = func(context.Context, *pgconn.PgConn) error {
		c.connections.Add(1)
		return nil
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// Each follower of a process that did not lead made a new connection every second.
func TestWhoWaitsToLeadKeepsItsConnection(t *testing.T) {
	t.Parallel()
	pool := copiesPool(t)
	one := &copies{}
	j, leader := following(t, pool, one)
	commit(t, j, note(1, "a"))
	if err := leader.Await(within(t), 1); err != nil {
		t.Fatal(err)
	}
	var idle counted
	j2 := New(idle.pool(t, pool.Config().ConnString()), Options{Watch: never})
	other := &copies{}
	f := j2.Follower("copies", other.step)
	f.wait = time.Millisecond
	start(t, j2)
	f.Start(t.Context())
	t.Cleanup(f.Stop)
	const once, attempts = 3, 50
	matrixtest.Until(t, "it tries once", func() bool { return idle.queries.Load() >= once })
	made := idle.connections.Load()
	matrixtest.Until(t, "it tries again and again", func() bool { return idle.queries.Load() >= once+attempts })
	if n := idle.connections.Load() - made; n != 0 {
		t.Errorf("%d connections were made while it waited", n)
	}
	leader.Stop()
	commit(t, j2, note(1, "b"))
	if err := f.Await(within(t), j2.Position()); err != nil { // it takes over
		t.Fatal(err)
	}
	copied(t, pool)
	if other.count() == 0 {
		t.Error("nobody leads")
	}
}
