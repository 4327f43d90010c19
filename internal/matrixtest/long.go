package matrixtest

import (
	"os"
	"testing"
)

// Long skips a test that takes long, unless HOMESERVER_LONG_TESTS is set, as by
// `make test-long`.
func Long(t testing.TB) {
	t.Helper()
	if os.Getenv("HOMESERVER_LONG_TESTS") == "" {
		t.Skip("takes long: make test-long runs it")
	}
}
