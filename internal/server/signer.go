package server

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"homeserver/internal/atomicfile"
	"homeserver/internal/event"
	"homeserver/internal/server/config"
)

// signingKeyFile has one line: the algorithm, the version of the key, and the seed in
// unpadded Base64, as other servers of the protocol write it.
const signingKeyFile = "signing.key"

const signingAlgorithm = "ed25519"

func signingKeyPath(cfg *config.Config) string { return filepath.Join(cfg.DataDir, signingKeyFile) }

// loadSigner reads the key that events are signed with. The error wraps fs.ErrNotExist where there is no
// file. A file that cannot be read is another error, and never replaced: with another key the server would
// be another one in the eyes of those it federates with.
func loadSigner(cfg *config.Config) (*event.Signer, error) {
	path := signingKeyPath(cfg)
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load the signing key: %w", err)
	}
	fields := strings.Fields(string(content))
	if len(fields) != 3 || fields[0] != signingAlgorithm || !isKeyVersion(fields[1]) {
		return nil, fmt.Errorf("load the signing key: %s is not of the form \"ed25519 a_version seed\"", path)
	}
	seed, err := base64.RawStdEncoding.DecodeString(fields[2])
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("load the signing key: the seed in %s is not %d bytes in unpadded Base64", path, ed25519.SeedSize)
	}
	return &event.Signer{
		ServerName: cfg.ServerName,
		KeyID:      signingAlgorithm + ":" + fields[1],
		Key:        ed25519.NewKeyFromSeed(seed),
	}, nil
}

// isKeyVersion checks the grammar of the appendices, "Signing Details": letters, digits and underscores.
func isKeyVersion(version string) bool {
	for _, c := range []byte(version) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return version != ""
}

// makeSigner makes the key. Of several processes that do so at once, one does it for all.
func makeSigner(cfg *config.Config) (*event.Signer, error) {
	if err := makeSigningKey(signingKeyPath(cfg)); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make the signing key: %w", err)
	}
	return loadSigner(cfg)
}

func makeSigningKey(path string) error {
	seed := make([]byte, ed25519.SeedSize)
	// Never fails: see crypto/rand.
	_, _ = rand.Read(seed)
	line := fmt.Sprintf("%s a_%s %s\n", signingAlgorithm, rand.Text()[:4], base64.RawStdEncoding.EncodeToString(seed))
	return atomicfile.Create(path, []byte(line), 0o600)
}
