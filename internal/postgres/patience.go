package postgres

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// acquireTimeout is how long a statement waits for a connection of the pool. If it
	// waits longer there are too many.
	acquireTimeout = 10 * time.Second
	// lateness is how much later than PostgreSQL itself this process cancels a
	// statement: for a PostgreSQL, a machine or a network that does not answer at all.
	lateness = 5 * time.Second
)

// patience bounds how long this process waits for PostgreSQL, and drops connections
// that died with it. It is a tracer because pgx calls that for every statement and
// every wait for a connection.
type patience struct {
	acquire   time.Duration
	statement time.Duration // 0: for ever
	pool      atomic.Pointer[pgxpool.Pool]
}

// newPatience is for connections of this configuration: its statement_timeout bounds a
// statement.
func newPatience(config *pgx.ConnConfig) *patience {
	p := &patience{acquire: acquireTimeout}
	if timeout := parseTimeout(config.RuntimeParams["statement_timeout"]); timeout > 0 {
		p.statement = timeout + lateness
	}
	return p
}

// parseTimeout reads a time as PostgreSQL has it, in milliseconds unless it has a unit;
// 0 for a text that it does not understand, which is left to PostgreSQL.
func parseTimeout(text string) time.Duration {
	if ms, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(ms) * time.Millisecond
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0
	}
	return d
}

type cancelKey struct{}

// bound returns a context that ends after a time, unless release is called before.
func bound(ctx context.Context, after time.Duration) context.Context {
	if after <= 0 {
		return ctx
	}
	ctx, cancel := context.WithTimeout(ctx, after)
	return context.WithValue(ctx, cancelKey{}, cancel)
}

func release(ctx context.Context) {
	if cancel, ok := ctx.Value(cancelKey{}).(context.CancelFunc); ok {
		cancel()
	}
}

// TraceAcquireStart makes patience a pgxpool.AcquireTracer.
func (p *patience) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	return bound(ctx, p.acquire)
}

// TraceAcquireEnd makes patience a pgxpool.AcquireTracer.
func (p *patience) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireEndData) {
	release(ctx)
}

// TraceQueryStart makes patience a pgx.QueryTracer.
func (p *patience) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return bound(ctx, p.statement)
}

// TraceQueryEnd makes patience a pgx.QueryTracer.
func (p *patience) TraceQueryEnd(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryEndData) {
	release(ctx)
	p.check(conn, data.Err)
}

// TraceBatchStart makes patience a pgx.BatchTracer.
func (p *patience) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return bound(ctx, p.statement)
}

// TraceBatchQuery makes patience a pgx.BatchTracer.
func (p *patience) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd makes patience a pgx.BatchTracer.
func (p *patience) TraceBatchEnd(ctx context.Context, conn *pgx.Conn, data pgx.TraceBatchEndData) {
	release(ctx)
	p.check(conn, data.Err)
}

// check checks how a statement has ended. If PostgreSQL has closed the connection, it
// has most likely closed all: those of the pool are made anew, instead of failing one
// request after the other.
func (p *patience) check(conn *pgx.Conn, err error) {
	if err == nil || !conn.IsClosed() || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || !Unavailable(err) {
		return
	}
	if pool := p.pool.Load(); pool != nil {
		pool.Reset()
	}
}
