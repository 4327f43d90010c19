package devicekeys

import (
	"crypto/ed25519"

	"homeserver/internal/matrix"
)

// Usage is what a cross-signing key is for: client-server API, "Cross-signing".
type Usage string

// The usages.
const (
	Master      Usage = "master"
	SelfSigning Usage = "self_signing"
	UserSigning Usage = "user_signing"
)

// signingKey is a cross-signing key as it is stored.
type signingKey struct {
	publicKey string
	signed    []byte // the object without its signatures
	signature string // by the master key; of the master key itself "" or its own
}

// key returns the public key. It was checked when it was stored.
func (k *signingKey) key() ed25519.PublicKey {
	key, _ := decodeBase64(k.publicKey, keyBytes)
	return key
}

// signingKeys are those of one user.
type signingKeys map[Usage]*signingKey

// has reports whether a key ID is that of one of the keys.
func (keys signingKeys) has(keyID string) bool {
	for _, k := range keys {
		if k.publicKey == keyID {
			return true
		}
	}
	return false
}

// errKeyIDInUse refuses a key whose ID would be that of another one.
func errKeyIDInUse() error { return matrix.Errorf(matrix.Forbidden, "Key ID in use") }
