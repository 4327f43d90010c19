package event

// MaxValues bounds how many values, objects and arrays included, JSON may have that is
// decoded as a whole. Each takes up far more memory than its two bytes or so: a
// mebibyte of {} would become hundreds. It has room for a request that makes a room
// with a thousand state events, and for any event.
const MaxValues = 50_000

// HasMoreValues reports whether JSON has more than so many values. It looks at no more of
// it than that, and not at all at what is too short. What is not JSON may give either
// answer.
func HasMoreValues(raw []byte, most int) bool {
	if len(raw) <= most {
		return false
	}
	// Each value but the first of all stands behind one of these.
	n, inString := 1, false
	for i := 0; i < len(raw) && n <= most; i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case !inString && (c == ',' || c == '[' || c == '{'):
			n++
		}
	}
	return n > most
}
