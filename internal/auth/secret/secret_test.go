package secret_test

import (
	"regexp"
	"testing"

	"homeserver/internal/auth/secret"
)

func TestSecretsAreLongAndDifferent(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^hs_[A-Za-z0-9_-]{32}$`)
	one, other := secret.New("hs_"), secret.New("hs_")
	if !form.MatchString(one) || one == other {
		t.Errorf("got %s and %s", one, other)
	}
}

func TestASecretIsWhatItsHashWasMadeOf(t *testing.T) {
	t.Parallel()
	hash := secret.HashOf("one")
	for text, want := range map[string]bool{"one": true, "other": false, "": false} {
		if got := secret.Is(hash[:], text); got != want {
			t.Errorf("%q: got %v", text, got)
		}
	}
	if secret.Is(nil, "") {
		t.Error("nothing has been stored, and yet it is known")
	}
}
