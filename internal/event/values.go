package event

// MaxValues bounds the number of values, objects and arrays included, in JSON that is
// decoded as a whole. A value takes far more memory than its two bytes or so of text: a
// mebibyte of {} would become hundreds. The bound is enough for a request that creates a
// room with a thousand state events, and for any event.
const MaxValues = 50_000

// HasMoreValues reports whether JSON has more than most values. It reads no further than
// it needs to, and nothing of a text that is too short for so many. For bytes that are
// not JSON either result is possible.
func HasMoreValues(raw []byte, most int) bool {
	if len(raw) <= most {
		return false
	}
	// Each value but the first follows one of these.
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
