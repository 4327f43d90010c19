package thirdpartyinvite

import (
	"crypto/ed25519"
	"encoding/json"
	"testing"
)

// FuzzKeysAndAddresses reads what stands in third-party invitations.
func FuzzKeysAndAddresses(f *testing.F) {
	for _, seed := range []string{
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "____________________________________________=", "",
		`{"id_server":"x","id_access_token":"y","medium":"email","address":"a@b"}`, `{"medium":1}`, `null`, `"`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if key, ok := decodeKey(text); ok && len(key) != ed25519.PublicKeySize {
			t.Errorf("%q is a key of %d bytes", text, len(key))
		}
		list, err := readAddresses([]json.RawMessage{json.RawMessage(text)})
		if err == nil && len(list) != 1 {
			t.Errorf("%s is %d addresses", text, len(list))
		}
	})
}
