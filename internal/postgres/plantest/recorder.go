package plantest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Statement is a statement with its arguments.
type Statement struct {
	SQL  string
	Args []any
}

// Reads reports whether the statement changes nothing.
func (s Statement) Reads() bool {
	words := strings.Fields(s.SQL)
	if len(words) == 0 || words[0] != "SELECT" && words[0] != "WITH" {
		return false
	}
	for _, word := range words {
		switch strings.TrimLeft(word, "(") {
		case "INSERT", "UPDATE", "DELETE", "pg_notify", "expect_rows":
			return false
		}
	}
	return true
}

// Recorder records the statements of a pool.
type Recorder struct {
	mu   sync.Mutex
	list []Statement
}

// Record returns another pool of the same database, and what records its statements. The
// pool is closed when the test ends.
func Record(t testing.TB, pool *pgxpool.Pool) (*pgxpool.Pool, *Recorder) {
	t.Helper()
	r := &Recorder{}
	config := pool.Config().Copy()
	config.ConnConfig.Tracer = r
	recorded, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(recorded.Close)
	return recorded, r
}

// Take returns the statements since its last call, but for those with which the journal's work in
// the background begins, and for those by which processes find each other, which are sent at any time.
func (r *Recorder) Take() []Statement {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.list
	r.list = nil
	return slices.DeleteFunc(list, func(q Statement) bool {
		return strings.Contains(q.SQL, "wait_to_lead") || strings.Contains(q.SQL, "FROM outbox") || q.SQL == "SELECT position FROM journal" || q.greets()
	})
}

// greets reports whether the statement says to other processes no more than that this one is there.
func (s Statement) greets() bool {
	if !strings.Contains(s.SQL, "pg_notify") || len(s.Args) != 1 {
		return false
	}
	messages, _ := s.Args[0].([]string)
	return len(messages) > 0 && !slices.ContainsFunc(messages, func(m string) bool {
		return !strings.HasSuffix(m, " hello ") && !strings.HasSuffix(m, " here ")
	})
}

func (r *Recorder) add(sql string, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, Statement{sql, args})
}

// TraceQueryStart makes Recorder a pgx.QueryTracer.
func (r *Recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	r.add(q.SQL, q.Args)
	return ctx
}

// TraceBatchStart makes it a pgx.BatchTracer.
func (r *Recorder) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	for _, q := range data.Batch.QueuedQueries {
		r.add(q.SQL, q.Arguments)
	}
	return ctx
}

// TraceQueryEnd does nothing.
func (r *Recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TraceBatchQuery does nothing.
func (r *Recorder) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd does nothing.
func (r *Recorder) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}
