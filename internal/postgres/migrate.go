package postgres

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"homeserver/migrations"
)

// migrationLock is the key of the advisory lock under which migrations run. It
// only has to be the same in all versions of the server.
const migrationLock = 0x6d6967726174 // "migrat"

// Migrate brings the schema of the database up to this binary's and returns the
// versions before and after, which are equal if there was nothing to do. It
// makes the same checks as [Open]; a database that is newer than the binary is
// refused. Processes that migrate at the same time wait for each other.
func Migrate(ctx context.Context, url string) (from, to int64, err error) {
	return MigrateTo(ctx, url, newest)
}

// MigrateTo does the same up to a version that may be older than this binary's, for
// data that is of that version.
func MigrateTo(ctx context.Context, url string, version int64) (from, to int64, err error) {
	config, err := poolConfig(Options{URL: url})
	if err != nil {
		return 0, 0, err
	}
	conn, err := connect(ctx, config.ConnConfig, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, 0, err
	}
	err = errors.Join(checkDatabase(ctx, conn), conn.Close(ctx))
	if err != nil {
		return 0, 0, err
	}
	return migrate(ctx, config.ConnConfig, version)
}

// newest stands for the version of this binary.
const newest int64 = math.MaxInt64

// migrate applies the embedded migrations up to a version, under the lock.
func migrate(ctx context.Context, config *pgx.ConnConfig, version int64) (from, to int64, err error) {
	config = config.Copy()
	// A migration of a big table, or waiting for another process's, may take long.
	config.RuntimeParams["statement_timeout"] = "0"
	config.RuntimeParams["lock_timeout"] = "0"
	config.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()

	lock, err := db.Conn(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("connect for migrations: %w", err)
	}
	// The end of the session releases the lock, even after an error.
	defer func() { err = errors.Join(err, lock.Close()) }()
	if _, err := lock.ExecContext(ctx, "SELECT pg_advisory_lock($1)", migrationLock); err != nil {
		return 0, 0, fmt.Errorf("wait for other migrations: %w", err)
	}
	return migrateUp(ctx, db, migrations.FS, version)
}

// Fingerprint identifies the schema of this binary: that which all migrations together make.
func Fingerprint() string {
	sum := sha256.New()
	for _, file := range migrationFiles() {
		content, err := migrations.FS.ReadFile(file)
		if err != nil {
			content = []byte(err.Error()) // the files are in the binary, so that there is none
		}
		_, _ = fmt.Fprintf(sum, "%s %d\n%s", file, len(content), content)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// migrationFiles lists the embedded migrations in their order.
func migrationFiles() []string {
	files, _ := fs.Glob(migrations.FS, "*.sql") // the only error is one of the pattern
	return files
}

// isMigrated reports whether exactly the migrations of this binary have been applied to a database, so that there is
// nothing to do and nobody to wait for.
func isMigrated(ctx context.Context, conn *pgx.Conn) (bool, error) {
	if version, err := Schema(ctx, conn); err != nil || version == 0 {
		return false, err
	}
	rows, err := conn.Query(ctx, `SELECT version_id FROM `+SchemaTable+` WHERE is_applied AND version_id > 0 ORDER BY version_id`)
	if err != nil {
		return false, fmt.Errorf("read the migrations of the database: %w", err)
	}
	applied, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return false, fmt.Errorf("read the migrations of the database: %w", err)
	}
	var ours []int64
	for _, file := range migrationFiles() {
		version, err := goose.NumericComponent(file)
		if err != nil {
			return false, fmt.Errorf("read the migrations: %w", err)
		}
		ours = append(ours, version)
	}
	return slices.Equal(applied, ours), nil
}

// migrateUp applies the files up to a version that the database has not seen. The
// caller holds the lock.
func migrateUp(ctx context.Context, db *sql.DB, files fs.FS, version int64) (from, to int64, err error) {
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return 0, 0, fmt.Errorf("read the migrations: %w", err)
	}
	from, to, err = provider.GetVersions(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("read the version of the database: %w", err)
	}
	if from > to {
		return from, from, fmt.Errorf(
			"the database has schema version %d, this program knows %d: it was used by a newer homeserver; install that one", from, to)
	}
	to = min(to, version)
	if from < to {
		defer showProgress(ctx, db)()
	}
	if _, err := provider.UpTo(ctx, to); err != nil {
		return from, from, fmt.Errorf("migrate the database: %w", err)
	}
	return from, max(from, to), nil
}
