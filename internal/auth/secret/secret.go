// Package secret makes and compares what only its owner knows: access and refresh
// tokens, IDs of interactive sessions, client secrets. What is kept of one is its SHA-256,
// which is enough since nobody can guess them; passwords are another matter.
package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

// randomness is how many random bytes a secret has.
const randomness = 24

// Hash is what is kept of a secret.
type Hash [sha256.Size]byte

// HashOf returns the hash of a secret.
func HashOf(text string) Hash { return sha256.Sum256([]byte(text)) }

// Is reports whether a secret has the hash that was stored. An empty hash is nobody's.
func Is(stored []byte, text string) bool {
	hash := HashOf(text)
	return subtle.ConstantTimeCompare(stored, hash[:]) == 1
}

// New makes a secret that nobody can guess, of the characters that URLs can have. The
// prefix says to people, and to scanners for leaked secrets, what it is.
func New(prefix string) string {
	return prefix + base64.RawURLEncoding.EncodeToString(Bytes(randomness))
}

// Bytes returns n bytes that nobody can guess.
func Bytes(n int) []byte {
	b := make([]byte, n)
	// crypto/rand.Read never returns an error: it ends the process instead.
	_, _ = rand.Read(b)
	return b
}
