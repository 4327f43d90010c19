package certs

import (
	"bytes"
	"crypto/x509"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const day = 24 * time.Hour

func TestLocalAuthoritySurvivesRestarts(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	first := mustLoad(t, cfg, io.Discard, time.Now)
	shown := mustHandshake(t, first, first.CAFile(), "localhost")
	if want := filepath.Join(cfg.DataDir, "tls", "ca.pem"); first.CAFile() != want {
		t.Errorf("the authority is in %s, not in %s", first.CAFile(), want)
	}
	second := mustLoad(t, cfg, io.Discard, time.Now)
	if !shown.Equal(mustHandshake(t, second, second.CAFile(), "localhost")) {
		t.Error("the second start shows another certificate")
	}
}

func TestPrivateKeysAreForTheOwnerOnly(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	mustLoad(t, cfg, io.Discard, time.Now)
	for name, want := range map[string]os.FileMode{"ca.pem": 0o644, "ca-key.pem": 0o600, "server.pem": 0o600} {
		info, err := os.Stat(filepath.Join(cfg.TLSDir(), name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), want)
		}
	}
	entries, err := os.ReadDir(cfg.TLSDir())
	if err != nil || len(entries) != 3 {
		t.Errorf("got %v, %v, want those three files alone", entries, err)
	}
}

func TestLocalCertificateIsRenewedWhileTheServerRuns(t *testing.T) {
	t.Parallel()
	c, log := &clock{}, &bytes.Buffer{}
	src := mustLoad(t, testConfig(t), log, c.now)
	ca := read(t, src.CAFile())
	first := mustHandshake(t, src, src.CAFile(), "localhost")

	c.advance(serverLifetime - renewBefore - day)
	if again := mustHandshake(t, src, src.CAFile(), "localhost"); !again.Equal(first) {
		t.Error("renewed too early")
	}
	c.advance(2 * day)
	second := mustHandshake(t, src, src.CAFile(), "localhost")
	if second.Equal(first) || second.NotAfter.Before(c.now().Add(serverLifetime-day)) {
		t.Errorf("not renewed: ends %v", second.NotAfter)
	}
	if !strings.Contains(log.String(), "using a new certificate") {
		t.Errorf("logged %q", log)
	}
	if !bytes.Equal(ca, read(t, src.CAFile())) {
		t.Error("the authority has changed, though it is good for years")
	}
}

func TestAuthorityIsRenewedUnderItsOldKey(t *testing.T) {
	t.Parallel()
	c, cfg := &clock{}, testConfig(t)
	src := mustLoad(t, cfg, io.Discard, c.now)
	trusted := filepath.Join(t.TempDir(), "what-users-have-installed.pem")
	if err := os.WriteFile(trusted, read(t, src.CAFile()), 0o600); err != nil {
		t.Fatal(err)
	}
	c.advance(caLifetime - serverLifetime + day)
	later := mustLoad(t, cfg, io.Discard, c.now)
	if bytes.Equal(read(t, trusted), read(t, src.CAFile())) {
		t.Error("the authority is not renewed")
	}
	mustHandshake(t, later, later.CAFile(), "localhost")
	// A client that trusts the old certificate still trusts the server, until that certificate expires.
	leaf := mustHandshake(t, later, trusted, "localhost")
	if leaf.NotAfter.Before(c.now().Add(serverLifetime - day)) {
		t.Errorf("the server's certificate ends %v", leaf.NotAfter)
	}
}

func TestNewNamesGetANewCertificate(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	src := mustLoad(t, cfg, io.Discard, time.Now)
	ca := read(t, src.CAFile())
	cfg.ServerName = "example.org"
	src = mustLoad(t, cfg, io.Discard, time.Now)
	mustHandshake(t, src, src.CAFile(), "example.org")
	renewed := read(t, src.CAFile())
	if bytes.Equal(ca, renewed) {
		t.Error("the authority may not speak for the new name, and is the same")
	}
	cfg.ServerName = "localhost"
	src = mustLoad(t, cfg, io.Discard, time.Now)
	mustHandshake(t, src, src.CAFile(), "localhost")
	if !bytes.Equal(renewed, read(t, src.CAFile())) {
		t.Error("the authority has changed, though it may speak for all names")
	}
}

func TestStolenAuthorityCannotSpeakForOthers(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	mustLoad(t, cfg, io.Discard, time.Now)
	stolen := &localAuthority{dir: cfg.TLSDir(), names: localNames(cfg), now: time.Now}
	ca, err := stolen.open()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.certificate)
	for name, want := range map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true, "bank.example": false, "192.0.2.1": false, "127.0.0.2": false} {
		forger := &localAuthority{dir: t.TempDir(), names: []string{name}, now: time.Now}
		pair, err := forger.issue(ca)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Those that were made before there were constraints have been trusted as they are.
func TestAuthorityWithoutConstraintsStays(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	if err := os.MkdirAll(cfg.TLSDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	template := newTemplate("homeserver local CA OLDONE", time.Now(), caLifetime)
	template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
	old, err := key.sign(template, &keyPair{certificate: template, key: key.key})
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := old.encodeKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{caCertificate: old.encodeCertificate(), caKey: encoded} {
		if err := os.WriteFile(filepath.Join(cfg.TLSDir(), name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg.ServerName = "example.org"
	src := mustLoad(t, cfg, io.Discard, time.Now)
	mustHandshake(t, src, src.CAFile(), "example.org")
	if !bytes.Equal(old.encodeCertificate(), read(t, src.CAFile())) {
		t.Error("the authority was replaced")
	}
}

func TestDamagedServerPairIsReplaced(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	mustLoad(t, cfg, io.Discard, time.Now)
	if err := os.WriteFile(filepath.Join(cfg.TLSDir(), serverPair), []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	src := mustLoad(t, cfg, io.Discard, time.Now)
	mustHandshake(t, src, src.CAFile(), "localhost")
}

// An authority that somebody may have trusted is never replaced without being asked.
func TestDamagedAuthorityIsAnErrorThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(certificate, key string) error{
		"no key":             func(_, key string) error { return os.Remove(key) },
		"key of another":     func(_, key string) error { return os.WriteFile(key, otherKey(t), 0o600) },
		"broken certificate": func(certificate, _ string) error { return os.WriteFile(certificate, []byte("x"), 0o600) },
	} {
		cfg := testConfig(t)
		mustLoad(t, cfg, io.Discard, time.Now)
		certificate, key := filepath.Join(cfg.TLSDir(), caCertificate), filepath.Join(cfg.TLSDir(), caKey)
		if err := damage(certificate, key); err != nil {
			t.Fatal(err)
		}
		_, err := load(cfg, nil, time.Now)
		if err == nil || !strings.Contains(err.Error(), "remove "+certificate+" and "+key) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func otherKey(t *testing.T) []byte {
	t.Helper()
	pair, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := pair.encodeKey()
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// A crash while the authority was made leaves its key without its certificate.
func TestKeyWithoutCertificateCountsAsNoAuthority(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	if err := os.MkdirAll(cfg.TLSDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.TLSDir(), caKey), otherKey(t), 0o600); err != nil {
		t.Fatal(err)
	}
	src := mustLoad(t, cfg, io.Discard, time.Now)
	mustHandshake(t, src, src.CAFile(), "localhost")
}
