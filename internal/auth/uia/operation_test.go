package uia

import (
	"bytes"
	"testing"

	"homeserver/internal/matrix"
)

// A password is not kept in a form in which it could be guessed.
func TestTheParametersOfARequestAreKeptKeyed(t *testing.T) {
	t.Parallel()
	op := ByPassword(ChangePassword, matrix.Session{}).About("x", "new password")
	one, err := op.mac("one session")
	if err != nil {
		t.Fatal(err)
	}
	other, err := op.mac("another session")
	if err != nil {
		t.Fatal(err)
	}
	if len(one) != 32 || bytes.Equal(one, other) {
		t.Error("two sessions have the same digest of the parameters")
	}
}
