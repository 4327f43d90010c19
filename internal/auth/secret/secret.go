// Package secret makes and compares secrets of clients: access and refresh tokens, IDs
// of interactive sessions, client secrets. Only their SHA-256 is stored, which is
// enough since nobody can guess them; passwords are hashed differently.
package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

// randomness is how many random bytes a secret has.
const randomness = 24

// Hash is the stored form of a secret.
type Hash [sha256.Size]byte

// HashOf returns the hash of a secret.
func HashOf(text string) Hash {
	var room [64]byte // enough for the secrets that are made here
	return sha256.Sum256(append(room[:0], text...))
}

// Is reports whether a secret has the hash that was stored. An empty hash is nobody's.
func Is(stored []byte, text string) bool {
	hash := HashOf(text)
	return subtle.ConstantTimeCompare(stored, hash[:]) == 1
}

// New makes a secret that nobody can guess, of the characters that URLs can have. The
// prefix shows its kind to people, and to scanners for leaked secrets.
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
