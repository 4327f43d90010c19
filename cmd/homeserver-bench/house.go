package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/cmd/homeserver-bench/bare"
	"homeserver/internal/postgres"
	"homeserver/internal/postgres/cluster"
)

// house is what a run measures: a server on a durable PostgreSQL, and what is in
// it.
type house struct {
	o    Options
	size sizes
	dir  string

	cluster    *cluster.Cluster
	database   string        // its name; empty: the usual one
	made       time.Duration // how long it took to make the cluster and the database
	pool       *pgxpool.Pool
	postmaster int
	version    string // of PostgreSQL

	server *process
	beside int            // the process of another server that this one is compared with; 0: none
	bare   *bare.Messages // nil until it is asked for
	large  *large         // the same
	some   *readers       // the same
	wings  []*house
}

// open makes a temporary folder with a durable PostgreSQL in it. The caller calls
// close even after an error.
func (h *house) open(ctx context.Context) error {
	var err error
	if h.dir, err = os.MkdirTemp(h.o.Dir, "homeserver-bench-"); err != nil {
		return fmt.Errorf("make a temporary folder: %w", err)
	}
	if err := os.Chmod(h.dir, 0o711); err != nil { //nolint:gosec // PostgreSQL's own user enters it
		return fmt.Errorf("open the temporary folder: %w", err)
	}
	if err := os.Mkdir(h.dataDir(), 0o711); err != nil { //nolint:gosec // the same
		return fmt.Errorf("make the data folder: %w", err)
	}
	started := time.Now()
	if err := h.startCluster(ctx); err != nil {
		return err
	}
	err = h.connect(ctx)
	h.made = time.Since(started)
	return err
}

// dataDir is that of the server, with PostgreSQL in it, so that the server can run
// its PostgreSQL itself.
func (h *house) dataDir() string { return filepath.Join(h.dir, "data") }

func (h *house) startCluster(ctx context.Context) (err error) {
	h.cluster, err = cluster.Start(ctx, cluster.Options{Dir: filepath.Join(h.dataDir(), "postgres"), Durable: true})
	return err
}

// connect opens the database, and looks who runs it.
func (h *house) connect(ctx context.Context) (err error) {
	const connections = 20
	h.pool, err = postgres.Open(ctx, postgres.Options{URL: h.url(), MaxConns: connections})
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	var backend int
	err = h.pool.QueryRow(ctx, `SELECT pg_backend_pid(), current_setting('server_version')`).Scan(&backend, &h.version)
	if err != nil {
		return fmt.Errorf("ask PostgreSQL what it is: %w", err)
	}
	h.postmaster = parentOf(backend)
	return nil
}

// url is that of the database.
func (h *house) url() string { return h.cluster.URL(cmp.Or(h.database, "homeserver")) }

// wing makes a house with another database in the same PostgreSQL, which is made unless
// it is there. It ends with this one, and its server when it is stopped.
func (h *house) wing(ctx context.Context, database string) (*house, error) {
	w := &house{o: h.o, size: h.size, dir: h.dir, cluster: h.cluster, database: database}
	err := h.pool.QueryRow(ctx, `SELECT FROM pg_database WHERE datname = $1`, database).Scan()
	if errors.Is(err, pgx.ErrNoRows) {
		_, err = h.pool.Exec(ctx, "CREATE DATABASE "+database)
	}
	if err != nil {
		return nil, fmt.Errorf("make another database: %w", err)
	}
	h.wings = append(h.wings, w)
	return w, w.connect(ctx)
}

// bareMessages returns the ceiling of what writes messages. There is a message already.
func (h *house) bareMessages(ctx context.Context) (_ *bare.Messages, err error) {
	if h.bare == nil {
		h.bare, err = bare.StartMessages(ctx, h.pool)
	}
	return h.bare, err
}

// disconnect stops PostgreSQL, and leaves its data.
func (h *house) disconnect(ctx context.Context) error {
	for _, w := range h.wings {
		w.stop()
		if w.pool != nil {
			w.pool.Close()
		}
	}
	h.wings = nil
	if h.bare != nil {
		h.bare.Stop()
		h.bare = nil
	}
	if h.pool != nil {
		h.pool.Close()
		h.pool = nil
	}
	if h.cluster == nil {
		return nil
	}
	cluster := h.cluster
	h.cluster = nil
	if err := cluster.Stop(ctx); err != nil {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	return nil
}

// close stops everything and removes it.
func (h *house) close(ctx context.Context) error {
	h.stop()
	err := h.disconnect(ctx)
	if removal := os.RemoveAll(h.dir); removal != nil {
		err = errors.Join(err, fmt.Errorf("remove the temporary folder: %w", removal))
	}
	return err
}

// settings are those of the server: alone on loopback, with figures, on a database
// that is there already unless the URL is empty, and not held back by limits.
func (h *house) settings(url string) map[string]string {
	return map[string]string{
		"HOMESERVER_DATABASE_URL":        url,
		"HOMESERVER_DATA_DIR":            h.dataDir(),
		"HOMESERVER_LISTEN":              "127.0.0.1:0",
		"HOMESERVER_METRICS_LISTEN":      "127.0.0.1:0",
		"HOMESERVER_RATE_LIMITS_ENABLED": "false",
	}
}

// launch starts a server with the settings of this house and some others.
func (h *house) launch(ctx context.Context, others map[string]string) (*process, error) {
	settings := h.settings("")
	maps.Copy(settings, others)
	return launch(ctx, h.o, filepath.Join(h.dir, "server.log"), settings)
}

// start starts the server, unless it runs.
func (h *house) start(ctx context.Context) (err error) {
	if h.server != nil {
		return nil
	}
	h.server, err = launch(ctx, h.o, filepath.Join(h.dir, "server.log"), h.settings(h.url()))
	return err
}

// stop stops the server, if it runs.
func (h *house) stop() {
	if h.server != nil {
		h.server.stop()
		h.server = nil
	}
}

// read runs a query and reads its rows, which must be some: the least that a
// request for them can cost.
func (h *house) read(ctx context.Context, query string, args ...any) error {
	return read(ctx, h.pool, query, args...)
}

// querier is a pool or one connection.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func read(ctx context.Context, from querier, query string, args ...any) error {
	rows, err := from.Query(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("query: %w", err)
	}
	defer rows.Close()
	bytes := 0
	for rows.Next() {
		bytes += len(rows.RawValues()[0])
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("query: %w", err)
	}
	if bytes == 0 {
		return errors.New("the query for what the server reads finds nothing")
	}
	return nil
}

// settlePause is the time between two looks, which themselves take processor time.
const settlePause = 50 * time.Millisecond

// settle returns when everything that is done in the background for what has been
// written is done. Pushers, of which there are none, store how far they are now and then.
func (h *house) settle(ctx context.Context) error {
	err := until(ctx, func() (done bool, err error) {
		err = h.pool.QueryRow(ctx, `
			SELECT NOT EXISTS (SELECT FROM followers f, journal j WHERE f.position < j.position AND f.name NOT LIKE '%\_pushers')`).Scan(&done)
		return done, err
	})
	if err != nil {
		return fmt.Errorf("wait for what follows the journal: %w", err)
	}
	return nil
}

// until looks again and again until there is nothing more to wait for.
func until(ctx context.Context, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(settlePause)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
