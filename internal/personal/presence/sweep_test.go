package presence

import (
	"fmt"
	"testing"
	"time"

	"homeserver/internal/journal"
)

// The sweep over all users held the lock that commits need, from its beginning to its end.
func TestTheSweepLetsCommitsThrough(t *testing.T) {
	h := newEnv(t)
	const users = 20 * usersAtOnce
	h.mu.Lock()
	for i := range users {
		h.add(fmt.Sprintf("@user%d:localhost", i))
	}
	h.mu.Unlock()
	through := make(chan struct{}, 1)
	seen := 0
	h.each(func(*user) []journal.Topic {
		if seen == 0 {
			go func() {
				h.committed(journal.View{}, nil)
				through <- struct{}{}
			}()
		}
		if seen++; seen%usersAtOnce == 0 {
			<-time.After(2 * time.Millisecond) // a mutex goes to a goroutine that has waited for 1 ms
		}
		if seen == users && len(through) == 0 {
			t.Error("a commit waits for the end of the sweep")
		}
		return nil
	})
	if seen != users {
		t.Errorf("%d users were looked at", seen)
	}
}
