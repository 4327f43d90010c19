package backup

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres"
	"homeserver/internal/postgres/postgrestest"
)

func TestDamagedBackupIsRefusedBeforeAnythingIsChanged(t *testing.T) {
	t.Parallel()
	h := furnished(t)
	fox := h.upload(t, "a fox")
	flip := func(path string) error {
		content, err := os.ReadFile(path)
		if err == nil {
			content[len(content)/2] ^= 1
			err = os.WriteFile(path, content, 0o600)
		}
		return err
	}
	cut := func(path string) error { return os.Truncate(path, 3) }
	for name, damage := range map[string]struct {
		file   string
		how    func(string) error
		reason string
	}{
		"a changed table":       {"database/events.copy.zst", flip, "database/events.copy.zst"},
		"a table that is cut":   {"database/accounts.copy.zst", cut, "database/accounts.copy.zst"},
		"a missing table":       {"database/rooms.copy.zst", os.Remove, "database/rooms.copy.zst"},
		"a changed key":         {"signing.key", flip, "signing.key"},
		"a missing key":         {"signing.key", os.Remove, "signing.key"},
		"a changed list":        {"media.txt", flip, "media.txt"},
		"a changed file":        {"media/" + fox.Key, flip, fox.Key},
		"a missing file":        {"media/" + fox.Key, os.Remove, fox.Key},
		"a changed manifest":    {"manifest.json", cut, "manifest.json"},
		"a missing manifest":    {"manifest.json", os.Remove, "is not a backup"},
		"not a backup anywhere": {".", os.RemoveAll, "open the backup"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := h.backupIn(t)
			if damage.file == "." {
				dir = filepath.Join(dir, "none")
			} else if err := damage.how(filepath.Join(dir, filepath.FromSlash(damage.file))); err != nil {
				t.Fatal(err)
			}
			newEnv(t, postgrestest.URL(t)).refuses(t, dir, damage.reason)
		})
	}
}

// backupIn returns backup for subtests that run beside each other.
func (h *env) backupIn(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "backup")
	if _, err := Write(t.Context(), dir, h.Server); err != nil {
		t.Fatal(err)
	}
	return dir
}

// change writes another manifest.
func change(t *testing.T, dir string, how func(m *manifest)) {
	t.Helper()
	path := filepath.Join(dir, manifestName)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var m manifest
	if err := json.Unmarshal(content, &m); err != nil {
		t.Fatal(err)
	}
	how(&m)
	if content, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBackupThatDoesNotFitIsRefused(t *testing.T) {
	t.Parallel()
	h := furnished(t)
	for name, test := range map[string]struct {
		how    func(m *manifest)
		reason string
	}{
		"another server":      {func(m *manifest) { m.ServerName = "example.com" }, "set server_name"},
		"another format":      {func(m *manifest) { m.Format = 2 }, "format 2"},
		"a newer schema":      {func(m *manifest) { m.Schema = 99999 }, "install a newer homeserver"},
		"a very old schema":   {func(m *manifest) { m.Schema = 3 }, "older than any"},
		"from the future":     {func(m *manifest) { m.TakenAt = time.Now().Add(time.Hour) }, "set the clock"},
		"a path out of it":    {func(m *manifest) { m.Tables[0].Path = "../../etc/passwd" }, "not whole"},
		"another number":      {func(m *manifest) { m.Tables[0].Rows++ }, "rows instead of"},
		"a table of nobody's": {func(m *manifest) { m.Tables[0].Name = "no_such_table" }, "no_such_table"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := h.backupIn(t)
			change(t, dir, test.how)
			target := newEnv(t, postgrestest.URL(t))
			if err := os.WriteFile(target.SigningKey, []byte("ed25519 a_key seed\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			target.refuses(t, dir, test.reason)
		})
	}
}

func TestDatabaseWithAnythingInItIsNotTouched(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	dir := furnished(t).backup(t)
	target := newEnv(t, postgrestest.URL(t))
	target.exec(t, `INSERT INTO accounts (user_id, created_at) VALUES ('@carol:example.org', 1)`)
	target.refuses(t, dir, "there are accounts in it")
	target.exec(t, `DELETE FROM accounts`)
	// A server was started here, and nothing else was done.
	target.exec(t, `INSERT INTO followers VALUES ('search', 0)`)
	if _, err := Restore(t.Context(), dir, target.Server); err != nil {
		t.Error(err)
	}
	target.refuses(t, dir, "not empty")
}

func TestDatabaseInUseIsNotTouched(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	dir := furnished(t).backup(t)
	target := newEnv(t, postgrestest.URL(t))
	pool, err := postgres.Open(t.Context(), postgres.Options{URL: target.DatabaseURL})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := pool.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	target.refuses(t, dir, "stop it first")
}

func TestAnotherSigningKeyIsNotReplaced(t *testing.T) {
	t.Parallel()
	dir := furnished(t).backup(t)
	target := newEnv(t, postgrestest.URL(t))
	if err := os.WriteFile(target.SigningKey, []byte("ed25519 a_other seed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	target.refuses(t, dir, "is another key")
}

func TestDatabaseThatIsNewerThanTheBackup(t *testing.T) {
	t.Parallel()
	h := furnished(t)
	dir := h.backup(t)
	change(t, dir, func(m *manifest) { m.Schema = oldestSchema })
	known, err := postgres.KnownSchema()
	if err != nil {
		t.Fatal(err)
	}
	if known == oldestSchema {
		t.Skip("there is none yet")
	}
	newEnv(t, postgrestest.URL(t)).refuses(t, dir, "that no server was started on")
}

// A restore that breaks off can be tried again: what it has done before the rows is
// in nobody's way.
func TestRestoreIsTriedAgain(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	h := furnished(t)
	fox := h.upload(t, "a fox")
	was := h.tables(t)
	dir := h.backup(t)
	target := newEnv(t, emptyDatabase(t))
	target.KeepSessions = true
	// It breaks off while the rows are loaded.
	change(t, dir, func(m *manifest) { m.Tables[0].Rows++ })
	if _, err := Restore(t.Context(), dir, target.Server); err == nil || !strings.Contains(err.Error(), "rows instead of") {
		t.Fatalf("got %v", err)
	}
	if n := target.number(t, `SELECT count(*) FROM accounts`); n > 0 {
		t.Errorf("%d accounts are left", n)
	}
	change(t, dir, func(m *manifest) { m.Tables[0].Rows-- })
	if _, err := Restore(t.Context(), dir, target.Server); err != nil {
		t.Fatal(err)
	}
	target.sameAs(t, was, 7)
	if got := target.read(t, fox); got != "a fox" {
		t.Errorf("the file holds %q", got)
	}
}
