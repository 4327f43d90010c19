package postgrestest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/postgres"
	"homeserver/internal/postgres/cluster"
)

const (
	// maxConns bounds the pool of one test; many tests run beside each other.
	maxConns = 8
	// startTimeout and dropTimeout are how long tests wait before they fail.
	startTimeout = 2 * time.Minute
	dropTimeout  = 30 * time.Second
)

// server is the PostgreSQL that the tests of this process share.
type server struct {
	start    sync.Once
	err      error
	cluster  *cluster.Cluster // nil if the server is not ours
	dir      string
	remove   func() error // removes dir
	admin    *pgxpool.Pool
	base     *url.URL // of any database; only its path changes
	template string   // the migrated database
	clone    string   // the end of CREATE DATABASE: from what and how
}

var shared server

// Main runs the tests of a package and then removes the cluster. It does not
// return.
func Main(m *testing.M) {
	code := m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "remove the test cluster:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// New returns a pool of up to 8 connections on a migrated database that belongs
// to this test. Both are removed when the test ends; the test fails if it still uses a
// connection then.
func New(t testing.TB) *pgxpool.Pool {
	t.Helper()
	address := URL(t)
	pool, err := postgres.Open(t.Context(), postgres.Options{URL: address, MaxConns: maxConns})
	if err != nil {
		t.Fatalf("open the test's database: %v", err)
	}
	t.Cleanup(func() { closePool(t, pool) })
	return pool
}

// URL returns the address of a migrated database that belongs to this test, for
// tests that start whole servers or several pools. It is dropped when the test ends,
// also if there still are connections.
func URL(t testing.TB) string {
	t.Helper()
	shared.start.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		shared.err = shared.open(ctx)
	})
	if shared.err != nil {
		t.Fatalf("start PostgreSQL for the tests: %v", shared.err)
	}
	name := "test_" + strings.ToLower(rand.Text())
	if _, err := shared.admin.Exec(t.Context(), "CREATE DATABASE "+name+shared.clone); err != nil {
		t.Fatalf("make the test's database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), dropTimeout)
		defer cancel()
		if err := shared.drop(ctx, name); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	return shared.url(name)
}

// drop removes a database and ends the connections to it. Our role may not end
// a worker of autovacuum; without FORCE PostgreSQL does that itself.
func (s *server) drop(ctx context.Context, name string) error {
	_, err := s.admin.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
	const insufficientPrivilege = "42501"
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == insufficientPrivilege {
		_, err = s.admin.Exec(ctx, "DROP DATABASE "+name)
	}
	return err
}

// closePool closes the pool. The test fails if it has not released a connection.
func closePool(t testing.TB, pool *pgxpool.Pool) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		pool.Close()
	}()
	select {
	case <-closed:
	case <-time.After(dropTimeout):
		t.Errorf("%d connections were not given back to the pool", pool.Stat().AcquiredConns())
	}
}

// open starts the cluster, or connects to the server that the environment names
// and makes a template there.
func (s *server) open(ctx context.Context) error {
	address := os.Getenv("HOMESERVER_TEST_DATABASE_URL")
	if address == "" {
		var err error
		if address, err = s.startCluster(ctx); err != nil {
			return err
		}
	}
	var err error
	if s.base, err = url.Parse(address); err != nil {
		return fmt.Errorf("HOMESERVER_TEST_DATABASE_URL: %w", err)
	}
	if s.admin, err = pgxpool.New(ctx, address); err != nil {
		return fmt.Errorf("connect as administrator: %w", err)
	}
	if s.cluster == nil {
		name := "template_" + strings.ToLower(rand.Text())
		_, err = s.admin.Exec(ctx, "CREATE DATABASE "+name+" ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0")
		if err != nil {
			return fmt.Errorf("make the template: %w", err)
		}
		s.template = name
	}
	s.clone = " TEMPLATE " + s.template
	var canChoose bool
	err = s.admin.QueryRow(ctx, "SELECT current_setting('server_version_num')::int >= 150000").Scan(&canChoose)
	if err != nil {
		return fmt.Errorf("ask for the version: %w", err)
	}
	if canChoose {
		// The default writes every page to the log, which is slower without fsync.
		s.clone += " STRATEGY file_copy"
	}
	// There is nothing to do in a cluster that is a copy.
	_, _, err = postgres.Migrate(ctx, s.url(s.template))
	return err
}

// startCluster starts a cluster in a temporary folder.
func (s *server) startCluster(ctx context.Context) (address string, err error) {
	if s.dir, err = cluster.MakeThrowawayDir("homeserver-test-"); err != nil {
		return "", err
	}
	if s.remove, err = cluster.RemoveAfterKill(s.dir); err != nil {
		return "", err
	}
	warnings := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	opts := cluster.Options{Dir: s.dir, Log: warnings}
	if cache, err := os.UserCacheDir(); err == nil { // else the cluster is made by initdb
		opts.Template = cluster.MigratedTemplate(filepath.Join(cache, "homeserver"))
	}
	if s.cluster, err = cluster.Start(ctx, opts); err != nil {
		return "", err
	}
	s.template = "homeserver" // empty in each cluster, and nobody but us connects to it
	return s.cluster.URL("postgres"), nil
}

// url returns the address of a database.
func (s *server) url(database string) string {
	u := *s.base
	u.Path = "/" + database
	return u.String()
}

// close removes what open made.
func (s *server) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	var errs []error
	if s.admin != nil {
		if s.cluster == nil && s.template != "" {
			errs = append(errs, s.drop(ctx, s.template))
		}
		s.admin.Close()
	}
	if s.cluster != nil {
		errs = append(errs, s.cluster.Stop(ctx))
	}
	if s.remove != nil {
		errs = append(errs, s.remove())
	}
	return errors.Join(errs...)
}
