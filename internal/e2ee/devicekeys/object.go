package devicekeys

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"

	"github.com/go-json-experiment/json"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
)

// object is a JSON object that is signed, taken apart: appendices, "Signing JSON".
type object struct {
	// signed is what the signatures cover: canonical JSON without signatures and unsigned.
	signed []byte
	// signatures are those that came with it, by user and key ID. None is checked yet.
	signatures map[string]map[string]string
}

// parseObject reads an object of at most so many bytes, and decodes it into a value. name
// says in messages what it is. M_TOO_LARGE, and M_BAD_JSON for what is not canonical JSON
// or has other types than the value.
func parseObject(raw []byte, most int, name string, into any) (*object, error) {
	if len(raw) > most {
		return nil, matrix.Errorf(matrix.TooLarge, "%s has more than %d bytes", name, most)
	}
	canonical, err := event.Canonical(raw, true)
	if err != nil {
		return nil, err
	}
	if canonical[0] != '{' {
		return nil, matrix.Errorf(matrix.BadJSON, "%s must be an object", name)
	}
	var with struct {
		Signatures map[string]map[string]string `json:"signatures"`
	}
	if json.Unmarshal(canonical, &with) != nil || json.Unmarshal(canonical, into) != nil {
		return nil, matrix.Errorf(matrix.BadJSON, "%s has a member of the wrong type", name)
	}
	return &object{signed: event.Without(canonical, "signatures", "unsigned"), signatures: with.Signatures}, nil
}

// signature returns the signature of a user with an Ed25519 key, where it is there.
func (o *object) signature(userID, keyID string) string {
	return o.signatures[userID][ed25519Prefix+keyID]
}

// verify returns the signature of a user with an Ed25519 key. M_INVALID_SIGNATURE where it
// is missing or wrong.
func (o *object) verify(userID, keyID string, key ed25519.PublicKey) (string, error) {
	signature := o.signature(userID, keyID)
	if signature == "" {
		return "", matrix.Errorf(matrix.InvalidSignature, "there is no signature of %s with the key %s", userID, ed25519Prefix+keyID)
	}
	if !isSigned(o.signed, signature, key) {
		return "", matrix.Errorf(matrix.InvalidSignature, "the signature of %s with the key %s is wrong", userID, ed25519Prefix+keyID)
	}
	return signature, nil
}

func isSigned(message []byte, signature string, key ed25519.PublicKey) bool {
	decoded, ok := decodeBase64(signature, ed25519.SignatureSize)
	return ok && ed25519.Verify(key, message, decoded)
}

const ed25519Prefix = "ed25519:"

// keyBytes is the length of an Ed25519 and of a Curve25519 public key.
const keyBytes = 32

// decodeBase64 decodes unpadded Base64 of so many bytes, in the one way in which it can be
// written.
func decodeBase64(text string, length int) (decoded []byte, ok bool) {
	decoded, err := base64.RawStdEncoding.DecodeString(text)
	return decoded, err == nil && len(decoded) == length && base64.RawStdEncoding.EncodeToString(decoded) == text
}

// parseKey decodes an Ed25519 or Curve25519 public key: M_INVALID_PARAM.
func parseKey(name, text string) ([]byte, error) {
	key, ok := decodeBase64(text, keyBytes)
	if !ok {
		return nil, matrix.Errorf(matrix.InvalidParam, "%s must be %d bytes in unpadded Base64", clip(name), keyBytes)
	}
	return key, nil
}

// appendSigned appends an object that was stored without its signatures, with those of one user,
// and leaves it open, so that more members may follow. Without any the member is not there.
func appendSigned(dst, signed []byte, by *signatures) []byte {
	dst = append(dst, signed[:len(signed)-1]...)
	if len(by.keyIDs) == 0 {
		return dst
	}
	return append(by.appendMember(append(dst, `,"signatures":{`...)), '}')
}

// signatures are those of one user: key IDs without their algorithm, and beside each the
// signature.
type signatures struct {
	userID         string
	keyIDs, values []string
}

// add adds a signature, if there is one.
func (s *signatures) add(keyID, signature string) {
	if signature != "" {
		s.keyIDs, s.values = append(s.keyIDs, keyID), append(s.values, signature)
	}
}

// appendMember appends the signatures as the member of an object, whose name is the user.
func (s *signatures) appendMember(dst []byte) []byte {
	dst = append(event.AppendString(dst, s.userID), `:{`...)
	for i, keyID := range s.keyIDs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(event.AppendString(dst, ed25519Prefix+keyID), ':')
		dst = event.AppendString(dst, s.values[i])
	}
	return append(dst, '}')
}

// clip keeps what a stranger sent from filling an error message.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
