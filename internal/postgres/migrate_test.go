package postgres_test

import (
	"strings"
	"sync"
	"testing"

	"homeserver/internal/postgres"
	"homeserver/internal/postgres/postgrestest"
)

func TestMigrateReportsTheVersions(t *testing.T) {
	t.Parallel()
	address, _ := emptyDatabase(t, "ENCODING 'UTF8' LOCALE 'C'")
	from, to, err := postgres.Migrate(t.Context(), address)
	if err != nil || from != 0 || to == 0 {
		t.Fatalf("the first Migrate = %d, %d, %v", from, to, err)
	}
	again, same, err := postgres.Migrate(t.Context(), address)
	if err != nil || again != to || same != to {
		t.Errorf("the second Migrate = %d, %d, %v; want %d, %d", again, same, err, to, to)
	}
}

func TestProcessesThatStartTogetherMigrateOnce(t *testing.T) {
	t.Parallel()
	address, _ := emptyDatabase(t, "ENCODING 'UTF8' LOCALE 'C'")
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		moved int
	)
	for range 6 {
		all.Go(func() {
			from, to, err := postgres.Migrate(t.Context(), address)
			if err != nil {
				t.Errorf("migrate: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if from != to {
				moved++
			}
		})
	}
	all.Wait()
	if moved != 1 {
		t.Errorf("%d of the processes migrated, want 1", moved)
	}
}

// A lock_timeout is for requests: a process that waits for the long migration of another
// must not give up.
func TestMigrateWaitsLongerThanARequest(t *testing.T) {
	t.Parallel()
	address := postgrestest.URL(t)
	holder := connect(t, address)
	if _, err := holder.Exec(t.Context(), "SELECT pg_advisory_lock($1)", postgres.MigrationLock); err != nil {
		t.Fatal(err)
	}
	migrated := make(chan error, 1)
	go func() {
		_, _, err := postgres.Migrate(t.Context(), address+"&lock_timeout=1&statement_timeout=1000")
		migrated <- err
	}()
	// Each look is a round trip, so this does not spin.
	waiting := false
	for !waiting {
		err := holder.QueryRow(t.Context(), `
			SELECT EXISTS (SELECT FROM pg_stat_activity
			               WHERE datname = current_database() AND wait_event = 'advisory'
			                 AND clock_timestamp() - query_start > interval '20 ms')`).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-migrated:
			t.Fatalf("Migrate did not wait: %v", err)
		default:
		}
	}
	if _, err := holder.Exec(t.Context(), "SELECT pg_advisory_unlock($1)", postgres.MigrationLock); err != nil {
		t.Fatal(err)
	}
	if err := <-migrated; err != nil {
		t.Errorf("Migrate: %v", err)
	}
}

func TestNewerDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	address := postgrestest.URL(t)
	conn := connect(t, address)
	_, err := conn.Exec(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)")
	if err != nil {
		t.Fatal(err)
	}
	_, openErr := postgres.Open(t.Context(), postgres.Options{URL: address})
	_, _, migrateErr := postgres.Migrate(t.Context(), address)
	for _, err := range []error{openErr, migrateErr} {
		if err == nil {
			t.Error("a newer database was accepted")
		} else if !strings.Contains(err.Error(), "99999") || !strings.Contains(err.Error(), "newer homeserver") {
			t.Errorf("the error does not say what is wrong: %v", err)
		}
	}
}

func TestFailedMigrationLeavesNothing(t *testing.T) {
	t.Parallel()
	address, _ := emptyDatabase(t, "ENCODING 'UTF8' LOCALE 'C'")
	files := map[string]string{
		"00001_good.sql": "-- +goose Up\nCREATE TABLE good (n int);",
		"00002_bad.sql":  "-- +goose Up\nCREATE TABLE half (n int);\nSELECT 1/0;",
	}
	if _, _, err := postgres.MigrateFiles(t.Context(), address, files); err == nil {
		t.Fatal("the bad migration succeeded")
	}
	var good, half bool
	err := connect(t, address).QueryRow(t.Context(),
		"SELECT to_regclass('good') IS NOT NULL, to_regclass('half') IS NOT NULL").Scan(&good, &half)
	if err != nil || !good || half {
		t.Errorf("good = %v, half = %v, %v", good, half, err)
	}
	files["00002_bad.sql"] = "-- +goose Up\nCREATE TABLE half (n int);"
	from, to, err := postgres.MigrateFiles(t.Context(), address, files)
	if err != nil || from != 1 || to != 2 {
		t.Errorf("after the repair: %d, %d, %v", from, to, err)
	}
}
