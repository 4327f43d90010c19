package server

import (
	"context"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth"
	"homeserver/internal/matrixtest"
	"homeserver/internal/server/config"
)

// inhabited returns the configuration of a server that is down, with a user, and with events if they are
// wanted.
func inhabited(t *testing.T, events bool) *config.Config {
	t.Helper()
	cfg := testConfig(t)
	s := mustStart(t, cfg)
	alice := clientAt(t, s, 0).Register("alice", "wordpass")
	if events {
		alice.SendText(alice.CreateRoom(nil), "hello")
	}
	shutDown(t, s)
	return cfg
}

// changed returns a configuration that differs.
func changed(cfg *config.Config, how func(*config.Config)) *config.Config {
	other := *cfg
	how(&other)
	return &other
}

// elsewhere returns a configuration with an empty data folder.
func elsewhere(t *testing.T, cfg *config.Config) *config.Config {
	t.Helper()
	return changed(cfg, func(c *config.Config) { c.DataDir = t.TempDir() })
}

// startRefused checks that a server does not start, in one line that has all parts.
func startRefused(t *testing.T, cfg *config.Config, parts ...string) {
	t.Helper()
	s, err := Start(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err == nil {
		shutDown(t, s)
		t.Errorf("the server has started, instead of saying %q", parts)
		return
	}
	for _, part := range append(parts, "set ") {
		if !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "\n") {
			t.Errorf("the error does not say %q in one line: %v", part, err)
		}
	}
}

func execSQL(t *testing.T, cfg *config.Config, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), string(cfg.Database.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func TestAnotherServerNameLocksUsersOut(t *testing.T) {
	t.Parallel()
	cfg := inhabited(t, false)
	renamed := changed(cfg, func(c *config.Config) { c.ServerName = "example.org" })
	startRefused(t, renamed, "belongs to the server localhost", "is called example.org", "server_name to localhost")

	err := WithAccounts(t.Context(), renamed, slog.New(slog.DiscardHandler), func(*auth.Service) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "belongs to the server localhost") {
		t.Errorf("a command makes accounts of another server: %v", err)
	}
	shutDown(t, mustStart(t, cfg))
}

func TestLostSigningKeyIsReplacedSilently(t *testing.T) {
	t.Parallel()
	cfg := inhabited(t, true)
	signer, err := loadSigner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	lost := elsewhere(t, cfg)
	startRefused(t, lost, signer.KeyID+" is missing", signingKeyPath(lost), "set data_dir", "homeserver signing-key adopt")
	if _, err := os.Stat(signingKeyPath(lost)); !os.IsNotExist(err) {
		t.Errorf("a key was made: %v", err)
	}
	shutDown(t, mustStart(t, cfg))
}

func TestAnotherSigningKeyIsTakenSilently(t *testing.T) {
	t.Parallel()
	cfg := inhabited(t, true)
	other := elsewhere(t, cfg)
	if _, err := makeSigner(other); err != nil {
		t.Fatal(err)
	}
	startRefused(t, other, "belongs to the key ed25519:", "homeserver signing-key adopt")
	if _, err := Backup(t.Context(), other, slog.New(slog.DiscardHandler), filepath.Join(t.TempDir(), "b"), io.Discard); err == nil ||
		!strings.Contains(err.Error(), "belongs to the key") {
		t.Errorf("a backup has a key that is not the server's: %v", err)
	}
}

func TestNameAndKeyMayChangeBeforeAnybodyUsesThem(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	shutDown(t, mustStart(t, cfg))
	cfg = changed(elsewhere(t, cfg), func(c *config.Config) { c.ServerName = "example.org" })
	shutDown(t, mustStart(t, cfg))
	shutDown(t, mustStart(t, cfg))
}

// Each makes a key of its own where the folders differ, and only one of them can be the server's.
func TestProcessesWithDifferentKeysStartOnANewDatabase(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	cfg := testConfig(t)
	mustStart(t, cfg)
	startRefused(t, elsewhere(t, cfg), "another process uses the database")
	shutDown(t, mustStart(t, cfg)) // beside the first, with the same key
}

func TestDatabaseOfAnOlderVersionTakesItsNamesOver(t *testing.T) {
	t.Parallel()
	cfg := inhabited(t, true)
	const forget = `DELETE FROM server_identity`
	execSQL(t, cfg, forget)
	startRefused(t, changed(cfg, func(c *config.Config) { c.ServerName = "example.org" }), "belongs to the server localhost")
	startRefused(t, elsewhere(t, cfg), "the signing key is missing")
	other := elsewhere(t, cfg)
	if _, err := makeSigner(other); err != nil {
		t.Fatal(err)
	}
	startRefused(t, other, "not signed with the key ed25519:")

	shutDown(t, mustStart(t, cfg))
	startRefused(t, other, "belongs to the key ed25519:")
}

func TestAdoptedSigningKey(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	cfg := inhabited(t, true)
	before, err := loadSigner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	lost := elsewhere(t, cfg)
	adopted, err := AdoptSigningKey(t.Context(), lost, log)
	if err != nil || !adopted.Made || adopted.Before != before.KeyID || adopted.KeyID == before.KeyID {
		t.Fatalf("got %+v, %v", adopted, err)
	}
	startRefused(t, cfg, "belongs to the key "+adopted.KeyID)

	s := mustStart(t, lost)
	if _, err := AdoptSigningKey(t.Context(), lost, log); err == nil || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("beside a running server: %v", err)
	}
	alice := clientAt(t, s, 0).Login("alice", "wordpass")
	alice.SendText(alice.CreateRoom(nil), "signed with the new key")
	shutDown(t, s)
	// The doctor believes what either key has signed.
	if summary, found := (&patient{t: t, cfg: lost}).examined(false); summary.Wrong > 0 {
		t.Errorf("the doctor finds:\n%s", found)
	}
	// There is a way back.
	if adopted, err = AdoptSigningKey(t.Context(), cfg, log); err != nil || adopted.Made || adopted.KeyID != before.KeyID {
		t.Errorf("got %+v, %v", adopted, err)
	}
	shutDown(t, mustStart(t, cfg))
}

func TestAdoptingAKeyNeedsTheServersDatabase(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	inhabitant := inhabited(t, false)
	for want, cfg := range map[string]*config.Config{
		"belongs to the server localhost": changed(elsewhere(t, inhabitant), func(c *config.Config) { c.ServerName = "example.org" }),
		"no server has used the database": testConfig(t),
		"holds no database":               changed(elsewhere(t, inhabitant), func(c *config.Config) { c.Database.URL = "" }),
	} {
		if _, err := AdoptSigningKey(t.Context(), cfg, log); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		err := filepath.WalkDir(cfg.DataDir, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && path != cfg.DataDir {
				t.Errorf("%s: %s was made", want, entry.Name())
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestDoctorFindsAnotherNameAndKey(t *testing.T) {
	t.Parallel()
	cfg := inhabited(t, false)
	other := elsewhere(t, cfg)
	if _, err := makeSigner(other); err != nil {
		t.Fatal(err)
	}
	for want, cfg := range map[string]*config.Config{
		"belongs to the key":              other,
		"belongs to the server localhost": changed(cfg, func(c *config.Config) { c.ServerName = "example.org" }),
	} {
		if s, found := (&patient{t: t, cfg: cfg}).examined(false); s.Wrong == 0 ||
			!strings.Contains(found, "WRONG     Server: name and signing key\n") || !strings.Contains(found, want) {
			t.Errorf("want %q, got\n%s", want, found)
		}
	}
}
