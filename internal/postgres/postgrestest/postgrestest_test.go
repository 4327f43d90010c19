package postgrestest_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/postgres"
	"homeserver/internal/postgres/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

func TestEachTestHasItsOwnDatabase(t *testing.T) {
	t.Parallel()
	for i := range 20 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			pool := postgrestest.New(t)
			if _, err := pool.Exec(t.Context(), "CREATE TABLE mine (n int)"); err != nil {
				t.Errorf("the database is not fresh: %v", err)
			}
			var migrated bool
			err := pool.QueryRow(t.Context(), "SELECT to_regclass('journal') IS NOT NULL").Scan(&migrated)
			if err != nil || !migrated {
				t.Errorf("migrated = %v, %v", migrated, err)
			}
		})
	}
}

func TestDatabaseIsMigrated(t *testing.T) {
	t.Parallel()
	from, to, err := postgres.Migrate(t.Context(), postgrestest.URL(t))
	if err != nil || from != to || to == 0 {
		t.Errorf("Migrate = %d, %d, %v: there was something left to do", from, to, err)
	}
}

func TestDatabaseGoesWithTheTest(t *testing.T) {
	t.Parallel()
	outer := postgrestest.New(t)
	var name string
	t.Run("inner", func(t *testing.T) {
		address := postgrestest.URL(t)
		conn, err := pgx.Connect(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		// Open connections, such as those of a server that the test has killed, do not
		// prevent it.
		t.Cleanup(func() { _ = conn.PgConn().Conn().Close() })
		name = conn.Config().Database
	})
	var exists bool
	err := outer.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists)
	if err != nil || exists {
		t.Errorf("database %s exists = %v, %v", name, exists, err)
	}
}

func TestPoolIsSmall(t *testing.T) {
	t.Parallel()
	if got := postgrestest.New(t).Config().MaxConns; got != 8 {
		t.Errorf("a test's pool has up to %d connections, want 8", got)
	}
}

// The tests of this package run again, in a process that uses the server of this one.
func TestGivenServerIsUsed(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	templates := func() (n int) {
		err := pool.QueryRow(context.WithoutCancel(t.Context()),
			"SELECT count(*) FROM pg_database WHERE datname LIKE 'template\\_%'").Scan(&n)
		if err != nil {
			t.Error(err)
		}
		return n
	}
	before := templates()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEachTestHasItsOwnDatabase$")
	cmd.Env = append(os.Environ(), "HOMESERVER_TEST_DATABASE_URL="+postgrestest.URL(t))
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if after := templates(); after != before {
		t.Errorf("there are %d templates and were %d: the other process has left some", after, before)
	}
}

func TestUnreachableServerIsAClearFailure(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPoolIsSmall$")
	cmd.Env = append(os.Environ(), "HOMESERVER_TEST_DATABASE_URL=postgres://me@/db?host="+t.TempDir())
	output, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(output), "start PostgreSQL for the tests") {
		t.Errorf("%v: %s", err, output)
	}
}
