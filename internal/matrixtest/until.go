package matrixtest

import (
	"testing"
	"time"
)

// Patience is how long tests wait before they fail. Two cores with a load of 30 are well
// below it.
const Patience = 3 * time.Minute

// pause leaves the processor to the work that the test waits for.
const pause = 2 * time.Millisecond

// Until waits for an event that sends tests no signal: a server comes back, another process
// has received a message. It calls yes again and again, and ends the test unless yes reports
// true within [Patience]. The number of calls is not bounded: how much happens between two
// of them depends on the machine.
func Until(t testing.TB, what string, yes func() bool) {
	t.Helper()
	for late := time.After(Patience); !yes(); {
		select {
		case <-late:
			t.Fatalf("%s: not within %v", what, Patience)
		case <-time.After(pause):
		}
	}
}
