package api

import (
	"net/http"
	"sync"
	"time"

	"homeserver/internal/matrix"
)

// errUnread answers who is one too many to get a large answer at this moment.
var errUnread = &matrix.Error{
	Code: matrix.Unknown, Status: http.StatusServiceUnavailable, RetryAfter: 5 * time.Second,
	Message: "Too many large answers are waiting to be read",
}

// unread counts the memory of large answers. An answer stays in memory until it is
// sent, which is up to its reader; those who do not read must not use up the memory.
// Small answers do not count: there are no more of them than connections.
type unread struct {
	most, each int // bytes of all answers, and of those of one caller

	mu      sync.Mutex
	bytes   int
	callers map[string]int
}

// newUnread bounds large answers to so many bytes, of which one caller has a quarter.
func newUnread(most int) *unread {
	return &unread{most: most, each: most / 4, callers: map[string]int{}}
}

// take counts an answer for a caller, until give. It reports false where that would
// be too much; an answer that is alone passes whatever its size.
func (u *unread) take(caller string, n int) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	own := u.callers[caller]
	if u.bytes > 0 && u.bytes+n > u.most || own > 0 && own+n > u.each {
		return false
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
