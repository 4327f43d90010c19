package event

import "unicode/utf16"

// IsJSON reports whether the bytes are one JSON value in UTF-8, whatever its form: with
// white space, escapes of any kind and the same name twice in an object, but nested no
// deeper than jsontext reads it.
func IsJSON(raw []byte) bool {
	const mostNested = 10_000
	c := checker{src: raw, deeper: mostNested, spaced: true}
	c.space()
	if !c.value() {
		return false
	}
	c.space()
	return c.pos == len(raw)
}

// checker goes through JSON and checks it, without decoding any of it.
type checker struct {
	src []byte
	pos int
	// deeper is how many more objects and arrays may be open at a time.
	deeper int
	// spaced reports that there may be white space, which there is none of in canonical form.
	spaced bool
}

// peek returns the next byte, and at the end 0, which is not valid JSON either.
func (c *checker) peek() byte {
	if c.pos < len(c.src) {
		return c.src[c.pos]
	}
	return 0
}

// take skips the next byte, and reports whether it is the one meant.
func (c *checker) take(b byte) bool {
	if c.peek() != b {
		return false
	}
	c.pos++
	return true
}

func (c *checker) space() {
	for c.spaced {
		switch c.peek() {
		case ' ', '\t', '\n', '\r':
			c.pos++
		default:
			return
		}
	}
}

// value skips a value, and reports whether there is one.
func (c *checker) value() bool {
	switch b := c.peek(); b {
	case '"':
		return c.text()
	case '{':
		return c.nested('}')
	case '[':
		return c.nested(']')
	case 't':
		return c.word("true")
	case 'f':
		return c.word("false")
	case 'n':
		return c.word("null")
	default:
		return (b == '-' || b >= '0' && b <= '9') && c.number()
	}
}

func (c *checker) word(w string) bool {
	if len(c.src)-c.pos < len(w) || string(c.src[c.pos:c.pos+len(w)]) != w {
		return false
	}
	c.pos += len(w)
	return true
}

func (c *checker) number() bool {
	n, ok := scanNumber(c.src[c.pos:])
	c.pos += len(n.text)
	return ok
}

// nested skips an object or an array, by its last byte.
func (c *checker) nested(end byte) bool {
	if c.deeper == 0 {
		return false
	}
	c.deeper--
	c.pos++
	c.space()
	for first := true; !c.take(end); first = false {
		if !first {
			if !c.take(',') {
				return false
			}
			c.space()
		}
		if !c.part(end) {
			return false
		}
		c.space()
	}
	c.deeper++
	return true
}

// part skips a part of an object or an array, by its last byte. A function as an argument would
// bring each checker into the heap.
func (c *checker) part(end byte) bool {
	if end == '}' {
		return c.member()
	}
	return c.value()
}

// member skips a member of an object.
func (c *checker) member() bool {
	if !c.name() {
		return false
	}
	c.space()
	return c.value()
}

// name skips the name of a member, and the colon.
func (c *checker) name() bool {
	if c.peek() != '"' || !c.text() {
		return false
	}
	c.space()
	return c.take(':')
}

// text skips a string, and reports whether it is whole.
func (c *checker) text() bool {
	c.pos++
	for {
		c.pos += plainRun(c.src[c.pos:])
		switch c.peek() {
		case '"':
			c.pos++
			return true
		case '\\':
			if !c.escape() {
				return false
			}
		default:
			return false
		}
	}
}

func (c *checker) escape() bool {
	rest := c.src[c.pos+1:]
	if len(rest) == 0 {
		return false
	}
	if rest[0] != 'u' {
		c.pos += 2
		return plainEscapes[rest[0]] != 0
	}
	r, ok := hexRune(rest[1:])
	c.pos += 6
	if ok && utf16.IsSurrogate(r) {
		_, ok = surrogatePair(r, rest[5:])
		c.pos += 6
	}
	return ok
}

// checkedMembers iterates over the members of an object like members, and checks at the
// same time that it is JSON in UTF-8 without white space, nested no deeper than 128.
type checkedMembers struct {
	c          checker
	key, value []byte
	// whole reports, once there are no more members, that nothing was wrong.
	whole bool
}

func checkedMembersOf(object []byte) checkedMembers {
	return checkedMembers{c: checker{src: object, deeper: maxNesting - 1}}
}

func (m *checkedMembers) next() bool {
	c := &m.c
	var more bool
	if c.pos == 0 {
		more = c.take('{') && c.peek() != '}'
	} else {
		more = c.take(',')
	}
	if !more {
		m.whole = c.pos > 0 && c.take('}') && c.pos == len(c.src)
		return false
	}
	start := c.pos
	if !c.name() {
		return false
	}
	m.key, start = c.src[start+1:c.pos-2], c.pos
	if !c.value() {
		return false
	}
	m.value = c.src[start:c.pos:c.pos]
	return true
}
