package postgres_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"homeserver/internal/postgres"
	"homeserver/internal/postgres/postgrestest"
)

func TestOpenBoundsEverythingThatCouldHang(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	for setting, want := range map[string]string{
		"application_name":                    "homeserver",
		"TimeZone":                            "UTC",
		"statement_timeout":                   "30s",
		"lock_timeout":                        "10s",
		"idle_in_transaction_session_timeout": "1min",
		"plan_cache_mode":                     "force_generic_plan",
	} {
		var got string
		err := pool.QueryRow(t.Context(), "SELECT current_setting($1)", setting).Scan(&got)
		if err != nil || got != want {
			t.Errorf("%s = %q, %v; want %q", setting, got, err, want)
		}
	}
}

func TestOpenHonoursTheURL(t *testing.T) {
	t.Parallel()
	address := postgrestest.URL(t) + "&application_name=mine&statement_timeout=5000&plan_cache_mode=auto&pool_max_conns=3"
	pool, err := postgres.Open(t.Context(), postgres.Options{URL: address})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var name, timeout, plans string
	err = pool.QueryRow(t.Context(), "SELECT current_setting('application_name'), current_setting('statement_timeout'), current_setting('plan_cache_mode')").
		Scan(&name, &timeout, &plans)
	if err != nil || name != "mine" || timeout != "5s" || plans != "auto" {
		t.Errorf("application_name = %q, statement_timeout = %q, plan_cache_mode = %q, %v", name, timeout, plans, err)
	}
	if got := pool.Config().MaxConns; got != 3 {
		t.Errorf("the pool has up to %d connections, want 3", got)
	}
}

func TestOpenBoundsThePool(t *testing.T) {
	t.Parallel()
	address := postgrestest.URL(t)
	for _, test := range []struct {
		options postgres.Options
		want    int32
	}{
		{postgres.Options{URL: address}, 20},
		{postgres.Options{URL: address, MaxConns: 5}, 5},
		{postgres.Options{URL: address + "&pool_max_conns=3", MaxConns: 5}, 5},
	} {
		pool, err := postgres.Open(t.Context(), test.options)
		if err != nil {
			t.Fatal(err)
		}
		if got := pool.Config().MaxConns; got != test.want {
			t.Errorf("the pool has up to %d connections, want %d", got, test.want)
		}
		pool.Close()
	}
}

func TestOpenRefusesUnfitDatabases(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, options, want string }{
		{"encoding", "ENCODING 'SQL_ASCII' LOCALE 'C'", "not as UTF8"},
		{"collation", "ENCODING 'UTF8' LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'en-US'", "does not sort text bytewise"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.name == "collation" {
				skipBefore15(t)
			}
			address, name := emptyDatabase(t, test.options)
			_, err := postgres.Open(t.Context(), postgres.Options{URL: address})
			if err == nil {
				t.Fatal("the database was accepted")
			}
			if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), name) {
				t.Errorf("the error does not say what is wrong: %v", err)
			}
			_, command, _ := strings.Cut(err.Error(), "make another with: ")
			admin := connect(t, postgrestest.URL(t))
			if _, err := admin.Exec(t.Context(), command); err != nil {
				t.Errorf("the command that the error suggests, %q: %v", command, err)
			}
			better := strings.Replace(address, name, name+"_c", 1)
			pool, err := postgres.Open(t.Context(), postgres.Options{URL: better})
			if err != nil {
				t.Fatalf("open the database that was made as the error says: %v", err)
			}
			pool.Close()
			if _, err := admin.Exec(t.Context(), "DROP DATABASE "+name+"_c WITH (FORCE)"); err != nil {
				t.Errorf("drop it: %v", err)
			}
		})
	}
}

// skipBefore15 skips a test of collations that older servers do not have.
func skipBefore15(t *testing.T) {
	t.Helper()
	var version int
	err := postgrestest.New(t).QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&version)
	if err != nil {
		t.Fatal(err)
	}
	if version < 150000 {
		t.Skip("PostgreSQL 14 has no ICU databases")
	}
}

func TestOpenAcceptsPOSIXCollation(t *testing.T) {
	t.Parallel()
	address, _ := emptyDatabase(t, "ENCODING 'UTF8' LOCALE 'POSIX'")
	pool, err := postgres.Open(t.Context(), postgres.Options{URL: address})
	if err != nil {
		t.Fatal(err)
	}
	pool.Close()
}

func TestOpenDoesNotWaitForAMistake(t *testing.T) {
	t.Parallel()
	var logged strings.Builder
	log := slog.New(slog.NewTextHandler(&logged, nil))
	address := strings.Replace(postgrestest.URL(t), "/test_", "/missing_", 1)
	_, err := postgres.Open(t.Context(), postgres.Options{URL: address, Log: log})
	if err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("a missing database gave %v", err)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("the error has several lines: %v", err)
	}
	if logged.Len() != 0 {
		t.Errorf("it waited: %s", &logged)
	}
}

func TestOpenKeepsThePasswordToItself(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"postgres://me:verysecret@localhost:none/db",
		"postgres://me:verysecret@localhost/db?sslmode=perhaps",
		"postgres://me:verysecret@localhost/db?pool_max_conns=many",
	} {
		_, err := postgres.Open(t.Context(), postgres.Options{URL: address})
		if err == nil {
			t.Errorf("%s was accepted", address)
			continue
		}
		if strings.Contains(err.Error(), "verysecret") {
			t.Errorf("the error shows the password: %v", err)
		}
		if !strings.Contains(err.Error(), "database.url") {
			t.Errorf("the error does not name the key: %v", err)
		}
	}
}

// A server that is not there yet, such as the container beside ours, is waited
// for, and the log says so.
func TestOpenWaitsForTheServerToStart(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "closed"))
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, writer := io.Pipe()
	defer func() { _ = reader.Close() }()
	opened := make(chan error, 1)
	go func() {
		_, err := postgres.Open(ctx, postgres.Options{
			URL: "postgres://me@/db?host=" + t.TempDir(),
			Log: slog.New(slog.NewTextHandler(writer, nil)),
		})
		opened <- err
	}()
	line := make([]byte, 4096)
	n, err := reader.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(line[:n]), "waiting for PostgreSQL") {
		t.Errorf("logged %q", line[:n])
	}
	cancel()
	if err := <-opened; !errors.Is(err, context.Canceled) {
		t.Errorf("after giving up, Open returned %v", err)
	}
}
