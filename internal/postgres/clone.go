package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// CreateDatabase makes an empty database as [Open] wants it. The connection is to another one.
func CreateDatabase(ctx context.Context, conn *pgx.Conn, name string) error {
	_, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0")
	if err != nil {
		return fmt.Errorf("make the database %s: %w", name, err)
	}
	return nil
}

// CloneDatabase makes a copy of a database, to which nobody is connected.
func CloneDatabase(ctx context.Context, conn *pgx.Conn, from, to string) error {
	sql := "CREATE DATABASE " + pgx.Identifier{to}.Sanitize() + " TEMPLATE " + pgx.Identifier{from}.Sanitize()
	var version int
	err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version)
	if err == nil && version >= 150_000 {
		sql += " STRATEGY file_copy" // the default writes every page to the log
	}
	if err == nil {
		_, err = conn.Exec(ctx, sql)
	}
	if err != nil {
		return fmt.Errorf("copy the database %s: %w", from, err)
	}
	return nil
}

// DropDatabase removes a database, if there is one of that name, and ends the connections to it.
func DropDatabase(ctx context.Context, conn *pgx.Conn, name string) error {
	if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("remove the database %s: %w", name, err)
	}
	return nil
}
