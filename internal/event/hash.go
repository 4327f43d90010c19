package event

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"strings"

	"homeserver/internal/matrix"
)

// ReferenceHash returns the reference hash of the event in unpadded Base64, by which
// events of versions 1 and 2 refer to it (see [Proto].ReferenceHashes). Server-server
// API, "Calculating the reference hash for an event".
func (e *Event) ReferenceHash() (string, error) {
	hash, err := referenceHash(e.Version, e.JSON)
	if err != nil {
		return "", err
	}
	return base64.RawStdEncoding.EncodeToString(hash[:]), nil
}

func referenceHash(v *Version, canonical []byte) ([sha256.Size]byte, error) {
	redacted, err := redact(v, canonical, "signatures", "unsigned")
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	return sha256.Sum256(redacted), nil
}

// contentHash returns the hash of an event in canonical JSON, without hashes,
// signatures and unsigned.
// Server-server API, "Calculating the content hash for an event".
func contentHash(canonical []byte) [sha256.Size]byte {
	return sha256.Sum256(appendWithout(make([]byte, 0, len(canonical)), canonical, "hashes", "signatures", "unsigned"))
}

// VerifyHash checks that the sender's server has hashed the event with this content.
// M_BAD_JSON where it has not: callers then use the event in its redacted form
// ([Redact]). Server-server API, "Validating hashes and signatures on received events".
func (e *Event) VerifyHash() error {
	text, _ := StringField(Field(e.JSON, "hashes"), "sha256")
	claimed, err := decodeBase64(text)
	if err != nil {
		return matrix.Errorf(matrix.BadJSON, "the content hash of event %s is not Base64", e.ID)
	}
	if actual := contentHash(e.JSON); !bytes.Equal(claimed, actual[:]) {
		return matrix.Errorf(matrix.BadJSON, "the content hash of event %s does not match its content", e.ID)
	}
	return nil
}

// hashID returns the ID of the event with a reference hash: "Event IDs" of room
// versions 3 and 4.
func hashID(v *Version, hash [sha256.Size]byte) string {
	encoding := base64.RawURLEncoding
	if v.EventIDs == HashEventID {
		encoding = base64.RawStdEncoding
	}
	var text [1 + 43]byte
	text[0] = '$'
	encoding.Encode(text[1:], hash[:])
	return string(text[:])
}

// hashRoomID returns the ID of a room of version 12 from that of its m.room.create.
func hashRoomID(createID string) string { return "!" + strings.TrimPrefix(createID, "$") }

// NewRoomID returns a new ID for a room of versions 1 to 11: 18 random letters and
// the server's name. Appendices, "Room IDs".
func NewRoomID(server string) string { return "!" + randomLetters() + ":" + server }

// randomLetters returns 18 random letters, which have 102 bits.
func randomLetters() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var text [18]byte
	for i := range text {
		// rand.Int on rand.Reader never fails: the reader ends the program instead.
		n, _ := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
		text[i] = letters[n.Int64()]
	}
	return string(text[:])
}

// decodeBase64 decodes Base64 of either alphabet, with or without padding: keys and
// signatures come in all these forms.
func decodeBase64(text string) ([]byte, error) {
	text = strings.TrimRight(text, "=")
	if strings.ContainsAny(text, "-_") {
		return base64.RawURLEncoding.DecodeString(text)
	}
	return base64.RawStdEncoding.DecodeString(text)
}
