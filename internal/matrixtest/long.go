package matrixtest

import (
	"os"
	"testing"
)

// Long lets a test run only where there is time for it: `make test-long` sets
// HOMESERVER_LONG_TESTS. Elsewhere the test is skipped, which it says.
func Long(t testing.TB) {
	t.Helper()
	if os.Getenv("HOMESERVER_LONG_TESTS") == "" {
		t.Skip("takes long: make test-long runs it")
	}
}
