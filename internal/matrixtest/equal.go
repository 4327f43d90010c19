package matrixtest

import (
	"slices"
	"testing"
)

// Equal fails the test unless two lists of texts are equal. The failure begins with the
// text what.
func Equal(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}
