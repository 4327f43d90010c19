package plantest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Session is a connection that keeps statements prepared, as those of the server do.
type Session struct {
	t        testing.TB
	conn     *pgxpool.Conn
	prepared map[string]*pgconn.StatementDescription // by text
}

// NewSession takes a connection of a pool, with its settings, until the test ends.
func NewSession(t testing.TB, pool *pgxpool.Pool) *Session {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Release)
	return &Session{t, conn, map[string]*pgconn.StatementDescription{}}
}

// Exec runs a command.
func (s *Session) Exec(sql string) {
	s.t.Helper()
	if _, err := s.conn.Exec(s.t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		s.t.Fatalf("%v: %s", err, sql)
	}
}

// Plan has a statement planned, unless its plan is kept, and returns the plan.
func (s *Session) Plan(q Statement) Node { return s.explain(`FORMAT JSON`, q) }

// Run does the same for a statement that reads, and runs it.
func (s *Session) Run(q Statement) Node {
	return s.explain(`ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON`, q)
}

func (s *Session) explain(how string, q Statement) Node {
	s.t.Helper()
	var plans []struct{ Plan Node }
	err := s.conn.QueryRow(s.t.Context(), `EXPLAIN (`+how+`) EXECUTE `+s.call(q), pgx.QueryExecModeSimpleProtocol).Scan(&plans)
	if err != nil {
		s.t.Fatalf("%v: %s", err, q.SQL)
	}
	return plans[0].Plan
}

// call returns the call of a statement, which it prepares when it first comes.
func (s *Session) call(q Statement) string {
	s.t.Helper()
	prepared := s.prepared[q.SQL]
	if prepared == nil {
		var err error
		if prepared, err = s.conn.Conn().Prepare(s.t.Context(), fmt.Sprint("q", len(s.prepared)), q.SQL); err != nil {
			s.t.Fatalf("%v: %s", err, q.SQL)
		}
		s.prepared[q.SQL] = prepared
	}
	if len(q.Args) == 0 {
		return prepared.Name
	}
	args := make([]string, len(q.Args))
	for i, arg := range q.Args {
		text, err := s.conn.Conn().TypeMap().Encode(prepared.ParamOIDs[i], pgx.TextFormatCode, arg, []byte{})
		if err != nil {
			s.t.Fatalf("%v: argument %d of %s", err, i+1, q.SQL)
		}
		if args[i] = `NULL`; text != nil {
			args[i] = `'` + strings.ReplaceAll(string(text), `'`, `''`) + `'`
		}
	}
	return prepared.Name + `(` + strings.Join(args, `, `) + `)`
}
