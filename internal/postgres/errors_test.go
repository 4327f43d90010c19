package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"homeserver/internal/postgres"
	"homeserver/internal/postgres/postgrestest"
)

func TestUnavailable(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		err  error
		want bool
	}{
		{"nil", nil, false},
		{"any other error", errors.New("no"), false},
		{"no rows", pgx.ErrNoRows, false},
		{"the caller went away", context.Canceled, false},
		{"the caller went away while connecting", fmt.Errorf("%w: %w", io.EOF, context.Canceled), false},
		{"deadline", context.DeadlineExceeded, true},
		{"end of the connection", io.EOF, true},
		{"end of the connection in a message", io.ErrUnexpectedEOF, true},
		{"closed socket", net.ErrClosed, true},
		{"closed connection", pgconn.ErrConnClosed, true},
		{"network", &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}, true},
		{"name not known", &net.DNSError{Name: "db"}, true},
		{"connection_exception", &pgconn.PgError{Code: "08000"}, true},
		{"connection_failure", &pgconn.PgError{Code: "08006"}, true},
		{"disk_full", &pgconn.PgError{Code: "53100"}, true},
		{"out_of_memory", &pgconn.PgError{Code: "53200"}, true},
		{"too_many_connections", &pgconn.PgError{Code: "53300"}, true},
		{"admin_shutdown", &pgconn.PgError{Code: "57P01"}, true},
		{"crash_shutdown", &pgconn.PgError{Code: "57P02"}, true},
		{"cannot_connect_now", &pgconn.PgError{Code: "57P03"}, true},
		{"io_error", &pgconn.PgError{Code: "58030"}, true},
		{"read_only_sql_transaction", &pgconn.PgError{Code: "25006"}, true},
		{"database_dropped", &pgconn.PgError{Code: "57P04"}, false},
		{"idle_session_timeout", &pgconn.PgError{Code: "57P05"}, true},
		{"idle_in_transaction_session_timeout", &pgconn.PgError{Code: "25P03"}, true},
		{"query_canceled", &pgconn.PgError{Code: "57014"}, true},
		{"lock_not_available", &pgconn.PgError{Code: "55P03"}, true},
		{"unique_violation", &pgconn.PgError{Code: "23505"}, false},
		{"serialization_failure", &pgconn.PgError{Code: "40001"}, false},
		{"invalid_password", &pgconn.PgError{Code: "28P01"}, false},
		{"undefined_table", &pgconn.PgError{Code: "42P01"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			wrapped := test.err
			if wrapped != nil {
				wrapped = fmt.Errorf("load the room: %w", test.err)
			}
			if got := postgres.Unavailable(wrapped); got != test.want {
				t.Errorf("Unavailable(%v) = %v, want %v", wrapped, got, test.want)
			}
		})
	}
}

func TestKilledSessionIsUnavailable(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	_, err := pool.Exec(t.Context(), "SELECT pg_terminate_backend(pg_backend_pid())")
	if !postgres.Unavailable(err) {
		t.Errorf("Unavailable(%v) = false", err)
	}
	if _, err := pool.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Errorf("the pool did not recover: %v", err)
	}
}

func TestTooManyConnectionsIsUnavailable(t *testing.T) {
	t.Parallel()
	address, name := emptyDatabase(t, "ENCODING 'UTF8' LOCALE 'C'")
	admin := connect(t, postgrestest.URL(t))
	if _, err := admin.Exec(t.Context(), "ALTER DATABASE "+name+" CONNECTION LIMIT 0"); err != nil {
		t.Fatal(err)
	}
	_, err := pgx.Connect(t.Context(), address)
	if !postgres.Unavailable(err) {
		t.Errorf("Unavailable(%v) = false", err)
	}
}

func TestExhaustedPoolIsUnavailable(t *testing.T) {
	t.Parallel()
	pool, err := postgres.Open(t.Context(), postgres.Options{URL: postgrestest.URL(t), MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	if _, err := pool.Exec(ctx, "SELECT 1"); !postgres.Unavailable(err) {
		t.Errorf("Unavailable(%v) = false", err)
	}
	conn.Release()
	pool.Close()
	if _, err := pool.Exec(t.Context(), "SELECT 1"); !postgres.Unavailable(err) {
		t.Errorf("after the pool was closed: Unavailable(%v) = false", err)
	}
}

func TestMistakesAreNotUnavailable(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, gone := pool.Exec(cancelled, "SELECT 1")
	_, wrong := pool.Exec(t.Context(), "SELECT nonsense")
	for _, err := range []error{gone, wrong} {
		if err == nil || postgres.Unavailable(err) {
			t.Errorf("Unavailable(%v) = true", err)
		}
	}
}
