package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// impatient opens a pool that waits as long as a test says.
func impatient(t *testing.T, url string, most int32, p *patience) *pgxpool.Pool {
	t.Helper()
	config, err := poolConfig(Options{URL: url, MaxConns: most})
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.Tracer = p
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	p.pool.Store(pool)
	return pool
}

// patiently bounds what must end by itself, so that a test that fails does not hang.
func patiently(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// wantSlow fails the test unless the error is an outage, and not the end of the test's
// own patience.
func wantSlow(ctx context.Context, t *testing.T, what string, err error) {
	t.Helper()
	if ctx.Err() != nil || !Unavailable(err) {
		t.Errorf("%s: got %v, want an outage in time", what, err)
	}
}

func TestWaitForAConnectionEnds(t *testing.T) {
	t.Parallel()
	cluster := start(t, ClusterOptions{Dir: folder(t)})
	pool := impatient(t, cluster.URL("homeserver"), 1, &patience{acquire: 100 * time.Millisecond})
	ctx := patiently(t)
	held, err := pool.Acquire(ctx)
	for err != nil && ctx.Err() == nil { // a busy machine may need longer to connect
		held, err = pool.Acquire(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = pool.Exec(ctx, "SELECT 1")
	wantSlow(ctx, t, "a statement without a connection", err)
	held.Release()
	for err != nil && ctx.Err() == nil {
		_, err = pool.Exec(ctx, "SELECT 1")
	}
	if err != nil {
		t.Errorf("with a connection: %v", err)
	}
}

// PostgreSQL ends no statement if it stands still itself.
func TestStatementThatIsNeverAnsweredEnds(t *testing.T) {
	t.Parallel()
	cluster := start(t, ClusterOptions{Dir: folder(t)})
	pool := impatient(t, cluster.URL("homeserver"), 1, &patience{acquire: time.Minute, statement: time.Second})
	if _, err := pool.Exec(t.Context(), "SET statement_timeout = 0"); err != nil {
		t.Fatal(err)
	}
	ctx := patiently(t)
	_, err := pool.Exec(ctx, "SELECT pg_sleep(3600)")
	wantSlow(ctx, t, "a statement", err)
	_, err = pool.Exec(ctx, "SET statement_timeout = 0") // on another connection
	if err != nil {
		t.Fatal(err)
	}
	b := &pgx.Batch{}
	b.Queue("SELECT pg_sleep(3600)")
	wantSlow(ctx, t, "a batch", pool.SendBatch(ctx, b).Close())
	_, err = pool.Exec(ctx, "SET statement_timeout = 0")
	if err != nil {
		t.Fatal(err)
	}
	var n int
	wantSlow(ctx, t, "a row", pool.QueryRow(ctx, "SELECT 1 FROM pg_sleep(3600)").Scan(&n))
}

func TestLockAndStatementTimeoutsAreOutages(t *testing.T) {
	t.Parallel()
	cluster := start(t, ClusterOptions{Dir: folder(t)})
	pool := impatient(t, cluster.URL("homeserver")+"&lock_timeout=10&statement_timeout=20000", 2, &patience{})
	ctx := patiently(t)
	holder, err := pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(ctx, "SELECT pg_advisory_xact_lock(1)"); err != nil {
		t.Fatal(err)
	}
	_, err = pool.Exec(ctx, "SELECT pg_advisory_xact_lock(1)")
	wantSlow(ctx, t, "waiting for a lock", err)
	if err := holder.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	_, err = pool.Exec(ctx, "SET statement_timeout = 10; SELECT pg_sleep(3600)", pgx.QueryExecModeSimpleProtocol)
	wantSlow(ctx, t, "sleeping", err)
}

// After a restart each connection of the pool is dead. Only who finds that out first
// must pay for it.
func TestPoolLetsGoOfConnectionsThatDiedWithPostgreSQL(t *testing.T) {
	t.Parallel()
	const most = 8
	cluster := start(t, ClusterOptions{Dir: folder(t), Durable: true})
	pool, err := Open(t.Context(), Options{URL: cluster.URL("homeserver"), MaxConns: most})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	fill := func() {
		var held []*pgxpool.Conn
		for range most {
			conn, err := pool.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, conn)
		}
		for _, conn := range held {
			conn.Release()
		}
	}
	fill()
	before := running(cluster)
	cluster.signal(immediateShutdown)
	<-before.gone
	probe := eventualConn(t, cluster.URL("homeserver"))
	if err := probe.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for range most {
		if _, err := pool.Exec(t.Context(), "SELECT 1"); err != nil {
			failed++
		}
	}
	if failed > 1 {
		t.Errorf("%d of %d statements failed after PostgreSQL was there again", failed, most)
	}
}

// eventualConn connects as soon as PostgreSQL lets it.
func eventualConn(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	ctx := patiently(t)
	for {
		conn, err := pgx.Connect(ctx, url)
		if err == nil {
			return conn
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

func TestPatienceFollowsTheStatementTimeout(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]time.Duration{
		"postgres://db/matrix":                        30*time.Second + lateness,
		"postgres://db/matrix?statement_timeout=1500": 1500*time.Millisecond + lateness,
		"postgres://db/matrix?statement_timeout=2s":   2*time.Second + lateness,
		"postgres://db/matrix?statement_timeout=0":    0,
		"postgres://db/matrix?statement_timeout=1d":   0,
	} {
		config, err := poolConfig(Options{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		if got := newPatience(config.ConnConfig).statement; got != want {
			t.Errorf("%s: %v, want %v", url, got, want)
		}
	}
}
