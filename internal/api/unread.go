package api

import (
	"net/http"
	"sync"
	"time"

	"homeserver/internal/matrix"
)

const (
	// unreadBytes bounds the memory of large answers that are on their way to clients,
	// and unreadEach what one caller has of it. Small ones do not count: there are no
	// more of them than connections.
	unreadBytes = 128 << 20
	unreadEach  = unreadBytes / 4
)

// errUnread answers who is one too many to get a large answer at this moment.
var errUnread = &matrix.Error{
	Code: matrix.Unknown, Status: http.StatusServiceUnavailable, RetryAfter: 5 * time.Second,
	Message: "Too many large answers are waiting to be read",
}

// unread counts the memory of large answers. An answer stays in memory until it is
// sent, which is up to its reader; those who do not read must not use up the memory.
// The zero value is ready.
type unread struct {
	mu      sync.Mutex
	bytes   int
	callers map[string]int
}

// take counts an answer for a caller, until give. It reports false where that would
// be too much; an answer that is alone passes whatever its size.
func (u *unread) take(caller string, n int) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	own := u.callers[caller]
	if u.bytes > 0 && u.bytes+n > unreadBytes || own > 0 && own+n > unreadEach {
		return false
	}
	if u.callers == nil {
		u.callers = map[string]int{}
	}
	u.bytes += n
	u.callers[caller] += n
	return true
}

func (u *unread) give(caller string, n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.bytes -= n
	if u.callers[caller] -= n; u.callers[caller] <= 0 {
		delete(u.callers, caller)
	}
}

// readerOf is who an answer counts for: the user, or the address of who has no name.
func readerOf(x *exchange) string {
	if x.user != "" {
		return x.user
	}
	return x.client.String()
}
