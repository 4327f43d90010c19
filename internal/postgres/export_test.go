package postgres

import (
	"context"
	"errors"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
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
