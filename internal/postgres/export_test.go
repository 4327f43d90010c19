package postgres

import (
	"context"
	"errors"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// MigrationLock is the key of the lock, for tests that hold it.
const MigrationLock = migrationLock

// MigrateFiles applies other migrations than the embedded ones.
func MigrateFiles(ctx context.Context, url string, files map[string]string) (from, to int64, err error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return 0, 0, err
	}
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	fs := fstest.MapFS{}
	for name, content := range files {
		fs[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return migrateUp(ctx, db, fs, newest)
}

// OpenImpatiently opens a pool that waits so long for a connection and for a statement;
// 0: for ever.
func OpenImpatiently(ctx context.Context, o Options, acquire, statement time.Duration) (*pgxpool.Pool, error) {
	config, err := poolConfig(o)
	if err != nil {
		return nil, err
	}
	p := &patience{acquire: acquire, statement: statement}
	config.ConnConfig.Tracer = p
	pool, err := pgxpool.NewWithConfig(ctx, config)
	p.pool.Store(pool)
	return pool, err
}
