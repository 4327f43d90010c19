// Package await is how tests wait for what happens elsewhere and tells nobody: a server that
// comes back, another process that has heard. They wait for as long as it takes a machine
// that is busy with much else, and never a number of times: how much happens between two
// attempts depends on the machine.
package await

import (
	"testing"
	"time"
)

// Limit turns what would hang into a failure. Two cores with a load of 30 are well below it.
const Limit = 3 * time.Minute

// pause leaves the processor to those who are waited for.
const pause = 2 * time.Millisecond

// Until asks again and again, and ends the test if the answer is not yes within [Limit].
func Until(t testing.TB, what string, yes func() bool) {
	t.Helper()
	for late := time.After(Limit); !yes(); {
		select {
		case <-late:
			t.Fatalf("%s: not within %v", what, Limit)
		case <-time.After(pause):
		}
	}
}
