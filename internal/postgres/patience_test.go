package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/postgres"
	"homeserver/internal/postgres/postgrestest"
)

// impatient opens a pool of a database of its own that waits as long as a test says.
func impatient(t *testing.T, settings string, most int32, acquire, statement time.Duration) *pgxpool.Pool {
	t.Helper()
	o := postgres.Options{URL: postgrestest.URL(t) + settings, MaxConns: most}
	pool, err := postgres.OpenImpatiently(t.Context(), o, acquire, statement)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
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
	if ctx.Err() != nil || !postgres.Unavailable(err) {
		t.Errorf("%s: got %v, want an outage in time", what, err)
	}
}

func TestWaitForAConnectionEnds(t *testing.T) {
	t.Parallel()
	pool := impatient(t, "", 1, 100*time.Millisecond, 0)
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
	pool := impatient(t, "", 1, time.Minute, time.Second)
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
	pool := impatient(t, "&lock_timeout=10&statement_timeout=20000", 2, 0, 0)
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
