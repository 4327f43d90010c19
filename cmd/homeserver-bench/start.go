package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"homeserver/internal/postgres"
	"homeserver/internal/postgres/cluster"
)

// starting measures how long the server takes to its first answer.
type starting struct {
	h     *house
	fresh int // how many databases were made for it
}

func newStarting(h *house) *family {
	s := &starting{h: h}
	return &family{
		key: "start", name: "Starting", prepare: s.prepare,
		ceiling: "opening the same database, with the tables that it lacks, and doing nothing else; " +
			"where the server runs its own PostgreSQL, after starting that, or making and starting it",
		cases: []testCase{
			{name: "on an empty database", run: s.empty},
			{name: "on a full database", run: s.full},
			{name: "on a full database, with its own PostgreSQL", run: s.own},
			{name: "for the first time, with its own PostgreSQL", run: s.first},
		},
	}
}

// prepare fills the database, and stops the server, which each case starts itself.
func (s *starting) prepare(ctx context.Context) error {
	_, err := s.h.load(ctx)
	s.h.stop()
	return err
}

// compare starts the server some times, by turns with the ceiling.
func (s *starting) compare(start, ceiling func() (time.Duration, error)) ([]Figure, error) {
	var m, y []time.Duration
	for range s.h.size.starts {
		bare, err := ceiling()
		if err != nil {
			return nil, err
		}
		took, err := start()
		if err != nil {
			return nil, err
		}
		m, y = append(m, took), append(y, bare)
	}
	slices.Sort(m)
	slices.Sort(y)
	return []Figure{{"to the first answer", Micros, percentile(m, 50), percentile(y, 50)}}, nil
}

// launch starts a server and stops it.
func (s *starting) launch(ctx context.Context, url, dataDir string) (time.Duration, error) {
	p, err := s.h.launch(ctx, map[string]string{"HOMESERVER_DATABASE_URL": url, "HOMESERVER_DATA_DIR": dataDir})
	if err != nil {
		return 0, err
	}
	p.stop()
	return p.startup, nil
}

// open opens a database and closes it.
func open(ctx context.Context, url string) (time.Duration, error) {
	started := time.Now()
	pool, err := postgres.Open(ctx, postgres.Options{URL: url})
	if err != nil {
		return 0, fmt.Errorf("open the database: %w", err)
	}
	took := time.Since(started)
	pool.Close()
	return took, nil
}

// empty starts on databases without tables.
func (s *starting) empty(ctx context.Context) ([]Figure, error) {
	return s.compare(
		func() (time.Duration, error) {
			url, err := s.freshDatabase(ctx)
			if err != nil {
				return 0, err
			}
			return s.launch(ctx, url, s.h.dataDir())
		},
		func() (time.Duration, error) {
			url, err := s.freshDatabase(ctx)
			if err != nil {
				return 0, err
			}
			return open(ctx, url)
		})
}

// freshDatabase makes a database without tables, and returns its URL.
func (s *starting) freshDatabase(ctx context.Context) (string, error) {
	s.fresh++
	name := fmt.Sprintf("empty%d", s.fresh)
	if _, err := s.h.pool.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", fmt.Errorf("make an empty database: %w", err)
	}
	return s.h.cluster.URL(name), nil
}

// full starts on the database with everything that was measured before.
func (s *starting) full(ctx context.Context) ([]Figure, error) {
	url := s.h.url()
	return s.compare(
		func() (time.Duration, error) { return s.launch(ctx, url, s.h.dataDir()) },
		func() (time.Duration, error) { return open(ctx, url) })
}

// own measures a server that starts its own PostgreSQL, with the data of this run.
func (s *starting) own(ctx context.Context) (figures []Figure, err error) {
	if err := s.h.disconnect(ctx); err != nil {
		return nil, err
	}
	figures, err = s.compare(
		func() (time.Duration, error) { return s.launch(ctx, "", s.h.dataDir()) },
		func() (time.Duration, error) { return s.cluster(ctx, s.h.dataDir()) })
	if err != nil {
		return nil, err
	}
	if err := s.h.startCluster(ctx); err != nil {
		return nil, err
	}
	return figures, s.h.connect(ctx)
}

// cluster starts PostgreSQL in a data folder, opens its database, and stops it.
func (s *starting) cluster(ctx context.Context, dataDir string) (time.Duration, error) {
	started := time.Now()
	cluster, err := cluster.Start(ctx, cluster.Options{Dir: filepath.Join(dataDir, "postgres"), Durable: true})
	if err != nil {
		return 0, err
	}
	_, err = open(ctx, cluster.URL("homeserver"))
	took := time.Since(started)
	if stopping := cluster.Stop(ctx); err == nil {
		err = stopping
	}
	return took, err
}

// first measures the first start of a server, which makes everything that it needs. The
// ceiling is how long the same took for this run.
func (s *starting) first(ctx context.Context) ([]Figure, error) {
	dir := filepath.Join(s.h.dir, "first")
	if err := os.Mkdir(dir, 0o711); err != nil { //nolint:gosec // PostgreSQL's own user enters it
		return nil, fmt.Errorf("make a data folder: %w", err)
	}
	took, err := s.launch(ctx, "", dir)
	return []Figure{{"to the first answer", Micros, micros(took), micros(s.h.made)}}, err
}
