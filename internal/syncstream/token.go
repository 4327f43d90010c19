package syncstream

import (
	"strconv"
	"strings"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// The tokens with which clients of api/v1 name the two ends of everything there is.
const (
	TokenStart = "START"
	TokenEnd   = "END"
)

// FormatToken writes a position as the token that clients get: next_batch and
// prev_batch of /sync, start and end of /messages. It stands for the gap after
// the position.
func FormatToken(p journal.Position) string {
	return "s" + strconv.FormatInt(int64(p), 10)
}

// FormatPlace writes the token of the gap after a place of a room.
func FormatPlace(p timeline.Place) string { return FormatToken(p.Position()) }

// ParseToken reads a token, or the position in one of /sync, which may be followed by how
// far messages to the device were given, where that is not as far as the position, and by
// the ticks of each process that the client has asked:
// s<position>_d<position>_<instance>.<tick>_<instance>.<tick>… M_INVALID_PARAM for a text
// that this server never writes.
func ParseToken(token string) (journal.Position, error) {
	durable, toDevice, ticks := splitToken(token)
	p, ok := parsePosition("s", durable)
	d, known := parsePosition("d", toDevice)
	if !ok || toDevice != "" && (!known || d >= p) || ticks != "" && !areTicks(ticks) || strings.HasSuffix(token, "_") {
		return 0, errBadToken()
	}
	return p, nil
}

// splitToken returns the parts of a token; "": it has no such part.
func splitToken(token string) (durable, toDevice, ticks string) {
	durable, ticks, _ = strings.Cut(token, "_")
	if first, rest, _ := strings.Cut(ticks, "_"); strings.HasPrefix(first, "d") && !strings.Contains(first, ".") {
		toDevice, ticks = first, rest
	}
	return durable, toDevice, ticks
}

// parsePosition reads a position behind a letter, in the one way in which it is written.
func parsePosition(letter, text string) (journal.Position, bool) {
	digits, ok := strings.CutPrefix(text, letter)
	p, err := strconv.ParseInt(digits, 10, 64)
	return journal.Position(p), ok && err == nil && p >= 0 && strconv.FormatInt(p, 10) == digits
}

// token writes the token of a plan, with a tick of this process, and those of others that
// stood in the token before.
func (s *Service) token(p *plan, before string) string {
	token := FormatToken(p.upTo)
	if p.toDeviceUpTo < p.upTo {
		token += "_d" + strconv.FormatInt(int64(p.toDeviceUpTo), 10)
	}
	if ticks := s.Ticks.Format(p.tickUpTo, tickOf(before)); ticks != "" {
		token += "_" + ticks
	}
	return token
}

// tickOf returns the part of a token that has the ticks.
func tickOf(token string) string {
	_, _, ticks := splitToken(token)
	return ticks
}

// toDeviceOf returns how far messages to the device were given, by a token of a position.
func toDeviceOf(token string, p journal.Position) journal.Position {
	_, part, _ := splitToken(token)
	if d, ok := parsePosition("d", part); ok {
		return d
	}
	return p
}

// areTicks reports whether the text may be written by Ticks.Format.
func areTicks(text string) bool {
	if len(text) > maxTickBytes {
		return false
	}
	for part := range strings.SplitSeq(text, "_") {
		if !isTick(part) {
			return false
		}
	}
	return true
}

// isTick reports whether the text may be an instance and a tick of any process.
func isTick(text string) bool {
	instance, tick, ok := strings.Cut(text, ".")
	if _, err := strconv.ParseUint(tick, 10, 63); !ok || err != nil || instance == "" {
		return false
	}
	return !strings.ContainsFunc(instance, func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') })
}

const maxTickBytes = 256

func errBadToken() error {
	return matrix.Errorf(matrix.InvalidParam, "this is not a token of this server")
}
