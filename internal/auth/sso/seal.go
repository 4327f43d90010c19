package sso

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// sealer seals what a browser keeps for the server, so that it can neither be read nor changed there.
type sealer struct{ aead cipher.AEAD }

// newSealer derives the key from a secret that all processes of the server have.
func newSealer(secret []byte) (*sealer, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "cookies of single sign-on", chacha20poly1305.KeySize)
	if err != nil {
		return nil, fmt.Errorf("derive the key of single sign-on: %w", err)
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("make the cipher of single sign-on: %w", err)
	}
	return &sealer{aead}, nil
}

// seal encodes a value for one purpose, which open must be called with, too.
func (s *sealer) seal(purpose string, value any) (string, error) {
	plain, err := json.Marshal(value)
	if err != nil {
		return "", fmt.Errorf("encode what a browser keeps: %w", err)
	}
	sealed := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	_, _ = rand.Read(sealed) // never fails: see crypto/rand
	sealed = s.aead.Seal(sealed, sealed, plain, []byte(purpose))
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

var errSeal = errors.New("this was not sealed here")

// open decodes what seal has made; errSeal for any other text.
func (s *sealer) open(purpose, text string, into any) error {
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(sealed) < s.aead.NonceSize() {
		return errSeal
	}
	nonce, sealed := sealed[:s.aead.NonceSize()], sealed[s.aead.NonceSize():]
	plain, err := s.aead.Open(nil, nonce, sealed, []byte(purpose))
	if err != nil || json.Unmarshal(plain, into) != nil {
		return errSeal
	}
	return nil
}
