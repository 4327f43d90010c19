package matrixtest

import "testing"

// Long skips a test that costs much where only the short ones are asked for: go test -short,
// as by `make test`. `make test-all` runs it.
func Long(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("costs much: make test-all runs it")
	}
}
