package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/atomicfile"
	"homeserver/internal/postgres"
)

// Restore makes the server of a backup: in a database without anything in it, which
// no server uses, and beside the media and the signing key that are there, if those
// are the same. The database is brought to this program's schema. Until all files
// are checked nothing is changed; after an error it can be tried again.
func Restore(ctx context.Context, dir string, s Server) (summary *Summary, err error) {
	root, m, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if err := m.fits(s, time.Now()); err != nil {
		return nil, err
	}
	if err := verify(ctx, root, m, s.Progress); err != nil {
		return nil, err
	}
	key, err := root.ReadFile(signingKeyName)
	if err != nil {
		return nil, fmt.Errorf("read the signing key of the backup: %w", err)
	}
	if err := checkKey(s.SigningKey, key); err != nil {
		return nil, err
	}
	conn, err := postgres.Connect(ctx, s.DatabaseURL)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if err := m.checkDatabase(ctx, conn); err != nil {
		return nil, err
	}
	// The rows come last: with them the database is not empty any more, and another
	// attempt could not restore what is missing.
	if err := restoreMedia(ctx, root, m, s); err != nil {
		return nil, fmt.Errorf("restore the media: %w", err)
	}
	if err := atomicfile.Write(s.SigningKey, key, 0o600); err != nil {
		return nil, fmt.Errorf("restore the signing key: %w", err)
	}
	if err := restoreDatabase(ctx, root, conn, m, s); err != nil {
		return nil, fmt.Errorf("restore the database: %w", err)
	}
	return m.summary(), nil
}

// fits refuses a backup that is not of this server, or that this program does not
// understand.
func (m *manifest) fits(s Server, now time.Time) error {
	known, err := postgres.KnownSchema()
	if err != nil {
		return err
	}
	switch {
	case m.ServerName != s.Name:
		return fmt.Errorf("the backup is of the server %s, and this one is called %s: set server_name", m.ServerName, s.Name)
	case m.Schema > known:
		return fmt.Errorf("the backup has schema version %d, this program knows %d: install a newer homeserver", m.Schema, known)
	case m.Schema < oldestSchema:
		return fmt.Errorf("the backup has schema version %d, older than any that can be restored", m.Schema)
	case now.Before(m.TakenAt):
		return fmt.Errorf("the backup was taken at %s, and the clock of this machine says %s: set the clock",
			m.TakenAt.Format(time.DateTime), now.UTC().Format(time.DateTime))
	}
	return nil
}

// checkKey refuses to replace another signing key.
func checkKey(path string, key []byte) error {
	there, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look for a signing key: %w", err)
	case !bytes.Equal(there, key):
		return fmt.Errorf("%s is another key than that of the backup: move it away, or restore into another data folder", filepath.Clean(path))
	}
	return nil
}

// checkDatabase refuses a database that is in use, or is not empty.
func (m *manifest) checkDatabase(ctx context.Context, conn *pgx.Conn) error {
	if err := postgres.MustBeAlone(ctx, conn); err != nil {
		return err
	}
	schema, err := postgres.Schema(ctx, conn)
	if err != nil || schema == 0 {
		return err
	}
	tables, err := postgres.Tables(ctx, conn)
	if err != nil {
		return err
	}
	for _, t := range tables {
		switch t.Name {
		case "journal", "followers", "server_identity": // a server that was started has filled these
			continue
		}
		var rows bool
		if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+quote(t.Name)+`)`).Scan(&rows); err != nil {
			return fmt.Errorf("read the table %s: %w", t.Name, err)
		}
		if rows {
			return fmt.Errorf("the database is not empty: there are %s in it. A backup is restored into a new database, and never over another", t.Name)
		}
	}
	if schema > m.Schema {
		return fmt.Errorf("the database has schema version %d already, the backup %d: give it a database that no server was started on", schema, m.Schema)
	}
	return nil
}
