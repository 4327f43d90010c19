package backup

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/journal"
	"homeserver/internal/media"
	"homeserver/internal/postgres"
	"homeserver/internal/progress"
)

// mediaPage is how many records of media are read at a time.
const mediaPage = 10_000

// dump copies the database as of one moment, by a transaction that sees nothing
// that is committed after its first statement.
type dump struct {
	folder   *folder
	manifest *manifest
	tx       pgx.Tx
	tables   []postgres.Table
	rows     int64
}

func newDump(ctx context.Context, conn *pgx.Conn, f *folder, m *manifest) (*dump, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	d := &dump{folder: f, manifest: m, tx: tx}
	if m.Position, err = journal.Stored(ctx, tx); err != nil {
		return nil, err
	}
	// The text of some types depends on settings.
	if _, err := tx.Exec(ctx, `SET LOCAL datestyle = 'ISO'; SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 3`); err != nil {
		return nil, fmt.Errorf("set the formats of values: %w", err)
	}
	if d.tables, err = postgres.Tables(ctx, conn); err != nil {
		return nil, err
	}
	for _, t := range d.tables {
		var rows int64
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM `+quote(t.Name)).Scan(&rows); err != nil {
			return nil, fmt.Errorf("count the rows of %s: %w", t.Name, err)
		}
		d.rows += rows
	}
	return d, d.readSequences(ctx, conn)
}

// quote makes a name fit for a statement.
func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// columnList writes the columns of a table for COPY.
func columnList(columns []string) string {
	var list []byte
	for i, c := range columns {
		if i > 0 {
			list = append(list, ", "...)
		}
		list = append(list, quote(c)...)
	}
	return string(list)
}

// readSequences notes where numbering has come to. Sequences belong to no
// transaction: they are at least as far as the rows that are copied.
func (d *dump) readSequences(ctx context.Context, conn *pgx.Conn) error {
	names, err := postgres.Sequences(ctx, conn)
	if err != nil {
		return err
	}
	for _, name := range names {
		s := sequence{Name: name}
		if err := d.tx.QueryRow(ctx, `SELECT last_value, is_called FROM `+quote(name)).Scan(&s.Last, &s.Called); err != nil {
			return fmt.Errorf("read the sequence %s: %w", name, err)
		}
		d.manifest.Sequences = append(d.manifest.Sequences, s)
	}
	return nil
}

// copyTables writes a file for each table.
func (d *dump) copyTables(ctx context.Context, bar *progress.Bar) error {
	for _, t := range d.tables {
		copied := table{Name: t.Name, Columns: t.Columns}
		var err error
		copied.file, err = d.folder.writeCompressed(path.Join(tablesFolder, t.Name+".copy.zst"), func(w io.Writer) error {
			sql := `COPY ` + quote(t.Name) + ` (` + columnList(t.Columns) + `) TO STDOUT`
			tag, err := d.tx.Conn().PgConn().CopyTo(ctx, rowCounter{w, bar}, sql)
			copied.Rows = tag.RowsAffected()
			return err
		})
		if err != nil {
			return fmt.Errorf("copy the table %s: %w", t.Name, err)
		}
		d.manifest.Tables = append(d.manifest.Tables, copied)
	}
	return nil
}

// rowCounter shows the rows that go through on a bar. In the text format of COPY a
// newline is the end of a row and nothing else.
type rowCounter struct {
	w   io.Writer
	bar *progress.Bar
}

// Write implements io.Writer.
func (c rowCounter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.bar.Add(int64(bytes.Count(p[:n], []byte{'\n'})))
	return n, err
}

// rowReader does the same for rows that are read.
type rowReader struct {
	r   io.Reader
	bar *progress.Bar
}

// Read implements io.Reader.
func (c rowReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.bar.Add(int64(bytes.Count(p[:n], []byte{'\n'})))
	return n, err
}

// listMedia writes down which files the database refers to at that moment.
func (d *dump) listMedia(ctx context.Context) (err error) {
	d.manifest.Media.List, err = d.folder.write(mediaListName, func(w io.Writer) error {
		after := ""
		for {
			page, err := media.FilesAsOf(ctx, d.tx, after, mediaPage)
			if err != nil {
				return err
			}
			for _, stored := range page {
				if err := appendMedia(w, stored); err != nil {
					return err
				}
				after = stored.Key
			}
			if len(page) < mediaPage {
				return nil
			}
		}
	})
	return err
}
