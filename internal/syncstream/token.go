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

// ParseToken reads a token, or the position in one of /sync, which is followed by the
// ticks of each process that the client has asked:
// s<position>_<instance>.<tick>_<instance>.<tick>… M_INVALID_PARAM for a text that this
// server never writes.
func ParseToken(token string) (journal.Position, error) {
	durable, rest, more := strings.Cut(token, "_")
	digits, ok := strings.CutPrefix(durable, "s")
	p, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || p < 0 || FormatToken(journal.Position(p)) != durable || more && !areTicks(rest) {
		return 0, errBadToken()
	}
	return journal.Position(p), nil
}

// token writes a position with a tick of this process, and those of others that stood
// in the token before.
func (s *Service) token(p journal.Position, tick journal.Tick, before string) string {
	token := FormatToken(p)
	if ticks := s.Ticks.Format(tick, tickOf(before)); ticks != "" {
		token += "_" + ticks
	}
	return token
}

// tickOf returns the part of a token that has the ticks.
func tickOf(token string) string {
	_, tick, _ := strings.Cut(token, "_")
	return tick
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
