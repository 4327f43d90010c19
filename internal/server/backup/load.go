package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/zstd"

	"homeserver/internal/journal"
	"homeserver/internal/postgres"
	"homeserver/internal/progress"
)

// oneTime are the tables whose rows are valid for one use each. They stay empty: a row
// may have been used up after the backup, and must not become valid again. New tables
// of this kind belong here.
var oneTime = []string{"interactive_sessions", "login_tokens", "one_time_keys", "threepid_sessions"}

// restoreDatabase makes the schema of the backup, loads the rows, and brings the
// schema up to date.
func restoreDatabase(ctx context.Context, root *os.Root, conn *pgx.Conn, m *manifest, s Server) error {
	if _, _, err := postgres.MigrateTo(ctx, s.DatabaseURL, m.Schema); err != nil {
		return err
	}
	bar := progress.New(s.Progress, "Restoring the database", m.rows())
	defer bar.Stop()
	// All or nothing: a database with a part of the rows would look like a whole one,
	// as would one whose journal has not been moved on.
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := load(ctx, root, tx, m, bar); err != nil {
			return err
		}
		if err := markFallbackKeys(ctx, tx, m); err != nil {
			return err
		}
		if !s.KeepSessions {
			if err := endSessions(ctx, tx, m); err != nil {
				return err
			}
		}
		return journal.Skip(ctx, tx, m.resumeAt(time.Now()))
	})
	if err != nil {
		return err
	}
	bar.Done()
	if _, _, err := postgres.Migrate(ctx, s.DatabaseURL); err != nil {
		return err
	}
	return analyze(ctx, conn, m)
}

// markFallbackKeys marks fallback keys as given out, which they may have been after the
// backup: their devices, which are told that they have no one-time keys either, upload others.
func markFallbackKeys(ctx context.Context, tx pgx.Tx, m *manifest) error {
	if !slices.ContainsFunc(m.Tables, func(t table) bool { return t.Name == "fallback_keys" }) {
		return nil
	}
	if _, err := tx.Exec(ctx, `UPDATE fallback_keys SET used = true`); err != nil {
		return fmt.Errorf("mark fallback keys as given out: %w", err)
	}
	return nil
}

// schemaOfVoidTokens is the first schema that remembers which tokens are void.
const schemaOfVoidTokens = 27

// endSessions makes all tokens void. Some may have been revoked after the backup, as
// those of a device that was stolen, and this would not be known. Their devices stay,
// and must log in again.
func endSessions(ctx context.Context, tx pgx.Tx, m *manifest) error {
	statements := []string{
		`UPDATE access_tokens SET void_at = coalesce(void_at, (extract(epoch FROM now()) * 1000)::bigint)`,
		`UPDATE refresh_tokens SET revoked = true, revoked_at = 0`,
	}
	if m.Schema < schemaOfVoidTokens {
		statements = []string{`DELETE FROM access_tokens`, `DELETE FROM refresh_tokens`}
	}
	for _, sql := range statements {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("log everybody out: %w", err)
		}
	}
	return nil
}

// analyze gathers statistics: the planner knows nothing of tables that are new. Those of
// an older schema may be gone.
func analyze(ctx context.Context, conn *pgx.Conn, m *manifest) error {
	names := make([]string, len(m.Tables))
	for i, t := range m.Tables {
		names[i] = quote(t.Name)
	}
	rows, _ := conn.Query(ctx, `SELECT name FROM unnest($1::text[]) name WHERE to_regclass(name) IS NOT NULL`, names)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("find the tables that are left: %w", err)
	}
	if _, err := conn.Exec(ctx, `ANALYZE `+strings.Join(names, ", ")); err != nil {
		return fmt.Errorf("gather statistics: %w", err)
	}
	return nil
}

// farBeyond is how far the journal is moved on if the time does not suffice: more than
// a server with 10,000 entries a second writes in three years.
const farBeyond journal.Position = 1e12

// resumeAt returns the position after which a restored journal goes on: the present in
// microseconds since 1970. A journal that has begun at 0, or at such a position, and
// writes less than a million entries a second, is never beyond that; so every token
// that any server has issued since the backup, including this one if it was restored
// before, is behind it. If a wrong clock has put the backup itself beyond it, the
// journal goes on far beyond the backup.
func (m *manifest) resumeAt(now time.Time) journal.Position {
	if at := journal.Position(now.UnixMicro()); at > m.Position {
		return at
	}
	return m.Position + farBeyond
}

// load replaces the rows of the tables by those of the backup.
func load(ctx context.Context, root *os.Root, tx pgx.Tx, m *manifest, bar *progress.Bar) error {
	order, err := loadOrder(ctx, tx.Conn(), m)
	if err != nil {
		return err
	}
	names := make([]string, len(order))
	for i, t := range order {
		names[i] = quote(t.Name)
	}
	if _, err := tx.Exec(ctx, `TRUNCATE `+strings.Join(names, ", ")); err != nil {
		return fmt.Errorf("empty the tables: %w", err)
	}
	// TRUNCATE has locked the tables. Has anybody used them before?
	if err := postgres.MustBeAlone(ctx, tx.Conn()); err != nil {
		return err
	}
	for _, t := range order {
		if slices.Contains(oneTime, t.Name) {
			bar.Add(t.Rows)
			continue
		}
		if err := loadTable(ctx, root, tx, t, bar); err != nil {
			return fmt.Errorf("load the table %s: %w", t.Name, err)
		}
	}
	for _, s := range m.Sequences {
		if _, err := tx.Exec(ctx, `SELECT setval($1::regclass, $2, $3)`, quote(s.Name), s.Last, s.Called); err != nil {
			return fmt.Errorf("set the sequence %s: %w", s.Name, err)
		}
	}
	return nil
}

// loadOrder returns the tables of the backup so that each comes after those that its
// rows refer to.
func loadOrder(ctx context.Context, conn *pgx.Conn, m *manifest) ([]table, error) {
	known, err := postgres.Tables(ctx, conn)
	if err != nil {
		return nil, err
	}
	references := map[string][]string{}
	for _, t := range known {
		references[t.Name] = t.References
	}
	var order []table
	waiting := slices.Clone(m.Tables)
	for len(waiting) > 0 {
		before := len(waiting)
		waiting = slices.DeleteFunc(waiting, func(t table) bool {
			free := !slices.ContainsFunc(references[t.Name], func(other string) bool {
				return !slices.ContainsFunc(order, func(done table) bool { return done.Name == other })
			})
			if free {
				order = append(order, t)
			}
			return free
		})
		if len(waiting) == before {
			return nil, fmt.Errorf("the tables of the backup lack some that %s refers to", waiting[0].Name)
		}
	}
	return order, nil
}

func loadTable(ctx context.Context, root *os.Root, tx pgx.Tx, t table, bar *progress.Bar) (err error) {
	f, err := root.Open(filepath.FromSlash(t.Path))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	rows, err := zstd.NewReader(f)
	if err != nil {
		return err
	}
	defer rows.Close()
	sql := `COPY ` + quote(t.Name) + ` (` + columnList(t.Columns) + `) FROM STDIN`
	tag, err := tx.Conn().PgConn().CopyFrom(ctx, rowReader{rows, bar}, sql)
	if err == nil && tag.RowsAffected() != t.Rows {
		err = fmt.Errorf("it has %d rows instead of %d", tag.RowsAffected(), t.Rows)
	}
	return err
}
