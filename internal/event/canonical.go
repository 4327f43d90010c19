package event

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"homeserver/internal/matrix"
)

// MaxBytes is the greatest length of an event in canonical JSON, signatures
// included: client-server API, "Size limits".
const MaxBytes = 65536

const (
	// maxSafeInteger is the greatest integer of canonical JSON.
	maxSafeInteger = 1<<53 - 1
	// maxNesting bounds how deep objects and arrays may be nested. The
	// specification sets no bound; widespread JSON libraries stop here.
	maxNesting = 128
)

// Canonical returns JSON in the form of the appendices, "Canonical JSON": UTF-8, keys
// sorted by code point, no white space, no needless escapes. Input that is in this form
// already is returned unchanged, so the result may share its memory.
//
// An integer within ±(2^53-1) is written in its only canonical form: as in the
// examples of the specification, 1e10 becomes 10000000000 and -0 becomes 0; 1.0
// becomes 1 likewise, since JSON has but one kind of numbers. Strict is for room
// version 6 and later, and refuses all other numbers; else they are not changed, but
// refused where they are so large that no float64 holds them: some clients cannot read
// an answer at all that has such a number somewhere in it.
//
// M_NOT_JSON for bytes that are not JSON in UTF-8; M_BAD_JSON for numbers as above,
// duplicate keys, lone surrogates and nesting deeper than 128; M_TOO_LARGE where
// the result is over [MaxBytes].
func Canonical(raw []byte, strict bool) ([]byte, error) {
	canonical, err := canonicalize(raw, numbersFor(strict), 0)
	if err != nil {
		return nil, err
	}
	return canonical, checkSize(canonical)
}

// CanonicalOfAnySize is [Canonical], not strict, of JSON that is larger than an event may be.
func CanonicalOfAnySize(raw []byte) ([]byte, error) { return canonicalize(raw, anyNumber, 0) }

func checkSize(canonical []byte) error {
	if len(canonical) > MaxBytes {
		return matrix.Errorf(matrix.TooLarge, "the JSON has %d bytes, more than the %d of an event", len(canonical), MaxBytes)
	}
	return nil
}

// numbers says how to handle a number that is not in canonical form.
type numbers int

const (
	// integersOnly: it is rewritten if it is an integer, and refused otherwise.
	integersOnly numbers = iota
	// anyNumber: it is rewritten if it is an integer, and not changed otherwise. One
	// that is beyond the range of float64 is refused.
	anyNumber
	// asWritten: it is not changed, since a signature or a hash of another server may
	// cover it.
	asWritten
)

func numbersFor(strict bool) numbers {
	if strict {
		return integersOnly
	}
	return anyNumber
}

// newNumbers returns the numbers for an event that this server makes.
func (v *Version) newNumbers() numbers { return numbersFor(v.StrictJSON) }

// signedNumbers returns the numbers for an event that is signed already.
func (v *Version) signedNumbers() numbers {
	if v.StrictJSON {
		return integersOnly
	}
	return asWritten
}

// canonicalize is Canonical without the limit on size, for a value that will be nested
// in depth objects.
func canonicalize(raw []byte, n numbers, depth int) ([]byte, error) {
	t := transcoder{src: raw, numbers: n, depth: depth}
	if err := t.document(); err != nil {
		return nil, err
	}
	if t.diverged {
		return t.out, nil
	}
	return raw, nil
}

// canonicalObject returns canonicalize for a value that has to be an object.
func canonicalObject(raw []byte, n numbers, depth int) ([]byte, error) {
	canonical, err := canonicalize(raw, n, depth)
	if err != nil {
		return nil, err
	}
	if canonical[0] != '{' {
		return nil, matrix.Errorf(matrix.BadJSON, "the JSON is not an object")
	}
	return canonical, nil
}

// transcoder turns JSON into canonical JSON in one pass. While the input is canonical
// nothing is copied: the output is src[:pos]. The output buffer is made at the first
// difference.
type transcoder struct {
	src      []byte
	pos      int
	out      []byte
	diverged bool
	numbers  numbers
	depth    int
	// members is a stack of the members of the objects that are open.
	members []member
	scratch []byte
}

// member has the offsets of a member of an object in the output.
type member struct {
	start, keyEnd, end int
}

// diverge makes the output buffer, unless there is one: from here on input and output
// differ.
func (t *transcoder) diverge() {
	if !t.diverged {
		t.diverged = true
		t.out = append(make([]byte, 0, len(t.src)), t.src[:t.pos]...)
	}
}

// keep copies n bytes of the input to the output.
func (t *transcoder) keep(n int) {
	if t.diverged {
		t.out = append(t.out, t.src[t.pos:t.pos+n]...)
	}
	t.pos += n
}

// output returns the output so far.
func (t *transcoder) output() []byte {
	if t.diverged {
		return t.out
	}
	return t.src[:t.pos]
}

// replace skips n bytes of the input and writes others instead.
func (t *transcoder) replace(n int, with ...byte) {
	t.diverge()
	t.out = append(t.out, with...)
	t.pos += n
}

// peek returns the next byte, and at the end 0, which is not valid JSON either.
func (t *transcoder) peek() byte {
	if t.pos < len(t.src) {
		return t.src[t.pos]
	}
	return 0
}

func (t *transcoder) skipSpace() {
	for {
		switch t.peek() {
		case ' ', '\t', '\n', '\r':
			t.replace(1)
		default:
			return
		}
	}
}

func (t *transcoder) document() error {
	var stack [12]member
	t.members = stack[:0]
	t.skipSpace()
	if err := t.value(); err != nil {
		return err
	}
	t.skipSpace()
	if t.pos < len(t.src) {
		return t.syntaxError()
	}
	return nil
}

func (t *transcoder) syntaxError() error {
	if t.pos >= len(t.src) {
		return matrix.Errorf(matrix.NotJSON, "the JSON ends too early, after %d bytes", len(t.src))
	}
	return matrix.Errorf(matrix.NotJSON, "the JSON has an unexpected byte 0x%02x at offset %d", t.src[t.pos], t.pos)
}

func (t *transcoder) value() error {
	switch c := t.peek(); {
	case c == '"':
		return t.text()
	case c == '{':
		return t.object()
	case c == '[':
		return t.array()
	case c == '-' || c >= '0' && c <= '9':
		return t.number()
	case c == 't':
		return t.literal("true")
	case c == 'f':
		return t.literal("false")
	case c == 'n':
		return t.literal("null")
	}
	return t.syntaxError()
}

func (t *transcoder) literal(word string) error {
	if !bytes.HasPrefix(t.src[t.pos:], []byte(word)) {
		return t.syntaxError()
	}
	t.keep(len(word))
	return nil
}

// enter begins an object or an array.
func (t *transcoder) enter() error {
	if t.depth++; t.depth > maxNesting {
		return matrix.Errorf(matrix.BadJSON, "the JSON is nested deeper than %d", maxNesting)
	}
	t.keep(1)
	t.skipSpace()
	return nil
}

// leave ends an object or an array.
func (t *transcoder) leave() error {
	t.depth--
	t.keep(1)
	return nil
}

func (t *transcoder) array() error {
	if err := t.enter(); err != nil {
		return err
	}
	if t.peek() == ']' {
		return t.leave()
	}
	for {
		if err := t.value(); err != nil {
			return err
		}
		t.skipSpace()
		switch t.peek() {
		case ',':
			t.keep(1)
			t.skipSpace()
		case ']':
			return t.leave()
		default:
			return t.syntaxError()
		}
	}
}

func (t *transcoder) object() error {
	if err := t.enter(); err != nil {
		return err
	}
	if t.peek() == '}' {
		return t.leave()
	}
	first, sorted := len(t.members), true
	for {
		if err := t.member(); err != nil {
			return err
		}
		last := len(t.members) - 1
		sorted = sorted && (last == first || t.compare(t.members[last-1], t.members[last]) < 0)
		switch t.peek() {
		case ',':
			t.keep(1)
			t.skipSpace()
		case '}':
			if !sorted {
				if err := t.sort(t.members[first:]); err != nil {
					return err
				}
			}
			t.members = t.members[:first]
			return t.leave()
		default:
			return t.syntaxError()
		}
	}
}

// member reads a key and its value, and the white space after them.
func (t *transcoder) member() error {
	m := member{start: len(t.output())}
	if t.peek() != '"' {
		return t.syntaxError()
	}
	if err := t.text(); err != nil {
		return err
	}
	m.keyEnd = len(t.output())
	t.skipSpace()
	if t.peek() != ':' {
		return t.syntaxError()
	}
	t.keep(1)
	t.skipSpace()
	if err := t.value(); err != nil {
		return err
	}
	m.end = len(t.output())
	t.skipSpace()
	t.members = append(t.members, m)
	return nil
}

// compare orders two members by the code points of their keys. UTF-8 has the same
// order by bytes.
func (t *transcoder) compare(a, b member) int {
	out := t.output()
	return compareKeys(out[a.start+1:a.keyEnd-1], out[b.start+1:b.keyEnd-1])
}

// compareKeys orders keys that are escaped as in canonical JSON, without their quotes.
func compareKeys(a, b []byte) int {
	if bytes.IndexByte(a, '\\') >= 0 {
		a = unescape(a)
	}
	if bytes.IndexByte(b, '\\') >= 0 {
		b = unescape(b)
	}
	return bytes.Compare(a, b)
}

// sort sorts the members at the end of the output.
func (t *transcoder) sort(list []member) error {
	t.diverge()
	base := list[0].start
	slices.SortFunc(list, t.compare)
	for i := range len(list) - 1 {
		if t.compare(list[i], list[i+1]) == 0 {
			key := t.out[list[i].start:list[i].keyEnd]
			return matrix.Errorf(matrix.BadJSON, "the JSON has the key %s twice in one object", clip(key))
		}
	}
	t.scratch = append(t.scratch[:0], t.out[base:]...)
	t.out = t.out[:base]
	for i, m := range list {
		if i > 0 {
			t.out = append(t.out, ',')
		}
		t.out = append(t.out, t.scratch[m.start-base:m.end-base]...)
	}
	return nil
}

// clip shortens a text of a stranger for an error message.
func clip(text []byte) []byte {
	const most = 64
	if len(text) <= most {
		return text
	}
	return append(bytes.ToValidUTF8(text[:most], nil), "…"...)
}

// text reads a string.
func (t *transcoder) text() error {
	t.keep(1)
	for {
		t.keep(plainRun(t.src[t.pos:]))
		switch t.peek() {
		case '"':
			t.keep(1)
			return nil
		case '\\':
			if err := t.escape(); err != nil {
				return err
			}
		default:
			return t.syntaxError()
		}
	}
}

// plainRun returns the length of the text at the start of s that needs no escapes in a
// JSON string. It stops before a quote, a backslash, a control character and a byte that
// is not UTF-8.
func plainRun(s []byte) int {
	i := 0
	for {
		for len(s)-i >= 8 && isPlain(binary.LittleEndian.Uint64(s[i:])) {
			i += 8
		}
		end := min(i+8, len(s))
		if i == end {
			return i
		}
		for i < end {
			c := s[i]
			if c < 0x20 || c == '"' || c == '\\' {
				return i
			}
			size := 1
			if c >= utf8.RuneSelf {
				var r rune
				if r, size = utf8.DecodeRune(s[i:]); r == utf8.RuneError && size == 1 {
					return i
				}
			}
			i += size
		}
	}
}

// isPlain reports whether eight bytes are ASCII that needs no escapes: none has its highest
// bit, nor is below a space, nor a quote, nor a backslash, as the highest bits of these
// differences show.
func isPlain(eight uint64) bool {
	const each = 0x0101010101010101
	return (eight|(eight-each*' ')|((eight^each*'"')-each)|((eight^each*'\\')-each))&(each*0x80) == 0
}

// escape reads one escape and writes the character in canonical form.
func (t *transcoder) escape() error {
	rest := t.src[t.pos+1:]
	if len(rest) == 0 {
		t.pos++
		return t.syntaxError()
	}
	switch rest[0] {
	case '"', '\\', 'b', 'f', 'n', 'r', 't':
		t.keep(2)
		return nil
	case '/':
		t.replace(2, '/')
		return nil
	case 'u':
		return t.unicodeEscape(rest[1:])
	}
	return t.syntaxError()
}

// unicodeEscape reads an escape of the form \uXXXX, or two of them for one
// character; rest begins after the u.
func (t *transcoder) unicodeEscape(rest []byte) error {
	r, ok := hexRune(rest)
	if !ok {
		return t.syntaxError()
	}
	length := 6
	if utf16.IsSurrogate(r) {
		if r, ok = surrogatePair(r, rest[4:]); !ok {
			return matrix.Errorf(matrix.BadJSON, "the JSON has half a surrogate pair at offset %d", t.pos)
		}
		length = 12
	}
	if r >= 0x20 && r != '"' && r != '\\' {
		t.replace(length, utf8.AppendRune(nil, r)...)
		return nil
	}
	var buffer [6]byte
	canonical := appendEscaped(buffer[:0], byte(r))
	if bytes.Equal(canonical, t.src[t.pos:t.pos+length]) {
		t.keep(length)
	} else {
		t.replace(length, canonical...)
	}
	return nil
}

// number reads a number.
func (t *transcoder) number() error {
	n, ok := scanNumber(t.src[t.pos:])
	if !ok {
		t.pos += len(n.text)
		return t.syntaxError()
	}
	value, small := n.value()
	switch {
	case small && !n.plain && t.numbers != asWritten:
		t.replace(len(n.text), strconv.AppendInt(nil, value, 10)...)
	case t.numbers == anyNumber && !small && !n.isFloat64():
		return matrix.Errorf(matrix.BadJSON, "the JSON has the number %s, which is too large to be read by all clients", clip(n.text))
	case small || t.numbers != integersOnly:
		t.keep(len(n.text))
	default:
		return matrix.Errorf(matrix.BadJSON,
			"the JSON has the number %s; only integers within ±(2^53-1) are allowed", clip(n.text))
	}
	return nil
}

// number has the parts of a JSON number.
type number struct {
	text     []byte
	digits   []byte // of the integer part
	exponent []byte // with its sign, if any; nil where there is none
	negative bool
	fraction []byte // the digits after the point; nil where there is none
	plain    bool   // an integer in canonical form
}

// isFloat64 reports whether the number is within the range of float64.
func (n *number) isFloat64() bool {
	_, err := strconv.ParseFloat(string(n.text), 64)
	return err == nil
}

// scanNumber reads the number at the start of s, by the grammar of JSON, and reports
// whether there is one. If not, text is the part that was read.
func scanNumber(s []byte) (number, bool) {
	var n number
	i := 0
	if s[0] == '-' {
		n.negative = true
		i++
	}
	run := digitRun(s[i:])
	n.digits = s[i : i+run]
	i += run
	ok := run == 1 || run > 1 && n.digits[0] != '0'
	if ok && i < len(s) && s[i] == '.' {
		run = digitRun(s[i+1:])
		n.fraction = s[i+1 : i+1+run]
		i += 1 + run
		ok = run > 0
	}
	if ok && i < len(s) && s[i]|0x20 == 'e' {
		n.exponent, ok = scanExponent(s[i+1:])
		i += 1 + len(n.exponent)
	}
	n.text = s[:i]
	n.plain = ok && n.fraction == nil && n.exponent == nil && (!n.negative || n.digits[0] != '0')
	return n, ok
}

// scanExponent reads an exponent, after its letter.
func scanExponent(s []byte) ([]byte, bool) {
	sign := 0
	if len(s) > 0 && (s[0] == '+' || s[0] == '-') {
		sign = 1
	}
	run := digitRun(s[sign:])
	return s[:sign+run], run > 0
}

func digitRun(s []byte) int {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return i
}

// maxExponent is far above the exponent of any integer in canonical JSON.
const maxExponent = 1 << 20

// value returns the number, and reports whether it is an integer within ±(2^53-1), in
// any notation: 1000.0 and 1e3 are 1000.
func (n *number) value() (int64, bool) {
	digits := n.digits
	if n.fraction != nil {
		digits = slices.Concat(n.digits, n.fraction)
	}
	if digits = bytes.TrimLeft(digits, "0"); len(digits) == 0 {
		return 0, true
	}
	exponent := 0
	if n.exponent != nil {
		var err error
		if exponent, err = strconv.Atoi(string(n.exponent)); err != nil || max(exponent, -exponent) > maxExponent {
			return 0, false
		}
	}
	significant := bytes.TrimRight(digits, "0")
	zeros := len(digits) - len(significant) - len(n.fraction) + exponent
	if zeros < 0 || len(significant)+zeros > len("9007199254740991") {
		return 0, false
	}
	var value int64
	for _, c := range significant {
		value = value*10 + int64(c-'0')
	}
	for range zeros {
		value *= 10
	}
	if n.negative {
		return -value, value <= maxSafeInteger
	}
	return value, value <= maxSafeInteger
}
