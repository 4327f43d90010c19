package directory

import "testing"

// FuzzParsePlace checks that a token of the directory is the same after it was parsed and
// written again.
func FuzzParsePlace(f *testing.F) {
	for _, seed := range []string{"", "n1_2", "p0_0", "n-1_-2", "n_", "p", "n1_2_3", "n9223372036854775807_1", "n01_1", "x1_2", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if p, err := parsePlace(token); err == nil && p != nil && p.String() != token {
			t.Errorf("%q is read as %q", token, p)
		}
	})
}
