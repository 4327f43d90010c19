package journal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres"
	"homeserver/internal/postgres/cluster"
)

// faults breaks connections at a chosen moment.
type faults struct {
	// writes counts down what is sent; the connection breaks with the one that
	// makes it zero.
	writes atomic.Int64
	// answered means that this write is still sent: the connection breaks when its answer
	// has come.
	answered bool
	refuse   atomic.Bool // no new connections
}

type faultyConn struct {
	net.Conn
	f      *faults
	broken atomic.Bool
}

func (c *faultyConn) Write(b []byte) (int, error) {
	if c.f.writes.Add(-1) != 0 {
		return c.Conn.Write(b)
	}
	if !c.f.answered {
		return 0, errors.Join(syscall.EPIPE, c.Close())
	}
	c.broken.Store(true)
	return c.Conn.Write(b)
}

func (c *faultyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.broken.Load() {
		return 0, errors.Join(&net.OpError{Op: "read", Net: "unix", Err: syscall.ECONNRESET}, c.Close())
	}
	return n, err
}

// faultyPool returns a pool on the database at the address. Its connections break as f says.
func faultyPool(t *testing.T, address string, f *faults) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if f.refuse.Load() {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &faultyConn{Conn: conn, f: f}, err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func TestConnectionLostInEachPhase(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		together  bool // another process writes, too
		writes    int64
		answered  bool
		committed bool
	}{
		"before all":                     {false, 1, false, false},
		"all sent, answer lost":          {false, 1, true, true},
		"before BEGIN":                   {true, 1, false, false},
		"BEGIN without answer":           {true, 1, true, false},
		"between reserve and COMMIT":     {true, 2, false, false},
		"during COMMIT with lost answer": {true, 2, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := notesPool(t)
			f := &faults{answered: c.answered}
			j := started(t, faultyPool(t, pool.Config().ConnString(), f), Options{Watch: never})
			want := []string{"before"}
			if c.together {
				commit(t, started(t, pool, Options{Watch: never}), note(1, "other"))
				want = []string{"other", "before"}
			}
			commit(t, j, note(1, "before")) // prepares the statements
			f.writes.Store(c.writes)
			wantUnavailable(t, j.Commit(t.Context(), note(1, "lost")))
			if c.committed {
				want = append(want, "lost")
			}
			commit(t, j, note(1, "after"))
			want = append(want, "after")
			if got := bodies(written(t, pool, 0)); !slices.Equal(got, want) {
				t.Errorf("written are %q, want %q", got, want)
			}
			j.Read(func(v View) {
				last := Position(len(want))
				if v.Position != last || v.At(last).Value != "after" {
					t.Errorf("the window ends at %d with %v", v.Position, v.At(last))
				}
				if c.committed && (!v.Covers(last-2) || v.At(last-1).Value != "lost") {
					t.Errorf("what was committed without an answer is %v in the window", v.At(last-1))
				}
			})
		})
	}
}

func TestCommitWithLostAnswerIsShownWithoutAnotherWrite(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	f := &faults{answered: true}
	j := started(t, faultyPool(t, pool.Config().ConnString(), f), Options{})
	commit(t, j, note(1, "before"))
	l := j.Listen()
	defer l.Close()
	l.Follow(Topic{Room: 1})
	woken := l.Woken()
	f.writes.Store(1)
	wantUnavailable(t, j.Commit(t.Context(), note(1, "lost")))
	select {
	case <-woken:
	case <-within(t).Done():
		t.Fatal("nobody is told of what was committed")
	}
	if j.Position() != 2 {
		t.Errorf("the position is %d", j.Position())
	}
}

func TestWithoutDatabaseEverybodyGetsAnError(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	f := &faults{}
	j := started(t, faultyPool(t, pool.Config().ConnString(), f), Options{GroupWrites: 2, Watch: never})
	release := holdJournal(t, pool)
	var pending []*Pending
	for range 20 {
		p, err := j.Enqueue(note(1, "stuck"))
		if err != nil {
			t.Fatal(err)
		}
		pending = append(pending, p)
	}
	f.refuse.Store(true)
	terminateOthers(t, pool)
	release()
	for _, p := range pending {
		wantUnavailable(t, p.Wait())
	}
	wantUnavailable(t, j.CatchUp(t.Context(), 1)) // a token is not wrong because nobody can tell
	f.refuse.Store(false)
	if err := j.CatchUp(t.Context(), 1); !matrix.IsCode(err, matrix.InvalidParam) {
		t.Errorf("with the database back: %v", err)
	}
	commit(t, j, note(1, "back"))
}

// terminateOthers ends all connections to a database but one's own and that
// which holds the journal's row.
func terminateOthers(t testing.TB, pool *pgxpool.Pool) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `
		SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND query NOT LIKE '%FOR UPDATE%'`)
	if err != nil {
		t.Fatal(err)
	}
}

// untilGivenUp returns when nothing in the database waits for the journal's row any more:
// what was sent before a timeout is broken off there, too.
func untilGivenUp(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	matrixtest.Until(t, "nothing waits in the database any more", func() bool {
		var waiting int
		err := pool.QueryRow(t.Context(), `
			SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting)
		return err == nil && waiting == 0
	})
}

func TestTransactionThatHangsFailsInTime(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	j := New(pool, Options{Watch: never})
	j.timeout = patience / 600
	start(t, j)
	release := holdJournal(t, pool)
	wantUnavailable(t, j.Commit(t.Context(), note(1, "stuck")))
	untilGivenUp(t, pool)
	release()
	matrixtest.Until(t, "a note is written", func() bool { return j.Commit(t.Context(), note(1, "free")) == nil })
	// On a slow machine there may be more than one, as one may be written too late for its answer.
	if got := slices.Compact(bodies(written(t, pool, 0))); !slices.Equal(got, []string{"free"}) {
		t.Errorf("written are %q", got)
	}
}

// load writes notes from several goroutines until it is told to end, and
// remembers what became of them.
type load struct {
	t     testing.TB
	wg    sync.WaitGroup
	ended atomic.Bool

	mu           sync.Mutex
	acknowledged []string
	failed       []string
	changed      *sync.Cond
}

func startLoad(t testing.TB, j *Journal, writers int) *load {
	l := &load{t: t}
	l.changed = sync.NewCond(&l.mu)
	t.Cleanup(l.end)
	for w := range writers {
		l.wg.Go(func() {
			for i := 0; !l.ended.Load(); i++ {
				body := fmt.Sprint(w, "-", i)
				err := j.Commit(t.Context(), note(RoomNID(w), body))
				if err != nil && !postgres.Unavailable(err) {
					t.Errorf("%s: %v is not an outage", body, err)
				}
				l.note(body, err)
			}
		})
	}
	return l
}

func (l *load) note(body string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.acknowledged = append(l.acknowledged, body)
	} else {
		l.failed = append(l.failed, body)
	}
	l.changed.Broadcast()
}

// during does something, and returns when so many more than before have been
// acknowledged and have failed.
func (l *load) during(do func(), acknowledged, failed int) {
	l.t.Helper()
	l.mu.Lock()
	acknowledged, failed = acknowledged+len(l.acknowledged), failed+len(l.failed)
	l.mu.Unlock()
	do()
	ctx := within(l.t)
	defer context.AfterFunc(ctx, l.changed.Broadcast)()
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.acknowledged) < acknowledged || len(l.failed) < failed {
		if ctx.Err() != nil {
			l.t.Fatalf("%d of %d writes were acknowledged, and %d of %d have failed",
				len(l.acknowledged), acknowledged, len(l.failed), failed)
		}
		l.changed.Wait()
	}
}

func (l *load) await(acknowledged int) {
	l.t.Helper()
	l.during(func() {}, acknowledged, 0)
}

func (l *load) end() {
	l.ended.Store(true)
	l.wg.Wait()
}

func TestConnectionKilledUnderLoad(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	pool := notesPool(t)
	j := started(t, pool, Options{GroupWrites: 4})
	l := startLoad(t, j, 8)
	admin := openPool(t, pool.Config().ConnString())
	for range 5 {
		l.await(50)
		l.during(func() { terminateOthers(t, admin) }, 0, 1)
	}
	l.await(50)
	l.end()
	checkOnce(t, admin, l.acknowledged, l.failed)
}

// openPool returns a pool on a database.
func openPool(t testing.TB, address string) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), postgres.Options{URL: address, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// clusterFolder returns a folder that PostgreSQL's own user can enter.
func clusterFolder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "homeserver-journal-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the cluster: %v", err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

func startCluster(t testing.TB, dir string, durable bool) *cluster.Cluster {
	t.Helper()
	cluster, err := cluster.Start(t.Context(), cluster.Options{Dir: dir, Durable: durable})
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	t.Cleanup(func() { stopCluster(t, cluster) })
	return cluster
}

func stopCluster(t testing.TB, cluster *cluster.Cluster) {
	t.Helper()
	if err := cluster.Stop(context.Background()); err != nil {
		t.Errorf("stop PostgreSQL: %v", err)
	}
}

func TestPostgreSQLStoppedAndStartedUnderLoad(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	dir := clusterFolder(t)
	cluster := startCluster(t, dir, true)
	pool := openPool(t, cluster.URL("homeserver"))
	if _, err := pool.Exec(t.Context(), notesSchema); err != nil {
		t.Fatal(err)
	}
	j := started(t, pool, Options{GroupWrites: 4})
	l := startLoad(t, j, 8)
	for range 2 {
		l.await(100)
		l.during(func() { stopCluster(t, cluster) }, 0, 50)
		cluster = startCluster(t, dir, true)
	}
	l.await(100)
	l.end()
	pool = openPool(t, cluster.URL("homeserver"))
	checkOnce(t, pool, l.acknowledged, l.failed)
	if got := written(t, pool, 0); Position(len(got)) != j.Position() {
		t.Errorf("%d notes, position %d", len(got), j.Position())
	}
}

func TestStopWhilePostgreSQLIsDown(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	f := &faults{}
	j := started(t, faultyPool(t, pool.Config().ConnString(), f), Options{})
	f.refuse.Store(true)
	f.writes.Store(1)
	p, err := j.Enqueue(note(1, "too late"))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Stop(within(t)); err != nil {
		t.Error(err)
	}
	if err := p.Wait(); err == nil {
		t.Error("it was acknowledged")
	}
}

// When a transaction hangs, the writes that wait behind it must not wait for one more
// timeout for each group before them.
func TestQueueBehindAHangingTransactionFailsWithIt(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	j := New(pool, Options{Watch: never, GroupWrites: 1})
	j.timeout = patience / 600
	start(t, j)
	release := holdJournal(t, pool)
	var pending []*Pending
	for i := range 5 {
		p, err := j.Enqueue(note(1, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		pending = append(pending, p)
	}
	wantUnavailable(t, pending[0].Wait())
	untilGivenUp(t, pool)
	release()
	for _, p := range pending[1:] {
		wantUnavailable(t, p.Wait())
	}
	if got := written(t, pool, 0); len(got) > 0 {
		t.Errorf("written are %v", got)
	}
}
