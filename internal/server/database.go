package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/postgres"
	"homeserver/internal/postgres/cluster"
	"homeserver/internal/server/config"
)

// databaseName is that of the database in a private cluster.
const databaseName = "homeserver"

// database is an open database, with the cluster that it is in if that is ours.
type database struct {
	url     string
	pool    *pgxpool.Pool
	cluster *cluster.Cluster
}

// admission refuses a database that is not to be used. See [postgres.Options].
type admission func(ctx context.Context, conn *pgx.Conn) error

// openDatabase opens the configured database. If there is none, it starts the private cluster.
func openDatabase(ctx context.Context, cfg *config.Config, admit admission, log *slog.Logger) (*database, error) {
	db, err := findDatabase(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	return db.open(ctx, cfg, admit, log)
}

// openDatabaseBeside does the same for a command that may run while a server does: if the cluster is
// in use already, it is used with it.
func openDatabaseBeside(ctx context.Context, cfg *config.Config, admit admission, log *slog.Logger) (*database, error) {
	db, err := findDatabaseBeside(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	return db.open(ctx, cfg, admit, log)
}

// findDatabaseBeside finds the database for such a command.
func findDatabaseBeside(ctx context.Context, cfg *config.Config, log *slog.Logger) (*database, error) {
	db, err := findDatabase(ctx, cfg, log)
	if errors.Is(err, cluster.ErrInUse) {
		db = &database{}
		db.url, err = cluster.RunningURL(clusterDir(cfg), databaseName)
	}
	if err != nil {
		return nil, err
	}
	return db, nil
}

func clusterDir(cfg *config.Config) string {
	if cfg.ThrowawayCluster != "" {
		return cfg.ThrowawayCluster
	}
	return filepath.Join(cfg.DataDir, "postgres")
}

// findDatabase returns the database with its address, and without its pool.
func findDatabase(ctx context.Context, cfg *config.Config, log *slog.Logger) (*database, error) {
	if cfg.Database.URL != "" {
		return &database{url: string(cfg.Database.URL)}, nil
	}
	cluster, err := cluster.Start(ctx, cluster.Options{
		Dir: clusterDir(cfg), Durable: cfg.ThrowawayCluster == "", Template: templateOf(cfg), Log: log,
	})
	if err != nil {
		return nil, err
	}
	return &database{url: cluster.URL(databaseName), cluster: cluster}, nil
}

// templateOf returns the template of a throwaway cluster; nil: there is none.
func templateOf(cfg *config.Config) *cluster.Template {
	if cfg.ThrowawayCluster == "" || cfg.ClusterTemplates == "" {
		return nil
	}
	return cluster.MigratedTemplate(cfg.ClusterTemplates)
}

// open opens the pool. If that fails, the cluster is stopped.
func (d *database) open(ctx context.Context, cfg *config.Config, admit admission, log *slog.Logger) (*database, error) {
	pool, err := postgres.Open(ctx, postgres.Options{
		URL: d.url, MaxConns: int32(cfg.Database.MaxConnections), Admit: admit, Log: log,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the database: %w", err), d.close(context.WithoutCancel(ctx)))
	}
	d.pool = pool
	return d, nil
}

// close closes the pool and stops the cluster.
func (d *database) close(ctx context.Context) error {
	if d.pool != nil {
		d.pool.Close()
	}
	if d.cluster != nil {
		return d.cluster.Stop(ctx)
	}
	return nil
}
