package server

import (
	"crypto/ed25519"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/server/config"
)

// keyConfig returns a configuration whose data folder holds the signing key, if there is one.
func keyConfig(t *testing.T, key string) *config.Config {
	t.Helper()
	cfg := config.Default()
	cfg.DataDir = t.TempDir()
	if key != "" {
		if err := os.WriteFile(filepath.Join(cfg.DataDir, signingKeyFile), []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cfg
}

func TestSigningKeyIsMadeOnceAndKept(t *testing.T) {
	t.Parallel()
	cfg := keyConfig(t, "")
	if _, err := loadSigner(cfg); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a key before one was made: %v", err)
	}
	first, err := makeSigner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := makeSigner(cfg); err != nil || !again.Key.Equal(first.Key) {
		t.Errorf("the key was replaced, %v", err)
	}
	second, err := loadSigner(cfg)
	if err != nil || !first.Key.Equal(second.Key) || first.KeyID != second.KeyID {
		t.Errorf("the second start has another key: %s and %s, %v", first.KeyID, second.KeyID, err)
	}
	path := filepath.Join(cfg.DataDir, signingKeyFile)
	content, err := os.ReadFile(path)
	if err != nil || !regexp.MustCompile(`^ed25519 a_[A-Z0-9]{4} [A-Za-z0-9+/]{43}\n$`).Match(content) {
		t.Errorf("the file holds %q, %v", content, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	other, err := makeSigner(keyConfig(t, ""))
	if err != nil || other.Key.Equal(first.Key) {
		t.Errorf("two servers have the same key, %v", err)
	}
}

// The seed and the signature are those of the appendices, "Cryptographic Test Vectors".
func TestSigningKeyOfTheSpecificationSigns(t *testing.T) {
	t.Parallel()
	cfg := keyConfig(t, "ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1")
	cfg.ServerName = "domain"
	signer, err := loadSigner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.SignJSON([]byte(`{}`))
	const want = `"ed25519:1":"K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ"`
	if err != nil || !strings.Contains(string(signed), want) {
		t.Errorf("got %s, %v", signed, err)
	}
	if err := event.VerifyJSON(signed, "domain", signer.KeyID, signer.Key.Public().(ed25519.PublicKey)); err != nil {
		t.Error(err)
	}
}

// A server that made itself a new key would be another server to the rest of the world.
func TestDamagedSigningKeyIsAnErrorAndStays(t *testing.T) {
	t.Parallel()
	const seed = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"
	for name, content := range map[string]string{
		"blank":           "\n",
		"other algorithm": "rsa a_1 " + seed,
		"no version":      "ed25519 " + seed,
		"bad version":     "ed25519 a:1 " + seed,
		"short seed":      "ed25519 a_1 " + seed[:40],
		"no Base64":       "ed25519 a_1 " + strings.Repeat("!", 43),
		"too much":        "ed25519 a_1 " + seed + " x",
	} {
		cfg := keyConfig(t, content)
		_, err := loadSigner(cfg)
		if err == nil || !strings.Contains(err.Error(), signingKeyFile) {
			t.Errorf("%s: got %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), seed[:40]) {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
		kept, readErr := os.ReadFile(filepath.Join(cfg.DataDir, signingKeyFile))
		if readErr != nil || string(kept) != content {
			t.Errorf("%s: the file has become %q, %v", name, kept, readErr)
		}
	}
}
