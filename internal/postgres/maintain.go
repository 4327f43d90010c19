package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"

	"homeserver/migrations"
)

// unbounded are the settings of a connection for work that may take any time, and reads
// whole tables.
var unbounded = map[string]string{
	"enable_seqscan":                      "on",
	"plan_cache_mode":                     "auto",
	"statement_timeout":                   "0",
	"lock_timeout":                        "0",
	"idle_in_transaction_session_timeout": "0",
}

// Connect opens one connection for long work of the operator, such as a backup. It
// makes the checks of [Open], has no limits of time, and does not migrate. The
// caller closes it.
func Connect(ctx context.Context, url string) (*pgx.Conn, error) {
	config, err := poolConfig(Options{URL: url})
	if err != nil {
		return nil, err
	}
	for name, value := range unbounded {
		config.ConnConfig.RuntimeParams[name] = value
	}
	conn, err := connect(ctx, config.ConnConfig, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	if err := checkDatabase(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return conn, nil
}

// KnownSchema returns the version of the schema that this program works with.
func KnownSchema() (newest int64, err error) {
	files, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		return 0, fmt.Errorf("read the migrations: %w", err)
	}
	for _, file := range files {
		version, err := goose.NumericComponent(file)
		if err != nil {
			return 0, fmt.Errorf("read the migrations: %w", err)
		}
		newest = max(newest, version)
	}
	return newest, nil
}

// SchemaTable is the table of the versions of the schema. It is no data.
const SchemaTable = goose.DefaultTablename

// Schema reads the version of the database's schema; 0 where there is none yet.
func Schema(ctx context.Context, conn *pgx.Conn) (version int64, err error) {
	var exists bool
	err = conn.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, SchemaTable).Scan(&exists)
	if err == nil && exists {
		err = conn.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM `+SchemaTable+` WHERE is_applied`).Scan(&version)
	}
	if err != nil {
		return 0, fmt.Errorf("read the version of the database: %w", err)
	}
	return version, nil
}

// leaveTime is how long connections may take to end whose processes have ended.
const leaveTime = 3 * time.Second

// MustBeAlone refuses a database that other processes of this program use: their
// connections call themselves the same. Those that are just ending get a moment.
func MustBeAlone(ctx context.Context, conn *pgx.Conn) error {
	for late := time.Now().Add(leaveTime); ; {
		var others bool
		err := conn.QueryRow(ctx, `
			SELECT EXISTS (SELECT FROM pg_stat_activity
				WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
					AND application_name = current_setting('application_name'))`).Scan(&others)
		switch {
		case err != nil:
			return fmt.Errorf("look who uses the database: %w", err)
		case !others:
			return nil
		case time.Now().After(late):
			return errors.New("a server uses the database: stop it first")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(leaveTime / 30):
		}
		// Within a transaction PostgreSQL would return the same answer for ever.
		if _, err := conn.Exec(ctx, `SELECT pg_stat_clear_snapshot()`); err != nil {
			return fmt.Errorf("look who uses the database: %w", err)
		}
	}
}

// Tables lists the tables of the schema with their columns, but for those that are
// computed; [SchemaTable] is none of them.
func Tables(ctx context.Context, conn *pgx.Conn) ([]Table, error) {
	rows, _ := conn.Query(ctx, `
		SELECT c.relname, ARRAY(
			SELECT a.attname::text FROM pg_attribute a
			WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum),
			ARRAY(SELECT DISTINCT f.confrelid::regclass::text FROM pg_constraint f
				WHERE f.conrelid = c.oid AND f.contype = 'f' AND f.confrelid <> c.oid),
			pg_table_size(c.oid)
		FROM pg_class c
		WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname <> $1
		ORDER BY c.relname`, SchemaTable)
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Table])
	if err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	return tables, nil
}

// Table is one of the tables of the database.
type Table struct {
	Name    string
	Columns []string
	// References are the tables in which its rows must find others.
	References []string
	// Bytes is its size on disk, without its indexes.
	Bytes int64
}

// Sequences lists the sequences of the schema.
func Sequences(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, _ := conn.Query(ctx, `
		SELECT relname FROM pg_class
		WHERE relnamespace = current_schema()::regnamespace AND relkind = 'S' ORDER BY relname`)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list the sequences: %w", err)
	}
	return names, nil
}
