package matrix

import (
	"bytes"
	"encoding/json"
)

// Nullable is a text of an answer that is null, and not absent, where it is empty.
// The specification only says that such members are optional; but clients have
// grown up with servers that always send them, and some fail without.
type Nullable string

// MarshalJSON writes the text, or null for an empty one.
func (n Nullable) MarshalJSON() ([]byte, error) {
	if n == "" {
		return []byte("null"), nil
	}
	return EncodeJSON(string(n))
}

// EncodeJSON returns a value as JSON, the names of maps in order, without the escapes for
// HTML pages that the standard library puts in by default.
func EncodeJSON(v any) ([]byte, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), err
}

// IsNull reports whether a member of a request is null or was not sent, which is the same.
func IsNull(value []byte) bool { return value == nil || string(value) == "null" }
