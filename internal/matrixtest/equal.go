package matrixtest

import (
	"slices"
	"testing"
)

// Equal checks that a list of texts is the one that is wanted. What it is about stands
// before the complaint.
func Equal(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}
