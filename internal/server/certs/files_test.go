package certs

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"homeserver/internal/server/config"
)

// fileConfig returns a configuration with a certificate in files, and the file of its authority. The
// certificate is one that a local authority of another server has made.
func fileConfig(t *testing.T) (cfg *config.Config, caFile string) {
	t.Helper()
	cfg = testConfig(t)
	cfg.TLS.Certificate = filepath.Join(t.TempDir(), "fullchain.pem")
	cfg.TLS.Key = filepath.Join(t.TempDir(), "privkey.pem")
	return cfg, renewFiles(t, cfg)
}

// renewFiles puts a new certificate of a new authority into the files, and returns the authority's.
func renewFiles(t *testing.T, cfg *config.Config) (caFile string) {
	t.Helper()
	other := testConfig(t)
	src := mustLoad(t, other, io.Discard, time.Now)
	pair := read(t, filepath.Join(other.TLSDir(), serverPair))
	replace(t, cfg.TLS.Certificate, pair)
	replace(t, cfg.TLS.Key, pair)
	return src.CAFile()
}

// replace writes a file as certbot and friends do, with a time that differs from the old one's.
func replace(t *testing.T, path string, content []byte) {
	t.Helper()
	modified := time.Now()
	if old, err := os.Stat(path); err == nil {
		modified = old.ModTime().Add(time.Second)
	}
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path+".new", modified, modified); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestFilesAreUsed(t *testing.T) {
	t.Parallel()
	cfg, caFile := fileConfig(t)
	src := mustLoad(t, cfg, io.Discard, time.Now)
	mustHandshake(t, src, caFile, "localhost")
	if src.CAFile() != "" {
		t.Errorf("there is a local authority: %s", src.CAFile())
	}
}

func TestNewFilesAreNoticed(t *testing.T) {
	t.Parallel()
	cfg, caFile := fileConfig(t)
	c := &clock{}
	src := mustLoad(t, cfg, io.Discard, c.now)
	mustHandshake(t, src, caFile, "localhost")
	newCA := renewFiles(t, cfg)
	c.advance(checkInterval)
	mustHandshake(t, src, newCA, "localhost")
}

func TestReloadNoticesNewFilesAtOnce(t *testing.T) {
	t.Parallel()
	cfg, _ := fileConfig(t)
	stopped := time.Now()
	src := mustLoad(t, cfg, io.Discard, func() time.Time { return stopped })
	newCA := renewFiles(t, cfg)
	if _, err := src.Reload(); err != nil {
		t.Fatal(err)
	}
	mustHandshake(t, src, newCA, "localhost")
}

func TestFilesThatCannotBeUsedLeaveTheOldCertificate(t *testing.T) {
	t.Parallel()
	cfg, caFile := fileConfig(t)
	c, log := &clock{}, &bytes.Buffer{}
	src := mustLoad(t, cfg, log, c.now)
	newPair := read(t, otherPair(t))
	for name, damage := range map[string]func(){
		"only the certificate is new": func() { replace(t, cfg.TLS.Certificate, newPair) },
		"no PEM":                      func() { replace(t, cfg.TLS.Certificate, []byte("nonsense")) },
		"gone":                        func() { _ = os.Remove(cfg.TLS.Certificate) },
	} {
		log.Reset()
		damage()
		for range 3 {
			c.advance(checkInterval)
			mustHandshake(t, src, caFile, "localhost")
		}
		if got := strings.Count(log.String(), "the old one stays"); got != 1 {
			t.Errorf("%s: logged %d times: %s", name, got, log)
		}
		if _, err := src.Reload(); err == nil {
			t.Errorf("%s: Reload finds nothing wrong", name)
		}
	}
	// Once both files are good the new certificate is used.
	newCA := renewFiles(t, cfg)
	c.advance(checkInterval)
	mustHandshake(t, src, newCA, "localhost")
}

// otherPair returns a file with certificate and key of another server.
func otherPair(t *testing.T) string {
	t.Helper()
	other := testConfig(t)
	mustLoad(t, other, io.Discard, time.Now)
	return filepath.Join(other.TLSDir(), serverPair)
}

func TestMissingFilesStopTheStart(t *testing.T) {
	t.Parallel()
	cfg, _ := fileConfig(t)
	cfg.TLS.Key = "/does/not/exist.pem"
	if _, err := load(cfg, nil, time.Now); err == nil || !strings.Contains(err.Error(), "/does/not/exist.pem") {
		t.Errorf("got %v", err)
	}
	cfg.TLS.Key = otherPair(t)
	if _, err := load(cfg, nil, time.Now); err == nil || !strings.Contains(err.Error(), cfg.TLS.Key) {
		t.Errorf("a key of another certificate: got %v", err)
	}
}
