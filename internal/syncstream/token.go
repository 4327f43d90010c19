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

// ParseToken reads a token. M_INVALID_PARAM for what FormatToken never writes.
func ParseToken(token string) (journal.Position, error) {
	digits, ok := strings.CutPrefix(token, "s")
	p, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || p < 0 || FormatToken(journal.Position(p)) != token {
		return 0, errBadToken()
	}
	return journal.Position(p), nil
}

func errBadToken() error {
	return matrix.Errorf(matrix.InvalidParam, "this is not a token of this server")
}
