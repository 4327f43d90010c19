package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/journal"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres"
	"homeserver/internal/postgres/postgrestest"
)

func TestEverythingComesBack(t *testing.T) {
	t.Parallel()
	h := furnished(t)
	fox, empty, fox2 := h.upload(t, "a fox"), h.upload(t, ""), h.upload(t, "a fox")
	was := h.tables(t)
	dir := h.backup(t)

	back := restored(t, dir)
	back.sameAs(t, was, 7)
	if got := back.read(t, fox); got != "a fox" || fox2 != fox {
		t.Errorf("the file holds %q", got)
	}
	if _, err := back.Media.OpenStored(t.Context(), empty.Key); err != nil {
		t.Errorf("the empty file: %v", err)
	}
	key, err := os.ReadFile(back.SigningKey)
	if err != nil || string(key) != "ed25519 a_key seed\n" {
		t.Errorf("the key is %q (%v)", key, err)
	}
	if n := back.number(t, `SELECT nextval('room_nids')`); n != 2 {
		t.Errorf("the next room gets the number %d", n)
	}
	back.exec(t, `INSERT INTO reports (reporter, reason, received_at) VALUES ('', '', 1)`)
	if n := back.number(t, `SELECT max(id) FROM reports`); n != 2 {
		t.Errorf("the next report gets the number %d", n)
	}
	back.exec(t, `INSERT INTO key_backups (user_id, version, algorithm, auth_data, etag) VALUES ('', 2, '', '', '')`)
	if n := back.number(t, `SELECT max(backup_id) FROM key_backups`); n != 2 {
		t.Errorf("the next key backup gets the number %d", n)
	}
}

// A backup is made while the server goes on: it must not hold one half of what was
// committed together.
func TestBackupIsOfOneMoment(t *testing.T) {
	t.Parallel()
	h := furnished(t)
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 3 {
		conn, err := pgx.Connect(t.Context(), h.DatabaseURL)
		if err != nil {
			t.Fatal(err)
		}
		writers.Go(func() {
			defer func() { _ = conn.Close(context.Background()) }()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				user := fmt.Sprintf("@w%d-%d:example.org", w, i)
				err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
					b := &pgx.Batch{}
					b.Queue(`UPDATE journal SET position = position + 1`)
					b.Queue(`INSERT INTO accounts (user_id, created_at) VALUES ($1, 1)`, user)
					b.Queue(`INSERT INTO profiles (user_id) VALUES ($1)`, user)
					b.Queue(`INSERT INTO push_rules SELECT $1, position, '{}' FROM journal`, user)
					return tx.SendBatch(t.Context(), b).Close()
				})
				if err != nil {
					t.Errorf("write: %v", err)
					return
				}
			}
		})
	}
	for h.number(t, `SELECT count(*) FROM push_rules`) < 20 {
		if t.Failed() {
			t.FailNow()
		}
	}
	dir := h.backup(t)
	close(stop)
	writers.Wait()

	back := restored(t, dir)
	accounts, rules := back.number(t, `SELECT count(*) FROM accounts`)-2, back.number(t, `SELECT count(*) FROM push_rules`)
	profiles := back.number(t, `SELECT count(*) FROM profiles`) - 1
	position := back.number(t, `SELECT after FROM journal_gaps`)
	if accounts != rules || accounts != profiles || position != 7+accounts || accounts < 20 {
		t.Errorf("%d accounts, %d profiles, %d rules, at position %d", accounts, profiles, rules, position)
	}
}

func TestWhatIsGoodForOneUseDoesNotComeBack(t *testing.T) {
	t.Parallel()
	was := furnished(t)
	was.exec(t, `UPDATE fallback_keys SET used = false`)
	back := restored(t, was.backup(t))
	for _, table := range oneTime {
		if n := back.number(t, `SELECT count(*) FROM `+table); n > 0 {
			t.Errorf("%s has %d rows", table, n)
		}
	}
	if n := back.number(t, `SELECT count(*) FROM fallback_keys WHERE used`); n != 1 {
		t.Errorf("%d fallback keys are used", n)
	}
	if n := back.number(t, `SELECT count(*) FROM access_tokens`); n != 1 {
		t.Errorf("%d access tokens", n)
	}
}

// A token that was revoked after the backup was good again on the restored server.
func TestARestoreBroughtRevokedTokensBack(t *testing.T) {
	t.Parallel()
	was := furnished(t)
	was.exec(t, `INSERT INTO refresh_tokens (token_hash, user_id, device_id, generation) VALUES ('\x02', '@alice:example.org', 'DEVICE', 1)`)
	dir := was.backup(t)
	back := newEnv(t, emptyDatabase(t))
	if _, err := Restore(t.Context(), dir, back.Server); err != nil {
		t.Fatal(err)
	}
	if n := back.number(t, `SELECT count(*) FROM access_tokens WHERE void_at IS NULL`); n != 0 {
		t.Errorf("%d access tokens are good", n)
	}
	if n := back.number(t, `SELECT count(*) FROM refresh_tokens WHERE NOT revoked OR revoked_at > 0`); n != 0 {
		t.Errorf("%d refresh tokens are good", n)
	}
	if n := back.number(t, `SELECT count(*) FROM devices JOIN access_tokens USING (user_id, device_id) WHERE void_at > 0`); n != 1 {
		t.Errorf("%d devices are remembered with their tokens, want 1", n)
	}
}

func TestBackupOfABackup(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	first := restored(t, furnished(t).backup(t))
	was, position := first.tables(t), first.number(t, `SELECT position FROM journal`)
	again := restored(t, first.backup(t))
	is := again.tables(t)
	for name, text := range was {
		if name != "journal" && name != "journal_gaps" && is[name] != text {
			t.Errorf("the table %s is %s and was %s", name, is[name], text)
		}
	}
	if n := again.number(t, `SELECT count(*) FROM journal_gaps`); n != 2 {
		t.Errorf("%d gaps", n)
	}
	if p := again.number(t, `SELECT position FROM journal`); p <= position {
		t.Errorf("the position is %d, and was %d", p, position)
	}
}

// Two servers made of one backup, one after the other: the second must be behind
// nothing that the first has told its clients.
func TestEachRestoreGoesOnBeyondTheOneBefore(t *testing.T) {
	t.Parallel()
	m := &manifest{Position: 1000}
	now := time.Date(2030, 1, 2, 3, 4, 5, 6000, time.UTC)
	first := m.resumeAt(now)
	if first != journal.Position(now.UnixMicro()) {
		t.Errorf("goes on at %d", first)
	}
	if second := m.resumeAt(now.Add(time.Hour)); second-first < 3600*900_000 {
		t.Errorf("an hour later it goes on at %d, after %d", second, first)
	}
	// A wrong clock has put the journal into the future.
	m.Position = first + 1e9
	if got := m.resumeAt(now); got != m.Position+farBeyond {
		t.Errorf("goes on at %d", got)
	}
}

// The schema is that of the backup while it is loaded, and this program's after that.
func TestBackupOfAnOlderSchema(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	known, err := postgres.KnownSchema()
	if err != nil {
		t.Fatal(err)
	}
	if known == oldestSchema {
		t.Skip("there is no older one yet")
	}
	h := newEnv(t, emptyDatabase(t))
	if _, _, err := postgres.MigrateTo(t.Context(), h.DatabaseURL, oldestSchema); err != nil {
		t.Fatal(err)
	}
	h.furnishOldest(t)
	back := restored(t, h.backup(t))
	if got, err := postgres.Schema(t.Context(), back.conn); err != nil || got != known {
		t.Errorf("the schema is %d (%v), want %d", got, err, known)
	}
	if n := back.number(t, `SELECT count(*) FROM events`); n != 7 {
		t.Errorf("%d events", n)
	}
}

func TestDatabaseThatCannotBeBackedUp(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(h *env){
		"older": func(h *env) {
			if _, _, err := postgres.MigrateTo(t.Context(), h.DatabaseURL, oldestSchema-1); err != nil {
				t.Fatal(err)
			}
		},
		"newer": func(h *env) {
			if _, _, err := postgres.Migrate(t.Context(), h.DatabaseURL); err != nil {
				t.Fatal(err)
			}
			h.exec(t, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newEnv(t, emptyDatabase(t))
			prepare(h)
			if err := os.WriteFile(h.SigningKey, []byte("key"), 0o600); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "backup")
			if _, err := Write(t.Context(), dir, h.Server); err == nil || !strings.Contains(err.Error(), "schema version") {
				t.Errorf("got %v", err)
			}
			nothingAt(t, dir)
		})
	}
}

// nothingAt checks that there is neither a backup nor the beginning of one.
func nothingAt(t *testing.T, dir string) {
	t.Helper()
	for _, path := range []string{dir, dir + ".partial"} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestBackupThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	h := furnished(t)
	dir := filepath.Join(t.TempDir(), "backup")
	if err := os.Rename(h.SigningKey, h.SigningKey+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), dir, h.Server); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a key: %v", err)
	}
	nothingAt(t, dir)
	if err := os.Rename(h.SigningKey+".away", h.SigningKey); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Write(cancelled, dir, h.Server); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	nothingAt(t, dir)
	if _, err := Write(t.Context(), dir, h.Server); err != nil {
		t.Errorf("after that: %v", err)
	}
}

func TestBackupIsNeverWrittenOverAnything(t *testing.T) {
	t.Parallel()
	h := furnished(t)
	dir := h.backup(t)
	before := files(t, dir)
	if _, err := Write(t.Context(), dir, h.Server); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("got %v", err)
	}
	if len(files(t, dir)) != len(before) {
		t.Error("the backup has changed")
	}
	// An empty folder is a place for one.
	if _, err := Write(t.Context(), t.TempDir()+"/", h.Server); err != nil {
		t.Errorf("into an empty folder: %v", err)
	}
}

func TestBackupThatWasKilledIsInNobodysWay(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	h := furnished(t)
	dir := filepath.Join(t.TempDir(), "backup")
	if err := os.MkdirAll(filepath.Join(dir+".partial", tablesFolder), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir+".partial", tablesFolder, "events.copy.zst"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	running, err := os.Open(dir + ".partial")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(running.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), dir, h.Server); err == nil || !strings.Contains(err.Error(), "another backup is being written") {
		t.Errorf("beside another: %v", err)
	}
	if len(files(t, dir+".partial")) != 1 {
		t.Error("the other backup was touched")
	}
	_ = running.Close()
	if _, err := Write(t.Context(), dir, h.Server); err != nil {
		t.Errorf("after it was killed: %v", err)
	}
	restored(t, dir)
}

func TestMediaThatIsMissingOrDamagedIsNamed(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	h := furnished(t)
	good, lost, changed, cut := h.upload(t, "good"), h.upload(t, "lost"), h.upload(t, "changed"), h.upload(t, "cut off")
	at := func(key string) string { return filepath.Join(h.root, "media", filepath.FromSlash(key)) }
	if err := os.Remove(at(lost.Key)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at(changed.Key), []byte("chang_d"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(at(cut.Key), 3); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "backup")
	summary, err := Write(t.Context(), dir, h.Server)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{lost.SHA256, changed.SHA256, cut.SHA256}
	slices.Sort(want)
	if !slices.Equal(summary.Missing, want) || summary.Files != 1 {
		t.Errorf("got %+v, want the missing %v", summary, want)
	}
	back := newEnv(t, emptyDatabase(t))
	if summary, err = Restore(t.Context(), dir, back.Server); err != nil || !slices.Equal(summary.Missing, want) {
		t.Errorf("restored %+v (%v)", summary, err)
	}
	if back.read(t, good) != "good" || back.read(t, changed) != "" {
		t.Errorf("the files are %q and %q", back.read(t, good), back.read(t, changed))
	}
}

func TestManifestTellsWhatThereIs(t *testing.T) {
	t.Parallel()
	h := furnished(t)
	h.upload(t, "a fox")
	dir := h.backup(t)
	var m manifest
	all := files(t, dir)
	if err := json.Unmarshal(all[manifestName], &m); err != nil {
		t.Fatal(err)
	}
	known, _ := postgres.KnownSchema()
	if m.Format != 1 || m.ServerName != "example.org" || m.Position != 7 || m.Schema != known || time.Since(m.TakenAt) > time.Hour {
		t.Errorf("got %+v", m)
	}
	i := slices.IndexFunc(m.Tables, func(t table) bool { return t.Name == "events" })
	if i < 0 || m.Tables[i].Rows != 7 || m.Tables[i].Bytes != int64(len(all["database/events.copy.zst"])) {
		t.Errorf("got the tables %+v", m.Tables)
	}
	if len(all) != len(m.Tables)+4 { // the manifest, the key, the list and the fox
		t.Errorf("there are %d files", len(all))
	}
	for name := range all {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: others may read it: %v (%v)", name, info.Mode(), err)
		}
	}
}

func TestEveryTableIsInTheBackup(t *testing.T) {
	t.Parallel()
	h := newEnv(t, postgrestest.URL(t))
	if err := os.WriteFile(h.SigningKey, []byte("key"), 0o600); err != nil {
		t.Fatal(err)
	}
	there := files(t, h.backup(t))
	for name := range h.tables(t) {
		if _, ok := there["database/"+name+".copy.zst"]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	for _, name := range oneTime {
		if _, known := h.tables(t)[name]; !known {
			t.Errorf("%s is no table", name)
		}
	}
}
