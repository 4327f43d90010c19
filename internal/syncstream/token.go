package syncstream

import (
	"strconv"
	"strings"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

// FormatToken writes a position as the token that clients get: next_batch and
// prev_batch of /sync, start and end of /messages. It stands for the gap after
// the position.
func FormatToken(p journal.Position) string {
	return "s" + strconv.FormatInt(int64(p), 10)
}

// ParseToken reads a token, or the position in one of /sync, behind which stands
// how far what is not durable is known: s<position>_<instance>.<tick>.
// M_INVALID_PARAM for what this server never writes.
func ParseToken(token string) (journal.Position, error) {
	durable, rest, more := strings.Cut(token, "_")
	digits, ok := strings.CutPrefix(durable, "s")
	p, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || p < 0 || FormatToken(journal.Position(p)) != durable || more && !isTick(rest) {
		return 0, errBadToken()
	}
	return journal.Position(p), nil
}

// isTick reports whether the text may be an instance and a tick of any process.
func isTick(text string) bool {
	instance, tick, ok := strings.Cut(text, ".")
	if _, err := strconv.ParseUint(tick, 10, 63); !ok || err != nil || instance == "" || len(text) > maxTickBytes {
		return false
	}
	return !strings.ContainsFunc(instance, func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') })
}

const maxTickBytes = 64

func errBadToken() error {
	return matrix.Errorf(matrix.InvalidParam, "this is not a token of this server")
}
