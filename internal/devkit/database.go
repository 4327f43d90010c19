package devkit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
)

// databasePrefix begins the names of the databases of development servers, and of the sessions that hold them.
const databasePrefix = "homeserver_dev_"

// Database is a new and empty database on a PostgreSQL that is given, for one development server. A session in the
// given database holds it as long as the process lives. Databases whose names begin with its name belong to it.
type Database struct {
	// URL is its address.
	URL string

	name   string
	holder *pgx.Conn
}

// MakeDatabase makes a database beside the one of an address, whose role must be allowed to do so. The given database is
// not changed. Databases that servers left behind when they were killed are dropped.
func MakeDatabase(ctx context.Context, address string) (*Database, error) {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, fmt.Errorf("--database-url: %w", err)
	}
	name := databasePrefix + strings.ToLower(rand.Text())
	config.RuntimeParams["application_name"] = name
	holder, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("--database-url: %w", err)
	}
	d := &Database{name: name, holder: holder}
	if d.URL, err = d.url(address); err == nil {
		err = dropAbandoned(ctx, holder)
	}
	if err == nil {
		_, err = holder.Exec(ctx, "CREATE DATABASE "+name+" ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a database by --database-url: %w", err), holder.Close(context.WithoutCancel(ctx)))
	}
	return d, nil
}

// url returns the address of the database. Its sessions do not wait for the disk.
func (d *Database) url(address string) (string, error) {
	if !strings.HasPrefix(address, "postgres://") && !strings.HasPrefix(address, "postgresql://") {
		return address + " dbname=" + d.name + " synchronous_commit=off", nil // the last of several counts
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", errors.New("the address cannot be parsed") // without it, as it has the password
	}
	query := u.Query()
	query.Del("dbname")
	query.Del("database")
	query.Set("synchronous_commit", "off")
	u.Path, u.RawQuery = "/"+d.name, query.Encode()
	return u.String(), nil
}

// Drop drops the database, and all whose names begin with its name, and ends the sessions in them.
func (d *Database) Drop(ctx context.Context) error {
	err := d.drop(ctx)
	return errors.Join(err, d.holder.Close(ctx))
}

func (d *Database) drop(ctx context.Context) error {
	rows, err := d.holder.Query(ctx, `SELECT datname FROM pg_database WHERE starts_with(datname, $1)`, d.name)
	if err != nil {
		return fmt.Errorf("find the databases of this server: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("find the databases of this server: %w", err)
	}
	var errs []error
	for _, name := range names {
		if _, err := d.holder.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)"); err != nil {
			errs = append(errs, fmt.Errorf("drop the database %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// dropAbandoned drops the role's databases of servers that hold theirs no more. One that cannot be dropped stays for the next
// time: another process may just do the same.
func dropAbandoned(ctx context.Context, conn *pgx.Conn) error {
	length := len(databasePrefix) + len(rand.Text())
	rows, err := conn.Query(ctx, `
		SELECT datname FROM pg_database
		WHERE starts_with(datname, $1) AND pg_get_userbyid(datdba) = current_user
		  AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = left(pg_database.datname, $2))`,
		databasePrefix, length)
	if err != nil {
		return fmt.Errorf("find the databases of servers that were killed: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("find the databases of servers that were killed: %w", err)
	}
	for _, name := range names {
		_, _ = conn.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize())
	}
	return nil
}
