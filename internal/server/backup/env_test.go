package backup

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/journal"
	"homeserver/internal/media"
	"homeserver/internal/postgres"
	"homeserver/internal/postgres/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// env is a server's data: a database, media and a key.
type env struct {
	Server
	conn *pgx.Conn
	root string
}

// newEnv makes one in a database.
func newEnv(t *testing.T, address string) *env {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	root := t.TempDir()
	files, err := media.New(media.Options{Dir: filepath.Join(root, "media"), ServerName: "example.org"})
	if err != nil {
		t.Fatal(err)
	}
	return &env{conn: conn, root: root, Server: Server{
		Name: "example.org", DatabaseURL: address, Media: files,
		SigningKey: filepath.Join(root, "signing.key"), Progress: io.Discard,
	}}
}

// emptyDatabase makes a database without any schema and returns its address.
func emptyDatabase(t *testing.T) string {
	t.Helper()
	own := postgrestest.URL(t)
	admin, err := pgx.Connect(t.Context(), own)
	if err != nil {
		t.Fatal(err)
	}
	name := "empty_" + strings.ToLower(rand.Text())
	if _, err := admin.Exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
		_ = admin.Close(context.Background())
	})
	return strings.Replace(own, "/"+admin.Config().Database+"?", "/"+name+"?", 1)
}

func (h *env) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := h.conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (h *env) number(t *testing.T, sql string, args ...any) (n int64) {
	t.Helper()
	if err := h.conn.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// nasty is a text that a careless format would break.
const nasty = "a\ttab, a\nline, a\r\\backslash, \\N, \\., \"quotes\", ü, 🦊, \x01"

// furnish fills a server: some rows in tables of each kind, media, and a key.
func (h *env) furnish(t *testing.T) {
	t.Helper()
	h.furnishBeside(t)
	h.exec(t, `INSERT INTO rooms (room_nid, room_id, version, heads, depth, joined_members, invited_members)
		VALUES (nextval('room_nids'), '!room:example.org', '10', '{$7}', 7, 1, 0)`)
	h.exec(t, `INSERT INTO room_aliases VALUES ('#a:example.org', 1, '@alice:example.org', '2024-02-29 12:34:56.789012+02')`)
	h.exec(t, `INSERT INTO events (event_nid, position, place, room_nid, event_id, type, sender, json, has_url)
		SELECT n, n, n * 1024, 1, '$' || n, 'm.room.message', '@alice:example.org', convert_to($1 || n, 'UTF8'), n % 2 = 0 FROM generate_series(1, 7) n`, nasty)
	h.exec(t, `INSERT INTO search_index VALUES (1, 1, '@alice:example.org', 'content.body', false, $1::tsvector, 1024)`, `'it''s':1 'a\\b':2,3`)
	h.exec(t, `INSERT INTO device_keys (user_id, device_id, keys, signature) VALUES ('@alice:example.org', 'DEVICE', $1, 's')`, nasty)
	h.exec(t, `INSERT INTO one_time_keys (user_id, device_id, algorithm, key_id, key, hash) VALUES ('@alice:example.org', 'DEVICE', 'a', 'i', $1, '\x00')`, nasty)
	h.exec(t, `INSERT INTO fallback_keys VALUES ('@alice:example.org', 'DEVICE', 'a', 'i', $1, true)`, nasty)
	h.exec(t, `INSERT INTO key_backups (user_id, version, algorithm, auth_data, etag) VALUES ('@alice:example.org', 1, 'x', convert_to($1, 'UTF8'), 'e')`, nasty)
	h.exec(t, `INSERT INTO room_keys VALUES (1, '!room:example.org', 'session', 1, 2, true, convert_to($1, 'UTF8'))`, nasty)
}

// furnishOldest does the same in a database of the oldest schema.
func (h *env) furnishOldest(t *testing.T) {
	t.Helper()
	h.furnishBeside(t)
	h.exec(t, `INSERT INTO rooms VALUES (nextval('room_nids'), '!room:example.org', '10', '$7', 7, 1, 0)`)
	h.exec(t, `INSERT INTO events (position, room_nid, event_id, type, sender, json, has_url)
		SELECT n, 1, '$' || n, 'm.room.message', '@alice:example.org', convert_to($1 || n, 'UTF8'), n % 2 = 0 FROM generate_series(1, 7) n`, nasty)
	h.exec(t, `INSERT INTO search_index VALUES (1, 1, '@alice:example.org', 'content.body', false, $1::tsvector)`, `'it''s':1 'a\\b':2,3`)
}

// furnishBeside fills what is the same in all schemas.
func (h *env) furnishBeside(t *testing.T) {
	t.Helper()
	h.exec(t, `UPDATE journal SET position = 7`)
	h.exec(t, `INSERT INTO followers VALUES ('search', 6)`)
	h.exec(t, `INSERT INTO accounts (user_id, password_hash, created_at) VALUES ('@alice:example.org', $1, 1), ('@bob:example.org', NULL, 2)`, nasty)
	h.exec(t, `INSERT INTO profiles VALUES ('@alice:example.org', $1, '', '{}')`, nasty)
	h.exec(t, `INSERT INTO devices VALUES ('@alice:example.org', 'DEVICE', NULL, 1, 2, '', '')`)
	h.exec(t, `INSERT INTO access_tokens VALUES ('\x00010203ff', '@alice:example.org', 'DEVICE', 1, NULL)`)
	h.exec(t, `INSERT INTO login_tokens VALUES ('\x00', '@alice:example.org', 99999999999999)`)
	h.exec(t, `INSERT INTO interactive_sessions (session_hash, operation, user_id, completed, created_at) VALUES ('\x01', 'x', '', '{}', 1)`)
	h.exec(t, `INSERT INTO reports (reporter, reason, score, received_at) VALUES ('@bob:example.org', $1, -50, 3)`, nasty)
	if err := os.WriteFile(h.SigningKey, []byte("ed25519 a_key seed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// upload keeps a file with its record, and returns its key.
func (h *env) upload(t *testing.T, content string) media.StoredFile {
	t.Helper()
	sum := sha256.Sum256([]byte(content))
	name := hex.EncodeToString(sum[:])
	f := media.StoredFile{Key: "content/" + name[:2] + "/" + name[2:], SHA256: name, Bytes: int64(len(content))}
	h.exec(t, `INSERT INTO media (media_id, user_id, created_at, hash, bytes) VALUES ($1, '@alice:example.org', 1, $2, $3)`,
		rand.Text(), sum[:], f.Bytes)
	if err := h.Media.PutStored(t.Context(), f.Key, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	return f
}

// read returns the content of a file; "" if it is not there.
func (h *env) read(t *testing.T, f media.StoredFile) string {
	t.Helper()
	r, err := h.Media.OpenStored(t.Context(), f.Key)
	if err != nil {
		return ""
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	return string(content)
}

// tables returns a text of all rows of each table.
func (h *env) tables(t *testing.T) map[string]string {
	t.Helper()
	tables, err := postgres.Tables(t.Context(), h.conn)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, table := range tables {
		var text string
		err := h.conn.QueryRow(t.Context(), `SELECT coalesce(string_agg(t::text, E'\n' ORDER BY t::text), '') FROM `+quote(table.Name)+` t`).Scan(&text)
		if err != nil {
			t.Fatal(err)
		}
		all[table.Name] = text
	}
	return all
}

// backup makes a backup, and returns its folder.
func (h *env) backup(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "backup")
	if _, err := Write(t.Context(), dir, h.Server); err != nil {
		t.Fatal(err)
	}
	return dir
}

// furnished returns a server that has something to lose.
func furnished(t *testing.T) *env {
	t.Helper()
	h := newEnv(t, postgrestest.URL(t))
	h.furnish(t)
	return h
}

// restored restores a backup in a new server.
func restored(t *testing.T, dir string) *env {
	t.Helper()
	h := newEnv(t, emptyDatabase(t))
	h.KeepSessions = true
	if _, err := Restore(t.Context(), dir, h.Server); err != nil {
		t.Fatal(err)
	}
	return h
}

// sameAs compares a restored server with the one that it was.
func (h *env) sameAs(t *testing.T, was map[string]string, position journal.Position) {
	t.Helper()
	is := h.tables(t)
	want := maps.Clone(was)
	for _, name := range oneTime {
		want[name] = ""
	}
	delete(want, "journal")
	delete(want, "journal_gaps")
	for name, text := range want {
		if is[name] != text {
			t.Errorf("the table %s is\n%s\nand was\n%s", name, is[name], text)
		}
	}
	if after := h.number(t, `SELECT after FROM journal_gaps`); after != int64(position) {
		t.Errorf("the gap begins after %d", after)
	}
	if h.number(t, `SELECT up_to FROM journal_gaps`) != h.number(t, `SELECT position FROM journal`) {
		t.Error("the journal is not at the end of the gap")
	}
}

// files lists the files of a folder with their content.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil {
			all[name], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// refuses checks that a backup is not restored, for a reason, and that nothing has
// been changed by the attempt.
func (h *env) refuses(t *testing.T, dir, reason string) {
	t.Helper()
	before, there := h.tables(t), files(t, h.root)
	_, err := Restore(t.Context(), dir, h.Server)
	if err == nil || !strings.Contains(err.Error(), reason) {
		t.Errorf("got %v, want %q", err, reason)
	}
	if after := h.tables(t); !maps.Equal(before, after) {
		t.Errorf("the database has changed from %v to %v", before, after)
	}
	if after := files(t, h.root); !maps.EqualFunc(there, after, bytes.Equal) {
		t.Errorf("the files have changed from %s to %s", fmt.Sprint(there), fmt.Sprint(after))
	}
}
