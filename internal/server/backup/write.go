package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"homeserver/internal/media"
	"homeserver/internal/postgres"
	"homeserver/internal/progress"
)

// Server has what a backup is made of, or restored to.
type Server struct {
	// Name is the server's name, which all IDs of users and rooms end in.
	Name string
	// DatabaseURL is where the database is.
	DatabaseURL string
	// Media stores the files.
	Media *media.Service
	// SigningKey is the path of the file with the key.
	SigningKey string
	// KeepSessions keeps the tokens of devices valid after a restore.
	KeepSessions bool
	// Progress is shown how far the work has come.
	Progress io.Writer
}

// Summary describes the content of a backup.
type Summary struct {
	ServerName string
	TakenAt    time.Time
	Rows       int64 // of all tables
	Files      int64 // of media
	Bytes      int64 // on disk, of everything
	// Missing are the files of media, by SHA-256, that the database refers to and
	// that were not there, or not as they should be: the backup is without them.
	Missing []string
}

func (m *manifest) summary() *Summary {
	return &Summary{
		ServerName: m.ServerName, TakenAt: m.TakenAt, Rows: m.rows(), Files: m.Media.Files, Bytes: m.bytes(),
		Missing: m.Media.Missing,
	}
}

// oldestSchema is the version from which on a restore is possible: the journal can
// leap.
const oldestSchema = 25

// Write makes a backup in a folder, which must not exist or be empty. The server may
// run meanwhile. After an error there is no such folder.
func Write(ctx context.Context, dir string, s Server) (summary *Summary, err error) {
	f, err := newFolder(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.discard())
		}
	}()
	m := &manifest{Format: format, ServerName: s.Name, TakenAt: time.Now().UTC().Truncate(time.Millisecond)}
	if m.SigningKey, err = f.writeKey(s.SigningKey); err != nil {
		return nil, err
	}
	if err := f.writeDatabase(ctx, s, m); err != nil {
		return nil, fmt.Errorf("back up the database: %w", err)
	}
	if err := f.writeMedia(ctx, s, m); err != nil {
		return nil, fmt.Errorf("back up the media: %w", err)
	}
	content, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("describe the backup: %w", err)
	}
	if _, err := f.write(manifestName, func(w io.Writer) error { _, err := w.Write(append(content, '\n')); return err }); err != nil {
		return nil, fmt.Errorf("describe the backup: %w", err)
	}
	return m.summary(), f.finish()
}

func (f *folder) writeKey(from string) (file, error) {
	key, err := os.ReadFile(from)
	if err != nil {
		return file{}, fmt.Errorf("back up the signing key: %w", err)
	}
	made, err := f.write(signingKeyName, func(w io.Writer) error { _, err := w.Write(key); return err })
	if err != nil {
		return file{}, fmt.Errorf("back up the signing key: %w", err)
	}
	return made, nil
}

// writeDatabase copies all tables as of one moment. The transaction lasts only for
// that, and not for the copying of files: as long as it is open, PostgreSQL cannot
// clean up overwritten rows.
func (f *folder) writeDatabase(ctx context.Context, s Server, m *manifest) (err error) {
	conn, err := postgres.Connect(ctx, s.DatabaseURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	known, err := postgres.KnownSchema()
	if err != nil {
		return err
	}
	if m.Schema, err = postgres.Schema(ctx, conn); err != nil {
		return err
	}
	if m.Schema < oldestSchema || m.Schema > known {
		return fmt.Errorf("it has schema version %d, this program knows %d: use the program that the server runs, or migrate first", m.Schema, known)
	}
	d, err := newDump(ctx, conn, f, m)
	if err != nil {
		return err
	}
	bar := progress.New(s.Progress, "Copying the database", d.rows)
	defer bar.Stop()
	if err := d.copyTables(ctx, bar); err != nil {
		return err
	}
	if err := d.listMedia(ctx); err != nil {
		return err
	}
	bar.Done()
	return d.tx.Commit(ctx)
}
