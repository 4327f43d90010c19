package event

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"

	"homeserver/internal/matrix"
)

// Signer signs JSON and events in the name of one server.
type Signer struct {
	ServerName string
	// KeyID is the signing key identifier, "ed25519:" and the key's version.
	KeyID string
	Key   ed25519.PrivateKey
}

// SignJSON returns the object in canonical JSON with the server's signature added to
// its signatures. The member unsigned stays and is not signed. Errors are those of
// [Canonical], with strict rules. Appendices, "Signing Details".
func (s *Signer) SignJSON(raw []byte) ([]byte, error) {
	object, err := canonicalObject(raw, integersOnly, 0)
	if err != nil {
		return nil, err
	}
	signature := s.sign(appendWithout(nil, object, "signatures", "unsigned"))
	signatures := setMember(Field(object, "signatures"), s.ServerName,
		setMember(Field(Field(object, "signatures"), s.ServerName), s.KeyID, AppendString(nil, signature)))
	return setMember(object, "signatures", signatures), nil
}

// sign returns the signature in unpadded Base64.
func (s *Signer) sign(message []byte) string {
	return base64.RawStdEncoding.EncodeToString(ed25519.Sign(s.Key, message))
}

// VerifySignature checks the server's signature with the key ID. M_UNAUTHORIZED
// where it is missing or wrong. An event needs the signature of its sender's server;
// in versions 1 and 2 also that of the server in its ID; and with
// join_authorised_via_users_server that of the server of the user named there.
// Server-server API, "Validating hashes and signatures on received events".
func (e *Event) VerifySignature(serverName, keyID string, key ed25519.PublicKey) error {
	redacted, err := redact(e.Version, e.JSON)
	if err != nil {
		return err
	}
	return verify(redacted, serverName, keyID, key)
}

// VerifyJSON checks a signature on an object. M_UNAUTHORIZED where it is missing
// or wrong; else the errors of [Canonical], with strict rules. Appendices,
// "Checking for a Signature".
func VerifyJSON(raw []byte, serverName, keyID string, key ed25519.PublicKey) error {
	object, err := canonicalObject(raw, integersOnly, 0)
	if err != nil {
		return err
	}
	return verify(object, serverName, keyID, key)
}

// verify checks a signature on an object in canonical form.
func verify(object []byte, serverName, keyID string, key ed25519.PublicKey) error {
	text, ok := StringField(Field(Field(object, "signatures"), serverName), keyID)
	if !ok {
		return matrix.Errorf(matrix.Unauthorized, "there is no signature of %s with the key %s", serverName, keyID)
	}
	message := appendWithout(make([]byte, 0, len(object)), object, "signatures", "unsigned")
	if !validSignature(key, message, text) {
		return matrix.Errorf(matrix.Unauthorized, "the signature of %s with the key %s is wrong", serverName, keyID)
	}
	return nil
}

func validSignature(key ed25519.PublicKey, message []byte, signature string) bool {
	decoded, err := decodeBase64(signature)
	return err == nil && len(key) == ed25519.PublicKeySize && ed25519.Verify(key, message, decoded)
}

// isEd25519 reports whether a signing key identifier is of the only algorithm in use.
func isEd25519(keyID string) bool { return strings.HasPrefix(keyID, "ed25519:") }
