package event

import (
	"bytes"
	"iter"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The functions of this file read canonical JSON without decoding all of it. They trust
// the form: on anything else the results are wrong or missing, but nothing panics.

// Field returns the JSON of a member's value in an object in canonical form, and nil
// where there is no such member. The key must need no escapes. The result shares the
// memory of the object.
func Field(object []byte, key string) []byte {
	for m := membersOf(object); m.next(); {
		if string(m.key) == key {
			return m.value
		}
	}
	return nil
}

// StringField returns the text of a member of a JSON object in canonical form, and
// false where there is no such member or it is not a string.
func StringField(object []byte, key string) (string, bool) {
	return Unquote(Field(object, key))
}

// Members yields the members of a JSON object in canonical form: the names, escaped and
// without their quotes, and the values as JSON. Both share the memory of the object.
func Members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for m := membersOf(object); m.next(); {
			if !yield(m.key, m.value) {
				return
			}
		}
	}
}

// members iterates over the members of an object.
type members struct {
	rest []byte
	// key is the current name, escaped and without its quotes; value is its JSON.
	key, value []byte
}

func membersOf(object []byte) members {
	if len(object) < 2 || object[0] != '{' {
		return members{}
	}
	return members{rest: object[1:]}
}

func (m *members) next() bool {
	if len(m.rest) > 0 && m.rest[0] == ',' {
		m.rest = m.rest[1:]
	}
	end := stringEnd(m.rest)
	if end < 0 || end >= len(m.rest) || m.rest[end] != ':' {
		return false
	}
	m.key, m.rest = m.rest[1:end-1], m.rest[end+1:]
	return takeValue(&m.rest, &m.value)
}

// elements iterates over the elements of an array.
type elements struct {
	rest, value []byte
}

func elementsOf(array []byte) elements {
	if len(array) < 2 || array[0] != '[' {
		return elements{}
	}
	return elements{rest: array[1:]}
}

func (e *elements) next() bool {
	if len(e.rest) > 0 && e.rest[0] == ',' {
		e.rest = e.rest[1:]
	}
	return takeValue(&e.rest, &e.value)
}

// takeValue moves the JSON value at the start of rest to value.
func takeValue(rest, value *[]byte) bool {
	end := valueEnd(*rest)
	if end <= 0 {
		return false
	}
	*value, *rest = (*rest)[:end:end], (*rest)[end:]
	return true
}

// valueEnd returns the length of the JSON value at the start of b, and 0 or less where
// there is none.
func valueEnd(b []byte) int {
	if len(b) == 0 {
		return -1
	}
	switch b[0] {
	case '"':
		return stringEnd(b)
	case '{', '[':
		return nestedEnd(b)
	}
	for i, c := range b {
		if c == ',' || c == ']' || c == '}' {
			return i
		}
	}
	return len(b)
}

func nestedEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			end := stringEnd(b[i:])
			if end < 0 {
				return -1
			}
			i += end - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// stringEnd returns the length of the JSON string at the start of b, quotes included,
// and -1 where there is none.
func stringEnd(b []byte) int {
	if len(b) < 2 || b[0] != '"' {
		return -1
	}
	for i := 1; i < len(b); i++ {
		quote := bytes.IndexByte(b[i:], '"')
		if quote < 0 {
			return -1
		}
		i += quote
		backslashes := 0
		for b[i-1-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 {
			return i + 1
		}
	}
	return -1
}

// isQuoted reports whether the JSON value is the string s. s must need no escapes.
func isQuoted(value []byte, s string) bool {
	return len(value) == len(s)+2 && value[0] == '"' && string(value[1:len(value)-1]) == s
}

// Unquote returns the text of a JSON string in canonical form, and false for any other
// value.
func Unquote(value []byte) (string, bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	inner := value[1 : len(value)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), true
	}
	return string(unescape(inner)), true
}

// unescape decodes the escapes of a JSON string, which comes without its quotes.
func unescape(s []byte) []byte {
	text := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			text = append(text, s[i])
			continue
		}
		i++
		if s[i] != 'u' {
			text = append(text, plainEscapes[s[i]])
			continue
		}
		r, ok := hexRune(s[i+1:])
		if ok {
			i += 4
		}
		text = utf8.AppendRune(text, r)
	}
	return text
}

// plainEscapes has the character for each escape of one letter, and 0 for other letters.
var plainEscapes = [256]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// hexRune reads the four hexadecimal digits at the start of s.
func hexRune(s []byte) (rune, bool) {
	if len(s) < 4 {
		return utf8.RuneError, false
	}
	var r rune
	for _, c := range s[:4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return utf8.RuneError, false
		}
	}
	return r, true
}

// surrogatePair reads the escape \uXXXX at the start of s as the second half of
// a character whose first half is given.
func surrogatePair(first rune, s []byte) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return utf8.RuneError, false
	}
	second, ok := hexRune(s[2:])
	r := utf16.DecodeRune(first, second)
	return r, ok && r != utf8.RuneError
}

const hexDigits = "0123456789abcdef"

// AddRoomID adds room_id to the event that was written last: a JSON object with members.
func AddRoomID(dst []byte, roomID string) []byte {
	dst = append(dst[:len(dst)-1], `,"room_id":`...)
	return append(AppendString(dst, roomID), '}')
}

// AppendString appends a text as a JSON string in canonical form. Bytes that are not
// UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	dst = append(dst, '"')
	start := 0
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' {
			dst = append(dst, s[start:i]...)
			dst = appendEscaped(dst, c)
			start = i + 1
		}
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// appendEscaped appends the one canonical escape of a control character, quote
// or backslash.
func appendEscaped(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\t':
		return append(dst, '\\', 't')
	case '\n':
		return append(dst, '\\', 'n')
	case '\f':
		return append(dst, '\\', 'f')
	case '\r':
		return append(dst, '\\', 'r')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}

// With returns a JSON object in canonical form with one member added or replaced.
func With(object []byte, key string, value []byte) []byte { return setMember(object, key, value) }

// Without returns a JSON object in canonical form without some members.
func Without(object []byte, keys ...string) []byte {
	return appendWithout(make([]byte, 0, len(object)), object, keys...)
}

// appendWithout appends a JSON object in canonical form without some members.
func appendWithout(dst, object []byte, keys ...string) []byte {
	dst = append(dst, '{')
	first := true
	for m := membersOf(object); m.next(); {
		if !contains(keys, m.key) {
			dst = appendMember(dst, &first, m.key, m.value)
		}
	}
	return append(dst, '}')
}

// appendMember appends a member to an object whose brace is open. The key is escaped
// already.
func appendMember(dst []byte, first *bool, key, value []byte) []byte {
	if !*first {
		dst = append(dst, ',')
	}
	*first = false
	dst = append(dst, '"')
	dst = append(dst, key...)
	dst = append(dst, '"', ':')
	return append(dst, value...)
}

// setMember returns an object in canonical form with one member added or replaced. Any
// other value counts as an empty object.
func setMember(object []byte, key string, value []byte) []byte {
	quoted := AppendString(nil, key)
	escaped := quoted[1 : len(quoted)-1]
	dst := append(make([]byte, 0, len(object)+len(quoted)+len(value)+4), '{')
	first, done := true, false
	for m := membersOf(object); m.next(); {
		order := compareKeys(m.key, escaped)
		if order >= 0 && !done {
			dst = appendMember(dst, &first, escaped, value)
			done = true
		}
		if order != 0 {
			dst = appendMember(dst, &first, m.key, m.value)
		}
	}
	if !done {
		dst = appendMember(dst, &first, escaped, value)
	}
	return append(dst, '}')
}

func contains(keys []string, key []byte) bool {
	for _, k := range keys {
		if k == string(key) {
			return true
		}
	}
	return false
}

// parseInt reads a JSON number that is an integer.
func parseInt(value []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(value), 10, 64)
	return n, err == nil
}
