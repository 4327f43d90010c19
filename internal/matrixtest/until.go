package matrixtest

import (
	"testing"
	"time"
)

// Patience turns what would hang into a failure. Two cores with a load of 30 are well below it.
const Patience = 3 * time.Minute

// pause leaves the processor to those who are waited for.
const pause = 2 * time.Millisecond

// Until is how tests wait for what happens elsewhere and sends them no signal: a server that
// comes back, another process that has heard. It asks again and again, and ends the test if
// the answer is not yes within [Patience]. It never asks a certain number of times: how much
// happens between two attempts depends on the machine.
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
